"""Users whom a service of somebody's own knows: it is asked whose password this is, and who somebody is now.

Every question is a POST of JSON. These answers count, and every other one is an outage, because a proxy, a missing
route or a token that has been changed answer 401, 403 and 404 as well:

    200  {"sub": …}                          the person, in the words of the users file; with "disabled", nobody
    401  {"error": "invalid_credentials"}    not their password; to a lookup an outage
    403  {"error": "disabled"}               somebody who may not log in
    404  {"error": "unknown_user"}           nobody

A service that has no lookup is not asked at a refresh: what it said of a person at their last login is kept, sealed,
for as long as a session can live. That this is not there says nothing about the person.
"""

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from gateway.errors import StoreUnavailable
from gateway.tokens.claims import is_text, names
from gateway.tokens.claims import scopes as read_scopes
from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.sealing import Seal
from gateway.tokens.strict import strict_json_object
from gateway.tokens.subject import Subject
from gateway.users.checking import unhashable

MAX_ANSWER = 64 << 10
"""Bytes; a token could not hold more anyway."""

_OWN = frozenset({"sub", "username", "roles", "permissions", "scopes", "tenant", "claims", "disabled"})
_NO = {401: "invalid_credentials", 403: "disabled", 404: "unknown_user"}
"""The word that has to come with a status; it is the reason for the log as well."""


class Heard(NamedTuple):
    """The service answered."""

    status: int
    body: bytes


class Silence(NamedTuple):
    """There is no answer, or not a whole one."""

    reason: str


class Service(Protocol):
    """Who is asked; has a deadline of its own, and raises Refused (overloaded) when too many wait already."""

    async def ask(self, url: str, question: bytes) -> Heard | Silence: ...


class Remembering(Protocol):
    """Where sealed records are kept; raises StoreUnavailable."""

    async def keep(self, sub: str, record: str) -> None: ...

    async def recall(self, sub: str) -> str | None: ...


class CalloutUsers:
    """A `CredentialVerifier`."""

    def __init__(
        self,
        service: Service,
        url: str,
        lookup_url: str | None,
        memory: Remembering,
        seal: Seal,
        *,
        whole: bool = False,
        on_fault: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """*whole* makes claims of all members of an answer, for a mapping that chooses among them.

        *on_fault* is told, for the operator's log, why an answer does not count.
        """
        self._service = service
        self._url = url
        self._lookup_url = lookup_url
        self._memory = memory
        self._seal = seal
        self._whole = whole
        self._on_fault = on_fault

    async def verify(self, username: str, password: str) -> Subject | InvalidCredentials | Unavailable:
        """Return whose password this is; raises Refused (overloaded) when too many logins wait already."""
        if not username or not password:
            return InvalidCredentials("empty")
        if (reason := unhashable(password)) is not None:
            return InvalidCredentials(reason)
        if not is_text(username):
            return InvalidCredentials("unknown_user")  # a name that no token can hold, so nobody has it
        heard = await self._asked(self._url, {"username": username, "password": password})
        match heard:
            case Gone(reason=reason):
                return InvalidCredentials(reason)
            case Unavailable() | InvalidCredentials():
                return heard
            case _:
                subject = self._read(heard)
        if isinstance(subject, Gone):
            return InvalidCredentials(subject.reason)
        if isinstance(subject, Subject) and self._lookup_url is None:
            try:
                await self._memory.keep(subject.sub, self._seal.close(heard, _about(subject.sub)))
            except StoreUnavailable:
                return Unavailable("store")  # this person could never refresh
        return subject

    async def subject(self, sub: str) -> Subject | Gone | Unavailable:
        """Return the person as the service has them now, or as it had them at their last login."""
        heard = await self._recalled(sub) if self._lookup_url is None else await self._looked_up(self._lookup_url, sub)
        if isinstance(heard, Gone | Unavailable):
            return heard
        subject = self._read(heard)
        if isinstance(subject, Subject) and subject.sub != sub:
            return self._fault("an answer about somebody else")
        return subject

    async def _looked_up(self, url: str, sub: str) -> bytes | Gone | Unavailable:
        heard = await self._asked(url, {"sub": sub})
        if isinstance(heard, InvalidCredentials):
            return self._fault("an answer about a password where none was asked about")
        return heard

    async def _recalled(self, sub: str) -> bytes | Unavailable:
        try:
            sealed = await self._memory.recall(sub)
        except StoreUnavailable:
            return Unavailable("store")
        # Not there: the store lost it, or sessions were begun with another user store. Nobody said that they are gone.
        opened = None if sealed is None else self._seal.open(sealed, _about(sub))
        return Unavailable("not_remembered") if opened is None else opened

    async def _asked(self, url: str, question: Mapping[str, str]) -> bytes | InvalidCredentials | Gone | Unavailable:
        """Return what the service says of a person."""
        heard = await self._service.ask(url, json.dumps(question, ensure_ascii=False).encode())
        if isinstance(heard, Silence):
            return self._fault(f"no answer: {heard.reason}")
        if heard.status == 200:
            return heard.body
        why = _NO.get(heard.status)
        if why is None or why != _error(heard.body):
            return self._fault(f"an answer {heard.status} without a word that counts")
        return InvalidCredentials(why) if heard.status == 401 else Gone(why)

    def _read(self, body: bytes) -> Subject | Gone | Unavailable:
        try:
            return person(strict_json_object(body), whole=self._whole)
        except BadAnswer as error:
            return self._fault(f"an answer whose {error} cannot be used")
        except ValueError:
            return self._fault("an answer that is no JSON object")

    def _fault(self, reason: str) -> Unavailable:
        self._on_fault(f"the users' service: {reason}")
        return Unavailable("callout")


class BadAnswer(Exception):
    """A member cannot be used; the message names it."""


def person(members: Mapping[str, object], *, whole: bool) -> Subject | Gone:
    """Return whom *members* describe, in the words of the users file.

    Raises:
        BadAnswer: a member is missing, or of another kind than it has to be. Nothing is guessed.
    """
    disabled = members.get("disabled", False)
    claims = members.get("claims", {})
    if type(disabled) is not bool:
        raise BadAnswer("disabled")
    if type(claims) is not dict:
        raise BadAnswer("claims")
    sub = _text(members, "sub")
    others = {name: value for name, value in members.items() if name not in _OWN} if whole else {}
    subject = Subject(
        sub=sub,
        username=_text(members, "username") if "username" in members else sub,
        roles=_names(members, "roles"),
        permissions=_names(members, "permissions"),
        scopes=_scopes(members),
        tenant=None if members.get("tenant") is None else _text(members, "tenant"),
        claims={**others, **claims},
    )
    return Gone("disabled") if disabled else subject


def _text(members: Mapping[str, object], name: str) -> str:
    value = members.get(name)
    if not is_text(value):
        raise BadAnswer(name)
    return value


def _names(members: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = members.get(name, [])
    if type(value) is not list or names(value) is None:
        raise BadAnswer(name)
    return tuple(dict.fromkeys(value))


def _scopes(members: Mapping[str, object]) -> tuple[str, ...]:
    words = _names(members, "scopes")
    if read_scopes(" ".join(words)) != frozenset(words):
        raise BadAnswer("scopes")
    return words


def _error(body: bytes) -> object:
    try:
        return strict_json_object(body).get("error")
    except ValueError:
        return None


def _about(sub: str) -> bytes:
    return f"subject {sub}".encode()
