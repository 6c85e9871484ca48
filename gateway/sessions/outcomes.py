"""What can come of asking the session store, as types that a caller tells apart with `match`.

The refresh state table (t = the store's clock, c = the presented counter, n = the current one, p = its parent, G = the
reuse grace, L = the lost-response window; the first row that fits decides, in one atomic step):

 1  session absent, or of another family             Unknown
 2  not active any more                              Revoked
 3  past its absolute or idle end                    Expired
 4  bound to another proof-of-possession key         BindingMismatch   nothing changes
 5  user disabled, evicted, or older than a cut-off  Disabled, Revoked the session is marked revoked
 6  c = n, and G is over (or never began)            Rotated           p = n, n = n + 1
 7  c = n, inside G                                  Coalesced         n as it is
 8  c = p, inside G                                  Replayed          n as it is: the same successor again
 9  c = p, inside L, n never presented               Forked            n = n + 1; the old n is an orphan
10  c > n: the store lost writes                     Healed            p = c, n = c + 1 (or AheadRefused)
11  anything else: the token leaked                  Reused            the session is dead

Sources: RFC 9700 section 4.14.2 (rotation and reuse), RFC 6819 section 5.2.2.3. Times are the store's milliseconds.
"""

from dataclasses import dataclass
from typing import NamedTuple


class Facts(NamedTuple):
    """What a session was created with; never changes."""

    sub: str
    tenant: str | None
    client: str
    auth_time: int
    """Unix time in seconds of the login (OpenID Connect Core section 2)."""
    amr: tuple[str, ...]
    """How the user proved who they are (RFC 8176)."""
    scope: str
    """The scope granted at login; a refresh may shrink it and never grows it (RFC 6749 section 6)."""


@dataclass(frozen=True, slots=True)
class Live:
    """A refresh that succeeded: the successor's counter and what the access token is made from."""

    counter: int
    stamp_ms: int
    """Issue time for the access token: later than every cut-off that was in force when it was decided."""
    ends_ms: int
    """The absolute end, fixed at login."""
    idle_ends_ms: int
    """The end if nothing more happens; never later than `ends_ms`."""
    facts: Facts
    grants: str
    """What this user's tokens carried before this one, as given to the store then."""


class Rotated(Live):
    """The token was spent for its successor."""

    __slots__ = ()


class Coalesced(Live):
    """A second refresh inside the grace: the current token is answered again."""

    __slots__ = ()


class Replayed(Live):
    """The parent came back inside the grace: it gets the very same successor."""

    __slots__ = ()


class Forked(Live):
    """The parent came back late and its successor was never seen: a lost response, given a new successor."""

    __slots__ = ()


class Healed(Live):
    """An authentic token was ahead of the store, which must have lost writes: it was wound forward."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """No such session, or a token of another family."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """The session had been ended, or was found to be older than a cut-off and is ended now."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Expired:
    """The session is over by its absolute or idle lifetime."""


@dataclass(frozen=True, slots=True)
class Disabled:
    """The user is disabled; the session is revoked now."""


@dataclass(frozen=True, slots=True)
class BindingMismatch:
    """The session is bound to another key; nothing was changed."""


@dataclass(frozen=True, slots=True)
class AheadRefused:
    """The token is ahead of the store and healing is switched off; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Reused:
    """A spent token came back: the session is dead, and so must be its access tokens."""

    counter: int
    """The counter that was current."""
    age_ms: int
    """How long ago it became current."""


Renewed = Rotated | Coalesced | Replayed | Forked | Healed
Dead = Unknown | Revoked | Expired | Disabled | BindingMismatch | AheadRefused | Reused


@dataclass(frozen=True, slots=True)
class Created:
    """A session that was just made."""

    stamp_ms: int
    ends_ms: int
    idle_ends_ms: int
    auth_time: int
    evicted: tuple[str, ...]
    """Sessions pushed out by `max_sessions`: dead for refreshing already, still to be published."""
    grants: str
    """What this user's tokens carried before this login."""


@dataclass(frozen=True, slots=True)
class Peeked:
    """A session as it is before it is touched."""

    facts: Facts
    active: bool


class Ended(NamedTuple):
    """What became of a request to end one session."""

    stamp_ms: int
    """No token of the session has a later stamp."""
    was_active: bool
    was_known: bool
    """The user has, or had until a short while ago, such a session."""


class UserEnded(NamedTuple):
    """What became of a request to end all sessions of a user."""

    cut_ms: int
    """Every token of the user up to this stamp is dead; the next login gets a later one."""
    sessions: tuple[str, ...]


class SessionView(NamedTuple):
    """One line of a user's list of sessions; holds nothing that could be used to refresh."""

    session: str
    created_ms: int
    used_ms: int
    ends_ms: int
    idle_ends_ms: int
    client: str
    amr: tuple[str, ...]
    device: str
    user_agent: str
    address: str
