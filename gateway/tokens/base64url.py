"""Base64url without padding, with exactly one spelling for each value.

The usual decoders skip what they do not know and ignore spare bits, so that one signed token has endless spellings,
and a revocation or a cache keyed by the text can be walked around. Here junk, padding, the other alphabet (RFC 4648
section 4) and spare bits that are not zero (section 3.5) are all refused.
"""

import binascii

# The foreign characters are mapped to one that the strict decoder refuses.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
_TO_URL = bytes.maketrans(b"+/", b"-_")

# The last character when 4 or 2 of its bits are spare: only those whose spare bits are zero.
_LAST_OF_TWO = b"AQgw"
_LAST_OF_THREE = b"AEIMQUYcgkosw048"


def encode(raw: bytes) -> str:
    """Return the one spelling of *raw*."""
    return binascii.b2a_base64(raw, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def decode(text: bytes) -> bytes | None:
    """Return what *text* spells, or None when it is not the spelling that `encode` gives."""
    match len(text) & 3:
        case 0:
            padded = text.translate(_TO_STANDARD)
        case 2 if text[-1] in _LAST_OF_TWO:
            padded = text.translate(_TO_STANDARD) + b"=="
        case 3 if text[-1] in _LAST_OF_THREE:
            padded = text.translate(_TO_STANDARD) + b"="
        case _:
            return None
    try:
        return binascii.a2b_base64(padded, strict_mode=True)
    except binascii.Error:
        return None
