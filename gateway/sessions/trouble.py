"""What can be wrong with the store, by name, and what an operator can do about it.

A server says most of it in the first word of an error. Inside a script the word may stand in the middle (a demoted
primary answers a plain error there, redis-py#3443), so the text decides and not the class of an exception.
"""

import ssl
from typing import NamedTuple

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import StoreUnavailable
from gateway.sessions.address import HostPort


class Kind(NamedTuple):
    """One kind of trouble that a server names itself, so that it has done nothing of what it was asked."""

    name: str
    words: tuple[str, ...]
    """Any of them in the error's text means this kind."""
    advice: str


# The first that fits decides.
_SAID = (
    Kind("noscript", ("NOSCRIPT",), "nothing: the script is sent again"),
    Kind("readonly", ("READONLY", "read only replica"), "that is a replica: name the primary, Sentinels or a cluster"),
    Kind("loading", ("LOADING", "is loading the dataset"), "wait: the store reads its data from disk"),
    Kind("masterdown", ("MASTERDOWN", "Link with MASTER is down"), "look at the primary of this replica"),
    Kind("clusterdown", ("CLUSTERDOWN", "slot not served"), "look at the nodes: some slots have no primary"),
    Kind("memory", ("OOM ", "used memory >"), "raise maxmemory: sessions are kept until they end"),
    Kind("disk", ("MISCONF",), "look at the store's disk: it cannot save"),
    Kind(
        "noreplicas",
        ("NOREPLICAS", "Not enough good replicas"),
        "look at the replicas: min-replicas-to-write is not met",
    ),
    Kind("busy", ("BUSY ", "is busy running a script"), "SCRIPT KILL ends somebody's long script"),
    Kind("maxclients", ("max number of clients",), "raise maxclients, or look who holds connections"),
    Kind(
        "auth",
        ("NOAUTH", "WRONGPASS", "invalid password", "Authentication required", "AUTH "),
        "compare store.password_file, and the user in store.url, with what the store expects",
    ),
    Kind("permission", ("NOPERM", "no permissions"), "allow the store's user the commands and keys of the gateway"),
    Kind("moved", (), "nothing: the other node is asked"),
    Kind("ask", (), "nothing: the other node is asked"),
    Kind("tryagain", ("TRYAGAIN",), "wait for the resharding to end: one user's keys are on two nodes"),
    Kind("crossslot", ("CROSSSLOT",), "report it: the gateway named keys of two slots in one call"),
)
# Where the library takes the first word off a message, the class still has it. Subclasses come first.
_CLASSES: tuple[tuple[type[RedisError], str], ...] = (
    (NoScriptError, "noscript"),
    (MovedError, "moved"),
    (AskError, "ask"),
    (TryAgainError, "tryagain"),
    (ReadOnlyError, "readonly"),
    (BusyLoadingError, "loading"),
    (MasterDownError, "masterdown"),
    (ClusterDownError, "clusterdown"),
    (OutOfMemoryError, "memory"),
    (AuthenticationError, "auth"),
    (NoPermissionError, "permission"),
    (ClusterCrossSlotError, "crossslot"),
)
_SEEN = {
    "timeout": "look at the store's load, at the network, and at store.timeout: no answer came in time",
    "connection": "look whether the store runs: nobody listens there, or the connection was closed",
    "tls": "look at the certificates: ssl_ca_certs in store.url names the file of a private CA",
    "pool": "look at the store's load: every connection is in use",
    "open": "nothing: the store failed several times in a row, and is tried again every second",
    "sentinel": "look at the Sentinels: none that answers names a primary",
    "answer": "look at store.url: something else than a store of this gateway answers there",
    "refused": "read the error: the store refused a command",
}
ADVICE = {**{kind.name: kind.advice for kind in _SAID}, **_SEEN}
"""Every kind of trouble, and what to do about it; the names are the labels of a metric."""

DEFINITE = frozenset({*(kind.name for kind in _SAID), "open", "pool", "sentinel"})
"""Nothing of what was asked has been done, so asking another server at once is safe."""

SILENT = frozenset({"timeout", "connection", "tls", "maxclients"})
"""Nobody was heard, rather than an answer that does not help."""


class Elsewhere(StoreUnavailable):
    """A node of a cluster that says which node to ask."""

    def __init__(self, text: str, kind: str, node: HostPort) -> None:
        super().__init__(text, kind)
        self.node = node


def unavailable(what: str, error: BaseException) -> StoreUnavailable:
    """Return *error*, met while doing *what*, as the one error that the rest of the house knows."""
    if isinstance(error, StoreUnavailable):
        return error
    text = f"{what}: {type(error).__name__}: {error}"
    if isinstance(error, AskError):
        return Elsewhere(text, _name(error), HostPort(error.host, error.port))
    return StoreUnavailable(text, _name(error))


def _name(error: BaseException) -> str:
    for kind in _CLASSES:
        if isinstance(error, kind[0]):
            return kind[1]
    said = str(error)
    for named in _SAID:
        if any(word in said for word in named.words):
            return named.name
    if isinstance(error, RedisTimeoutError | TimeoutError):
        return "timeout"
    if "No connection available" in said:
        return "pool"
    if isinstance(error, ssl.SSLError) or "certificate" in said.lower() or "SSL" in said:
        return "tls"
    if isinstance(error, RedisConnectionError | OSError):
        return "connection"
    return "refused"
