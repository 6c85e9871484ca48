"""What the gateway would say to a request: its own gate, with a caller who is described instead of logged in.

Nothing is decided here. The routes and rules are the file's, and the token is a real one, signed with a key that is
made for the purpose and verified as any other; so the answer is the running gateway's by construction. What only a
running gateway knows is left out: revocations, budgets of addresses and clients, and what upstreams answer.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.app.forwarding import field_kinds
from gateway.config.faults import meant
from gateway.config.models import Config
from gateway.config.roles import bringing
from gateway.config.routes import route_table
from gateway.errors import ConfigError, Refusal, refuse
from gateway.gate import Answered, Gate, Pending, Permit
from gateway.head import Peer, RequestHead
from gateway.proxy.forwarded import forwarded
from gateway.proxy.names import HostForms
from gateway.proxy.request import read_fields
from gateway.routing.conditions import Asked as Looked
from gateway.routing.explained import Explanation
from gateway.routing.host import normal_host
from gateway.routing.table import Fork, Match, RouteTable
from gateway.routing.target import BadTarget, read
from gateway.tokens.cache import Verified
from gateway.tokens.clients import Client
from gateway.tokens.issue import AccessToken, Issuer, Unissuable
from gateway.tokens.keys import KeyRing, generate_key
from gateway.tokens.secrets import Secrets
from gateway.tokens.subject import Subject
from gateway.tokens.verify import Identity, Invalid, Verifier
from gateway.users.claims import mapped
from gateway.users.file import UserRecord, normal_name, subject_of

ANONYMOUS = "anonymous"
SERVED = 200
"""Stands for whatever the service answers."""
MFA = ("pwd", "otp", "mfa")
"""`amr` of a login with a second factor (RFC 8176 section 2)."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who asks."""

    title: str
    subject: Subject | None
    """None asks without a token."""
    factors: tuple[str, ...] = ("pwd",)
    login_age: float = 0.0
    """Seconds since the login."""
    program: str = ""
    """The client whose own token this is; "" for a person."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    method: str
    target: str
    host: str = "localhost"
    address: str = "127.0.0.1"
    fields: tuple[tuple[str, str], ...] = ()
    """Header fields in order; a name may come again."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gateway says to one request, and by which route."""

    refusal: Refusal | None
    """None when it goes through."""
    match: Match | None
    identity: Identity | None
    status: int
    """What a client gets; SERVED stands for whatever the service answers."""
    explanation: Explanation

    @property
    def code(self) -> str:
        return "" if self.refusal is None else self.refusal.code.name


class Deciding:
    """The gate of a configuration, to be asked about requests that nobody sends."""

    def __init__(self, config: Config, users: Mapping[str, UserRecord]) -> None:
        self.config = config
        self.routes: RouteTable = route_table(config)
        self._users = users
        self._brought = bringing(config.roles)
        self._callers: dict[bytes, Verified | Invalid] = {}
        self._kinds, self._hosts = field_kinds(config), HostForms(normal_host)
        derived = config.effective
        ring = KeyRing([generate_key("ES256")])
        ttl, leeway = round(config.tokens.access_ttl), config.tokens.leeway
        audience = derived.audience
        self._issuer = Issuer(ring, derived.issuer, audience, "gateway", ttl, max_bytes=1 << 20)
        self._verifier = Verifier(
            ring, derived.issuer, frozenset(audience), leeway, max_lifetime=round(ttl + leeway), max_bytes=1 << 20
        )
        self._gate = Gate(
            routes=self.routes,
            tokens=self,
            feed=_AllTold(),
            wall=time.time,
            secrets=Secrets(os.urandom(32)),
            own_origins=derived.own_origins,
            read_from=frozenset({"bearer"}),
        )

    # --- who ---

    def person(self, name: str) -> Person:
        """Return who *name* is: anonymous, somebody of the users file, a role for anybody who has it, or a client.

        Raises:
            ConfigError: nobody is.
        """
        if name == ANONYMOUS:
            return Person(name, None)
        wanted = normal_name(name)
        for written, record in self._users.items():
            if normal_name(written) == wanted:
                return Person(f"{written} (roles: {', '.join(record.roles) or 'none'})", self._mapped(written, record))
        if name in self.config.roles:
            return Person(f"anybody with the role {name}", Subject(f"{name}-1", f"{name}-1", roles=(name,)))
        if name in self.config.clients:
            return self.client(name)
        known = (ANONYMOUS, *self._users, *self.config.roles, *self.config.clients)
        login = self.config.login
        if login is not None and login.verify.users_file is None:
            there_is = f"people outside of a file are not looked up: there is {', '.join(known)}, and --token"
        else:
            there_is = meant(name, known) or f"there is {', '.join(known)}"
        raise ConfigError(f'nobody is called "{name}"; {there_is}')

    def client(self, name: str) -> Person:
        """Return the program that is registered as *name*."""
        own = self.config.clients[name]
        known = Client(name, (), None, own.roles, own.permissions, own.scopes, own.tenant)
        return Person(f"the program {name}", known.subject, program=name)

    def _mapped(self, name: str, record: UserRecord) -> Subject:
        login = self.config.login
        subject = subject_of(name, record)
        return mapped(subject, login.claim_map) if login and login.claims else subject

    def endowed(self, who: Person) -> Person:
        """Return *who* with the permissions that roles bring along, as tokens have them."""
        return who if who.subject is None else replace(who, subject=who.subject.endowed(self._brought))

    # --- what ---

    def decide(self, who: Person, asked: Asked) -> Verdict:
        """Return what *who* is told."""
        return self._decide(None if who.subject is None else self._token(who), asked)

    def decide_for(self, found: Identity | Invalid, asked: Asked) -> Verdict:
        """Return what is told to whoever sends a token that a verifier has *found* to be this."""
        token = b"given"
        self._callers[token] = _kept(found)
        return self._decide(token, asked)

    def _decide(self, token: bytes | None, asked: Asked) -> Verdict:
        host = asked.host.encode("utf-8", "surrogateescape")
        if self._hosts[host] is None:
            raise ConfigError(f'"{asked.host}" is no host name')
        pairs = [(b"Host", host), *((name.encode(), value.encode()) for name, value in asked.fields)]
        if token is not None:
            pairs.append((b"Authorization", b"Bearer " + token))
        fields = read_fields(pairs, 1, self._kinds, self._hosts)
        if isinstance(fields, Refusal):
            return Verdict(fields, None, None, fields.status, _explanation(fields, None))
        peer = forwarded(fields, Peer(asked.address, True), tuple(self.config.server.trusted_proxies)).peer
        target = asked.target.encode("utf-8", "surrogateescape")
        head = RequestHead(asked.method.encode(), target, 1, fields, peer)
        verdict = self._gate.admit(head)
        caller = self._callers.get(token) if token is not None else None
        identity = caller.identity if isinstance(caller, Verified) else None
        match = self._match(head)
        if isinstance(verdict, Pending):  # everything is known here
            verdict = refuse("internal_error", "pending")
        if isinstance(verdict, Refusal):
            return Verdict(verdict, match, identity, verdict.status, _explanation(verdict, match))
        assert isinstance(verdict, Permit | Answered)
        status = verdict.status if isinstance(verdict, Answered) else SERVED
        looked = Looked({} if match is None else match.params, peer.address, time.time(), fields.field)
        rule = (
            None if match is None or isinstance(verdict, Answered) else match.rule
        )  # nobody asks it for an answer of ours
        explanation = Explanation(match and match.route, rule, identity, looked, None)
        return Verdict(None, match, identity, status, explanation)

    def _match(self, head: RequestHead) -> Match | None:
        method, raw, _, fields, _ = head
        target = read(raw)
        if isinstance(target, BadTarget):
            return None
        found = self.routes.match(method, fields.host, target.path)
        if isinstance(found, Fork):
            found = found.taken(fields.field)
        return found if isinstance(found, Match) else None

    def _token(self, who: Person) -> bytes:
        assert who.subject is not None
        now = time.time()
        try:
            made = issued(self._issuer, self.endowed(who), now)
        except Unissuable as error:
            raise ConfigError(f"{who.title}: {error}") from error
        token = made.token.encode()
        identity = self._verifier.verify(token, now)
        self._callers.clear()
        self._callers[token] = _kept(identity)
        return token

    # --- the gate's question about a token ---

    def check(self, token: bytes, _now: float) -> Verified | Invalid:
        if token not in self._callers:
            raise ConfigError("a token in Sec-WebSocket-Protocol is not looked at; --as and --token say who asks")
        return self._callers[token]

    def remembers(self, token: bytes) -> bool:
        return token in self._callers


def issued(issuer: Issuer, who: Person, now: float) -> AccessToken:
    """Return the token that *who* has at *now*.

    Raises:
        Unissuable: no token can say so.
    """
    assert who.subject is not None
    stamp = int(now * 1000)
    if who.program:
        return issuer.client_token(who.program, who.subject, stamp_ms=stamp, scopes=who.subject.scopes)
    return issuer.access_token(
        who.subject, session="A" * 22, stamp_ms=stamp, auth_time=int(now - who.login_age), amr=who.factors
    )


def _kept(found: Identity | Invalid) -> Verified | Invalid:
    if isinstance(found, Invalid):
        return found._replace(wait=None)  # nobody is asked for more keys
    return Verified(found, b"", 0, float("inf"), 0)


def _explanation(refusal: Refusal, match: Match | None) -> Explanation:
    """Return the gate's own explanation of *refusal*; where no rule decided there is none, and little to explain."""
    if isinstance(refusal.why, Explanation):
        return refusal.why
    params = {} if match is None else match.params
    return Explanation(match and match.route, None, None, Looked(params), refusal)


class _AllTold:
    """A feed that has told everything."""

    cold = False
    fresh = True
    offset = 0.0

    async def synced(self) -> None:
        """Nothing is missing."""

    def doubt(self, _identity: Identity) -> Refusal | Pending:
        return refuse("internal_error", "fresh")


def sample(template: str) -> str:
    """Return a path that *template* matches: parameters are 1 or a UUID, and below ``/**`` there is something."""
    parts = []
    for segment in template.split("/")[1:]:
        if segment == "**":
            parts.append("something")
        elif segment.startswith("{"):
            parts.append("00000000-0000-4000-8000-000000000001" if segment.endswith(":uuid}") else "1")
        else:
            parts.append(segment)
    return "/" + "/".join(parts)
