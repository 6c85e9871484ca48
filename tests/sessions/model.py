"""The refresh state table as plain Python: what the scripts must do, without a store. Times are in seconds."""

from dataclasses import dataclass

from gateway.sessions.store import Policy


@dataclass
class Session:
    """One session, as identity: a counter, its parent, and what has happened to it."""

    ends: float
    created: float
    used: float
    state: str = "active"
    counter: int = 0
    parent: int = -1
    rotated: float | None = None
    is_confirmed: bool = False
    binding: str = ""


@dataclass
class User:
    """What is remembered of a user."""

    cut: float = -1.0
    last: float = -1.0
    """The latest stamp anything of theirs was given."""
    is_disabled: bool = False


def refresh(session: Session | None, user: User, c: int, t: float, policy: Policy, binding: str = "") -> str:
    """Apply the first row of the table that fits and return its outcome."""
    if session is None:
        return "Unknown"
    if session.state != "active":
        return "Revoked"
    if t >= session.ends or (policy.idle and t >= session.used + policy.idle):
        return "Expired"
    if binding != session.binding:
        return "BindingMismatch"
    if user.is_disabled or session.created <= user.cut:
        session.state = "revoked"
        return "Disabled" if user.is_disabled else "Revoked"
    age = float("inf") if session.rotated is None else t - session.rotated
    if c == session.counter and age >= policy.grace:
        session.parent, session.counter, session.rotated, session.is_confirmed = c, c + 1, t, False
        outcome = "Rotated"
    elif c == session.counter:
        session.is_confirmed = True
        outcome = "Coalesced"
    elif c == session.parent and age < policy.grace:
        outcome = "Replayed"
    elif c == session.parent and not session.is_confirmed and age < policy.lost_response_window:
        session.counter, session.rotated = session.counter + 1, t
        outcome = "Forked"
    elif c > session.counter and policy.accept_ahead:
        session.parent, session.counter, session.rotated, session.is_confirmed = c, c + 1, t, False
        outcome = "Healed"
    elif c > session.counter:
        return "AheadRefused"
    else:
        session.state = "reused"
        return "Reused"
    session.used = t
    return outcome
