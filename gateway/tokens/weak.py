"""Secrets that are long enough and still no secret: placeholders out of manuals, and patterns."""

import re

# Words that sample configurations, tutorials and the pages of token debuggers build their secrets from.
_MANUALS = """
    a access acme admin allow an and any anyone api app application as at auth authentication backend bar base
    baz bit bits by bytes change changeit changeme char character characters chars client com company
    config correct default demo dev develop development do docker dont dummy edit enough env example fake fill foo
    for from gateway generate generated hard has here hmac hs if in insecure insert is it
    json jwt keep key keyboard least length letmein local localhost long longer me minimum more must my need never
    new no not of on only openssl or org our output passphrase password passwd per phrase placeholder please prod
    production project put qwerty rand random real refresh replace replaceme root rs safe sample secret
    secretkey secrets secure security server set shared should sign signature signing some spring string
    strong super supersecret supersecretkey symmetric test testing that the this to todo token tokens
    top topsecret unique unsafe update use user valid value very web whatever which with word words xxx you your yours
"""
_WORDS = frozenset(_MANUALS.split())
_NUMBERS = frozenset({"16", "32", "48", "64", "128", "256", "384", "512", "2020", "2021", "2022", "2023", "2024"})
_COUNTING = "01234567890123456789 abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"

_LEAST_DISTINCT = 8
_LEAST_LEFT = 16
_LONGEST_PATTERN = 16


def weakness(secret: bytes, least: int) -> str | None:
    """Return why *secret* must not be used, or None.

    Fewer than *least* bytes, few different bytes, a short pattern over and over, or hardly anything but words out of
    manuals. A secret from a random source never comes near the last three.
    """
    if secret.isascii() and _left_of(secret.decode("ascii")) < min(_LEAST_LEFT, len(secret)):
        return "it is a placeholder out of a manual, which everybody can guess"
    if len(secret) < least:
        return f"it has {len(secret)} bytes where at least {least} are needed"
    if len(set(secret)) < _LEAST_DISTINCT:
        return f"it is made of {len(set(secret))} different bytes only"
    for length in range(1, _LONGEST_PATTERN + 1):
        if secret[length:] == secret[:-length]:
            return f"it repeats a pattern of {length} bytes"
    return None


def _left_of(text: str) -> int:
    """Return how many characters of *text* belong to no placeholder.

    Signs between words count for nothing, and neither does a word that has been there before.
    """
    parts = re.findall(r"[a-z]+|[0-9]+|[\x00-\x1f\x7f]", text.lower())
    short = [part for part in parts if len(part) < 3]
    words = {part for part in parts if len(part) >= 3}
    return sum(len(part) for part in (*short, *words) if not (_is_counting(part) or _is_words(part)))


def _is_counting(part: str) -> bool:
    return part in _NUMBERS or (len(part) > 2 and part in _COUNTING)


def _is_words(part: str) -> bool:
    """Whether *part* is words written together, as `changemenow` would be."""
    ends = {0}
    for end in range(1, len(part) + 1):
        if any(start in ends and part[start:end] in _WORDS for start in range(end)):
            ends.add(end)
    return len(part) in ends
