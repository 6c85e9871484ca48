"""What is known about a request beside its bytes, and what is learnt while it is answered.

The downstream connection knows the client's address, whether TLS was used, and the request's id. These never travel in
headers, which a client could imitate: they sit in a record beside the connection, and the application writes back into
the same record what the access log should say.
"""

from collections.abc import Callable

from aiohttp import web


class Facts:
    """One request's record; carries one request at a time."""

    __slots__ = ("client_address", "code", "reason", "request_id", "secure", "subject")

    def __init__(self, request_id: str, client_address: str, *, secure: bool = False) -> None:
        self.request_id = request_id
        self.client_address = client_address
        """"" for a unix socket."""
        self.secure = secure
        self.subject: str | None = None
        """Out: whose request it turned out to be."""
        self.code = ""
        """Out: the code of the refusal; "" when there was none."""
        self.reason = ""
        """Out: the refusal's finer reason, for the log."""


FactsOf = Callable[[web.Request], Facts]
"""Finds the record of the connection that a request came by."""

FACTS = web.RequestKey("facts", Facts)

ASKED = web.RequestKey("asked", bool)
"""Newer keys have been asked for on behalf of this request; what is unknown now is nobody's."""
