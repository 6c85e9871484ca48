"""What goes on after it was let in: open WebSockets, and answers that did not come whole.

A request is judged once, when it comes; a WebSocket or a stream of events may go on for hours after that. So each is
entered here under the session it belongs to, and is ended when that session is: by a revocation, or because somebody
looked (`due`) and found it over. An answer without an owner is nobody's session and is not entered.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from gateway.tokens.cache import Verified
from gateway.tokens.verify import Identity


class Stream(Protocol):
    """A WebSocket, or an answer under way."""

    due: float
    """Unix time at which somebody must look whether its session still lives; infinite without an owner."""

    @property
    def owner(self) -> Verified | None:
        """Whose it is; None for an anonymous one."""
        ...

    def end_session(self) -> None:
        """End it: its session is over."""
        ...

    def go_away(self) -> None:
        """The gateway stops: end what would not end by itself."""
        ...


class Streams:
    """All of one process, by session."""

    __slots__ = ("_by_session", "lives")

    def __init__(self) -> None:
        self._by_session: dict[str, set[Stream]] = {}
        self.lives: Callable[[Verified], bool] = lambda _verified: True
        """Whether a token that was verified a while ago still counts."""

    def __len__(self) -> int:
        return sum(map(len, self._by_session.values()))

    def __iter__(self) -> Iterator[Stream]:
        """Yield all there are now; each may be ended meanwhile."""
        for streams in list(self._by_session.values()):
            yield from tuple(streams)

    @property
    def sessions(self) -> frozenset[str]:
        """The sessions that have any; "" stands for none."""
        return frozenset(self._by_session)

    def add(self, stream: Stream) -> None:
        owner = stream.owner
        self._by_session.setdefault("" if owner is None else owner.identity.session, set()).add(stream)
        stream.due = float("inf") if owner is None else owner.expires

    def discard(self, stream: Stream) -> None:
        owner = stream.owner
        session = "" if owner is None else owner.identity.session
        streams = self._by_session.get(session)
        if streams is not None:
            streams.discard(stream)
            if not streams:
                del self._by_session[session]

    def of(self, session: str) -> tuple[Stream, ...]:
        """Return the streams of *session*."""
        return tuple(self._by_session.get(session, ()))

    def end_session(self, session: str) -> None:
        """End every stream of *session*: it is over."""
        for stream in self.of(session):
            stream.end_session()

    def end_dead(self, is_dead: Callable[[Identity], bool]) -> None:
        """End every stream whose owner's token *is_dead* now."""
        for stream in self:
            if stream.owner is not None and is_dead(stream.owner.identity):
                stream.end_session()

    def due(self, now: float) -> dict[str, Identity]:
        """Return the sessions that somebody must look at by *now* (Unix time), each with one of its identities."""
        found: dict[str, Identity] = {}
        for stream in self:
            if stream.due <= now and stream.owner is not None:
                found[stream.owner.identity.session] = stream.owner.identity
        return found
