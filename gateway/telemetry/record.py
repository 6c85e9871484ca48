"""One request, as it is remembered; formatted and counted later, off the request's path."""

from typing import NamedTuple


class Record(NamedTuple):
    """A finished request. Made once per request, so it is a flat tuple of what the engine has at hand."""

    at: float
    """Unix time of the end."""
    request_id: bytes
    bytes_in: int
    bytes_out: int
    seconds: float
    upstream_seconds: float
    """From the request's departure to the first byte of the answer; 0.0 when no upstream answered."""

    # From here on, [6:]: what many requests have in common (see `Recorder`).
    address: str
    method: bytes
    host: bytes
    path: bytes
    """Canonical path, without the query: query strings carry secrets more often than one thinks."""
    status: int
    """499 when the client left before the answer."""
    route: str
    upstream: str
    target: str
    subject: str
    code: str
    """Refusal code, or "" for a forwarded answer."""
    reason: str
