"""Reading what the store answers: raw replies in, `outcomes` out.

A reply of another shape was not made by our scripts, and counts as no answer at all: `StoreUnavailable`, never a guess.
"""

from gateway.errors import StoreUnavailable
from gateway.sessions.outcomes import (
    AheadRefused,
    BindingMismatch,
    Coalesced,
    Created,
    Dead,
    Disabled,
    Expired,
    Facts,
    Forked,
    Healed,
    Peeked,
    Renewed,
    Replayed,
    Reused,
    Revoked,
    Rotated,
    SessionView,
    Unknown,
)

Reply = bytes | int | None | list["Reply"]

_RENEWED: dict[bytes, type[Rotated | Coalesced | Replayed | Forked | Healed]] = {
    b"rotated": Rotated,
    b"coalesced": Coalesced,
    b"replayed": Replayed,
    b"forked": Forked,
    b"healed": Healed,
}


def number(reply: Reply) -> int:
    """Return *reply* as an integer."""
    if isinstance(reply, int):
        return reply
    try:
        return int(reply if isinstance(reply, bytes) else b"")
    except ValueError:
        raise _strange("number") from None


def text(reply: Reply) -> str:
    """Return *reply* as text; what is absent is empty."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "replace")
    return "" if reply is None else str(reply)


def items(reply: Reply) -> list[Reply]:
    """Return *reply* as a list; what is absent is empty."""
    if reply is None:
        return []
    if not isinstance(reply, list):
        raise _strange("list")
    return reply


def login(reply: list[Reply]) -> Created | Disabled:
    """Read the answer of login.lua."""
    match reply:
        case [b"created", stamp, ends, dies, auth_time, grants, evicted]:
            return Created(
                number(stamp),
                number(ends),
                number(dies),
                number(auth_time),
                tuple(text(sid) for sid in items(evicted)),
                text(grants),
            )
        case [b"disabled"]:
            return Disabled()
        case _:
            raise _strange("login")


def peek(reply: list[Reply]) -> Peeked | Unknown:
    """Read the answer of peek.lua."""
    match reply:
        case []:
            return Unknown()
        case [active, *facts]:
            return Peeked(_facts(facts), number(active) == 1)
        case _:
            raise _strange("peek")


def refresh(reply: list[Reply]) -> Renewed | Dead:
    """Read the answer of refresh.lua: one of the eleven rows of the state table."""
    match reply:
        case [bytes(word), n, stamp, ends, dies, grants, *facts] if (renewed := _RENEWED.get(word)) is not None:
            return renewed(number(n), number(stamp), number(ends), number(dies), _facts(facts), text(grants))
        case [b"unknown"]:
            return Unknown()
        case [b"revoked", reason]:
            return Revoked(text(reason))
        case [b"expired"]:
            return Expired()
        case [b"binding"]:
            return BindingMismatch()
        case [b"disabled"]:
            return Disabled()
        case [b"ahead"]:
            return AheadRefused()
        case [b"reused", n, age]:
            return Reused(number(n), number(age))
        case _:
            raise _strange("refresh")


def _facts(reply: list[Reply]) -> Facts:
    if len(reply) != 6:
        raise _strange("facts")
    sub, tenant, client, auth_time, amr, scope = reply
    return Facts(
        text(sub), text(tenant) or None, text(client), number(auth_time), tuple(text(amr).split()), text(scope)
    )


def view(session: str, row: list[Reply]) -> SessionView | None:
    """Read one line of the list of sessions; None when it ended meanwhile."""
    state, created, used, ends, idle, client, amr, device, user_agent, address = row
    if state != b"a":
        return None
    end = number(ends)
    return SessionView(
        session,
        number(created),
        number(used),
        end,
        min(end, number(used) + number(idle)) if number(idle) else end,
        text(client),
        tuple(text(amr).split()),
        text(device),
        text(user_agent),
        text(address),
    )


def _strange(what: str) -> StoreUnavailable:
    return StoreUnavailable(f"the store's answer is not ours ({what})")
