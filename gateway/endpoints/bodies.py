"""Bodies of login, refresh and logout: small, and readable in one way only.

Accepted are a JSON object and a form, each with text members; a member or field that comes twice, another content
type, an encoding, or more than 16 KiB is refused. Members with names nobody here knows are ignored (RFC 6749 3.1).
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.errors import Refused, refuse
from gateway.tokens.strict import strict_json_object

MAX_BODY = 16 * 1024
_MAX_FIELDS = 32
_MAX_DEPTH = 4

Fields = Mapping[str, object]


async def fields(request: web.Request, *, may_be_empty: bool = False) -> Fields:
    """Return the members of the request's body; none for an empty one, if it may be.

    Raises:
        Refused: (unsupported_media_type, body_too_large, bad_request)
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        # A few bytes may inflate to gigabytes, and no client compresses a password.
        raise Refused(refuse("unsupported_media_type", "content_encoding"))
    raw = await _bounded(request)
    if not raw and may_be_empty:  # many clients name a type even when they send nothing
        return {}
    if len(request.headers.getall("Content-Type", [])) > 1:
        raise Refused(refuse("bad_request", "content_type_repeated"))
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Refused(refuse("unsupported_media_type", "charset"))
    reader = _READERS.get(request.content_type)
    if reader is None:
        raise Refused(refuse("unsupported_media_type", "content_type"))
    try:
        return reader(raw)
    except ValueError as error:
        raise Refused(refuse("bad_request", "body_syntax")) from error


async def _bounded(request: web.Request) -> bytes:
    if request.content_length is not None and request.content_length > MAX_BODY:
        raise Refused(refuse("body_too_large", "declared"))
    body = bytearray()
    try:
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > MAX_BODY:
                raise Refused(refuse("body_too_large", "read"))
    except (web.RequestPayloadError, ConnectionError) as error:
        # Nobody may be left to read this; it is no bug of ours all the same.
        raise Refused(refuse("bad_request", "body_broken_off")) from error
    return bytes(body)


def _form(raw: bytes) -> dict[str, object]:
    """Read a form; ValueError when it is none, when it is not UTF-8, or when a field comes twice."""
    if not raw:
        return {}
    pairs = parse_qsl(
        raw.decode("ascii"),
        keep_blank_values=True,
        strict_parsing=True,
        errors="strict",
        max_num_fields=_MAX_FIELDS,
    )
    form: dict[str, object] = dict(pairs)
    if len(form) != len(pairs):
        raise ValueError("a field comes twice")
    return form


def _json(raw: bytes) -> dict[str, object]:
    return strict_json_object(raw, _MAX_DEPTH)


_READERS = {"application/json": _json, "application/x-www-form-urlencoded": _form}


def text(fields: Fields, name: str, *, longest: int = MAX_BODY) -> str | None:
    """Return the member called *name*, or None when there is none; Refused (bad_request) when it is no text."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > longest:
        raise Refused(refuse("bad_request", f"member_{name}", detail=f"The member {name} must be a short text."))
    return value


def needed(fields: Fields, name: str) -> str:
    """Return the member called *name*; Refused (bad_request) when it is missing, empty or no text."""
    value = text(fields, name)
    if not value:
        raise Refused(refuse("bad_request", f"member_{name}", detail=f"The member {name} is missing."))
    return value
