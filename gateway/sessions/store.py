"""The session store: every decision about a session, each in one atomic step inside Redis or Valkey.

The scripts in `lua/` decide and this module words their answers as `outcomes`. Nothing here reads a clock: the store's
own `TIME` is the only one that counts, so gateways with wrong clocks agree. No command is newer than Redis 6.2, and
every key a script touches is declared in KEYS, so the same code works on a cluster node.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.errors import StoreUnavailable
from gateway.sessions import replies
from gateway.sessions.address import Address, Topology
from gateway.sessions.keys import Keys
from gateway.sessions.link import Link, open_link, script
from gateway.sessions.outcomes import Created, Dead, Disabled, Ended, Peeked, Renewed, SessionView, Unknown, UserEnded
from gateway.sessions.replies import items, number, text
from gateway.tokens.refresh import RefreshToken

# Stored for the user's own list of sessions; longer ones are cut.
_LABEL = 128

# Keys looked at in one step of a search: a fraction of a millisecond of the server's time, or what it takes.
_PAGE, _EVERYTHING = 1000, 100_000_000

_CLUSTER_SKEW = 0.5
"""Seconds by which the clocks of a cluster's nodes may differ (identity.md 2.8)."""

OLDEST = (6, 2)
"""The oldest Redis whose commands the scripts keep to; Valkey began at 7.2."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How long sessions live and how forgiving a refresh is; seconds."""

    absolute: float = 14 * 86400
    """A session ends this long after its login, whatever happens."""
    idle: float = 3 * 86400
    """And this long after its last refresh; 0 for never."""
    grace: float = 10
    """A spent token gets its successor again for this long. 0 is strict: a second use is a leak."""
    lost_response_window: float = 0
    """A spent token whose successor nobody has seen may fork for this long; 0 switches it off."""
    accept_ahead: bool = True
    """Wind a session forward when the store lost writes, instead of logging its user out."""
    max_sessions: int = 0
    """Sessions a user may have; 0 for no limit."""
    tombstone: float = 665
    """A dead session is remembered this long: at least the longest life of an access token."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a session begins with."""

    session: str
    family: bytes
    """The 16 secret bytes that only the client's token carries; the store keeps their hash."""
    sub: str
    tenant: str | None
    client: str
    amr: tuple[str, ...] = ("pwd",)
    scope: str = ""
    grants: str = ""
    device: str = ""
    user_agent: str = ""
    address: str = ""
    binding: str = ""
    """Thumbprint of the key the session is bound to (RFC 9449), "" for none."""


def family_hash(family: bytes) -> bytes:
    """Return what the store keeps of a family; 128 random bits need no slow hash (ASVS 6.5.2)."""
    return hashlib.sha256(family).digest()


class SessionStore:
    """Sessions in Redis or Valkey.

    Every method raises `StoreUnavailable` when the store did not do its part in time; what it did is then unknown, and
    asking again is safe (for `rotate`: unless the policy is strict).
    """

    def __init__(
        self,
        address: Address,
        prefix: str = "gw",
        *,
        on_trouble: Callable[[StoreUnavailable], None] = lambda trouble: None,
    ) -> None:
        """*on_trouble* is told of every call that fails."""
        self.keys = Keys(prefix)
        self.address = address
        self.link: Link = open_link(address, on_trouble=on_trouble)
        # Cut-offs of many users are made by one node of a cluster, and compared with the stamps of the others.
        self._skew = _CLUSTER_SKEW if address.place.topology is Topology.CLUSTER else 0.0
        self._login = script("login")
        self._refresh = script("refresh")
        self._peek = script("peek")
        self._revoke_session = script("revoke_session")
        self._revoke_user = script("revoke_user")
        self._enable_user = script("enable_user")
        self._sessions_of = script("sessions_of")
        self._cut = script("cut")
        self._stamp = script("stamp")

    async def create(self, tag: bytes, new: NewSession, policy: Policy, *, wide_cut: int = 0) -> Created | Disabled:
        """Make a session for the user *tag*, pushing out the oldest ones beyond `policy.max_sessions`."""
        keys = self.keys.of(tag)
        facts: Mapping[str, str] = {
            "sub": new.sub,
            "ten": new.tenant or "",
            "cid": new.client,
            "amr": " ".join(new.amr),
            "scp": new.scope,
            "cnf": new.binding,
            "dev": _label(new.device),
            "ua": _label(new.user_agent),
            "ip": _label(new.address),
        }
        reply = await self.link.run(
            self._login,
            (keys.session(new.session), keys.index, keys.user),
            (
                new.session,
                family_hash(new.family),
                _ms(policy.absolute),
                _ms(policy.idle),
                policy.max_sessions,
                wide_cut,
                new.grants,
                *(part for pair in facts.items() for part in pair),
            ),
            is_durable=True,
        )
        return replies.login(reply)

    async def peek(self, tag: bytes, session: str, *, wide_cut: int = 0) -> Peeked | Unknown:
        """Return what a session was made with and whether it is alive, changing nothing."""
        keys = self.keys.of(tag)
        reply = await self.link.run(self._peek, (keys.session(session), keys.index, keys.user), (session, wide_cut))
        return replies.peek(reply)

    async def rotate(
        self,
        token: RefreshToken,
        session: str,
        policy: Policy,
        *,
        wide_cut: int = 0,
        binding: str = "",
        grants: str = "",
    ) -> Renewed | Dead:
        """Spend *token*, whose MAC is ours: of any number of concurrent calls exactly one rotates.

        A spent token that comes back when no grace excuses it means that it leaked, and the session dies in the same
        step (RFC 9700 section 4.14.2). *grants* replaces what is remembered of the user's newest tokens.
        """
        keys = self.keys.of(token.tag)
        reply = await self.link.run(
            self._refresh,
            (keys.session(session), keys.index, keys.user),
            (
                session,
                family_hash(token.family),
                token.counter,
                _ms(policy.grace),
                _ms(policy.lost_response_window),
                "1" if policy.accept_ahead else "",
                _ms(policy.tombstone),
                binding,
                wide_cut,
                grants,
            ),
        )
        return replies.refresh(reply)

    async def revoke_session(self, tag: bytes, session: str, policy: Policy, reason: str = "logout") -> Ended:
        """End one session of the user *tag*; an unknown or ended one is left as it is."""
        keys = self.keys.of(tag)
        found, stamp = await self.link.run(
            self._revoke_session,
            (keys.session(session), keys.index, keys.user),
            (session, _ms(policy.tombstone), reason),
            is_durable=True,
        )
        return Ended(number(stamp), was_active=number(found) == 2, was_known=number(found) > 0)

    async def revoke_user(
        self, tag: bytes, policy: Policy, *, disable: bool = False, before_ms: int | None = None
    ) -> UserEnded:
        """End every session of a user, or those begun up to *before_ms*; *disable* refuses new ones, too."""
        keys = self.keys.of(tag)
        cut, sids = await self.link.run(
            self._revoke_user,
            (keys.user, keys.index),
            (_ms(policy.absolute), "1" if disable else "", "" if before_ms is None else before_ms),
            is_durable=True,
        )
        return UserEnded(number(cut), tuple(text(sid) for sid in items(sids)))

    async def enable_user(self, tag: bytes, policy: Policy) -> bool:
        """Let a disabled user log in again; say whether they were disabled."""
        user = self.keys.of(tag).user
        (was,) = await self.link.run(self._enable_user, (user,), (_ms(policy.absolute),), is_durable=True)
        return number(was) == 1

    async def cut(self, field: str, policy: Policy, before_ms: int | None = None) -> int:
        """Raise the durable cut-off of `cli:<id>`, `ten:<id>` or `all` to now, or *before_ms*; return it (ms)."""
        arguments = (field, _ms(policy.absolute), _ms(self._skew), "" if before_ms is None else before_ms)
        (cut,) = await self.link.run(self._cut, (self.keys.cuts,), arguments, is_durable=True)
        return number(cut)

    async def stamp(self, *fields: str, wide_cut: int = 0) -> int:
        """Return now in milliseconds, later than *wide_cut* and the durable cut-offs of *fields*."""
        (stamp,) = await self.link.run(self._stamp, (self.keys.cuts,), (wide_cut, *fields))
        return number(stamp)

    async def spend_assertion(self, client: str, token_id: str, seconds: float) -> bool:
        """Note that a client's assertion was used, for *seconds*; False when it had been used before."""
        name = hashlib.sha256(f"{client}\0{token_id}".encode()).hexdigest()
        reply = await self.link.command("SET", self.keys.assertion(name), 1, "NX", "PX", max(1, _ms(seconds)))
        return reply is not None

    async def cuts(self) -> dict[str, int]:
        """Return every durable wide cut-off."""
        reply = items(await self.link.command("HGETALL", self.keys.cuts))
        return {text(name): number(cut) for name, cut in zip(reply[::2], reply[1::2], strict=True)}

    async def sessions_of(self, tag: bytes) -> tuple[SessionView, ...]:
        """Return the live sessions of a user, the one used last at the end."""
        keys = self.keys.of(tag)
        sids = [text(sid) for sid in await self.link.run(self._sessions_of, (keys.index,))]
        fields = ("st", "ca", "lu", "ea", "id", "cid", "amr", "dev", "ua", "ip")
        cut, *rows = await self.link.many(
            [("HGET", keys.user, "cut"), *(("HMGET", keys.session(sid), *fields) for sid in sids)]
        )
        views = (replies.view(sid, items(row)) for sid, row in zip(sids, rows, strict=True))
        return tuple(view for view in views if view is not None and view.created_ms > number(cut or 0))

    async def owner(self, session: str) -> bytes | None:
        """Return the tag of the user whose session this is, found by looking at every key; for operators.

        None when nobody has such a session.
        """
        pattern, cursor = f"{self.keys.prefix}:{{*}}:s:{session}", "0"
        # A cursor is good at one node only, so several nodes are asked for all they have at once.
        page = _EVERYTHING if self.address.place.topology is Topology.CLUSTER else _PAGE
        while True:
            for reply in await self.link.each("SCAN", cursor, "MATCH", pattern, "COUNT", page):
                position, found = items(reply)
                cursor = text(position)
                for key in items(found):
                    return bytes.fromhex(text(key).partition("{")[2].partition("}")[0])
            if cursor == "0" or page == _EVERYTHING:
                return None

    def reader(self, *, block: float) -> Link:
        """Return a link of one connection for whoever follows the feed; *block* as for `open_link`."""
        return open_link(self.address, connections=1, block=block)

    async def ping(self) -> None:
        """Return when the store answered, every primary of it."""
        await self.link.each("PING")

    async def warnings(self) -> tuple[str, ...]:
        """Return what an operator should mend in the store's settings, as sentences."""
        found: dict[str, None] = {}
        for reply in await self.link.each("INFO"):
            facts = dict(line.split(":", 1) for line in text(reply).splitlines() if ":" in line)
            found |= dict.fromkeys(_warnings(facts))
        return tuple(found)

    async def close(self) -> None:
        """Close the connections."""
        await self.link.close()


def _warnings(facts: Mapping[str, str]) -> list[str]:
    """Judge what a server says of itself (INFO); a hosted one may say less."""
    found = []
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(
            f"the store's maxmemory-policy is {policy}: it may drop sessions and revocations silently; "
            "set it to noeviction"
        )
    if facts.get("evicted_keys", "0") != "0":
        found.append(f"the store has evicted {facts['evicted_keys']} keys: sessions or revocations may be gone")
    version = facts.get("redis_version", "")
    if version and tuple(int(part) for part in version.split(".")[:2] if part.isdecimal()) < OLDEST:
        found.append(f"the store is Redis {version}, and the gateway is made for 6.2 and later")
    if facts.get("aof_enabled") == "0":
        found.append(
            "the store keeps no append-only file: logins and logouts of its last minutes may be lost when it stops"
        )
    return found


def connect(
    url: str,
    password: str | None = None,
    timeout: float = 0.5,
    prefix: str = "gw",
    *,
    replicas: int = 0,
    sentinel_password: str | None = None,
    on_trouble: Callable[[StoreUnavailable], None] = lambda trouble: None,
) -> SessionStore:
    """Return the store at *url* (see `address`); connects at the first call.

    Raises:
        ConfigError: the URL or the prefix cannot be used.
    """
    address = Address(url, password, timeout, replicas, sentinel_password)
    return SessionStore(address, prefix, on_trouble=on_trouble)


def _label(value: str) -> str:
    return "".join(c for c in value[:_LABEL] if c.isprintable())


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
