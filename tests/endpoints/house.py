"""A small house around the application: real keys, tokens, users, cheap argon2, and a session service in memory."""

import secrets as random
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import DummyCookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from gateway.endpoints.application import SERVER_LIMITS, application
from gateway.endpoints.facts import Facts
from gateway.endpoints.services import Services
from gateway.routing.cors import Cors
from gateway.sessions.answers import BadCredentials, InvalidGrant, Login, Refreshed
from gateway.sessions.begun import TRIES
from gateway.sessions.outcomes import SessionView
from gateway.tokens.base64url import encode
from gateway.tokens.cache import VerifiedTokens
from gateway.tokens.clients import Assertion, Client
from gateway.tokens.issue import AccessToken, Issuer
from gateway.tokens.people import Gone, InvalidCredentials, Unavailable
from gateway.tokens.refresh import RefreshToken, mint, parse
from gateway.tokens.ring import KeyRing
from gateway.tokens.sealing import Seal
from gateway.tokens.secrets import Secrets, subject_tag
from gateway.tokens.signing import SigningKey
from gateway.tokens.subject import Subject
from gateway.tokens.verify import Identity, Verifier
from gateway.users.change import PasswordChange
from gateway.users.file import FileUsers, UserRecord
from gateway.users.passwords import Cost, Hasher, HashPool
from gateway.users.second_factor import SecondFactor
from gateway.users.turnstile import Turnstile
from tests.limits.brake import MemoryThrottle

ISSUER = "https://gw.example"
ORIGIN = "https://gw.example"
ACCESS_TTL = 600
REFRESH_TTL = 86_400
CHEAP = Cost(memory_kib=8, passes=1, lanes=1)

HttpClient = TestClient[web.Request, web.Application]


class MovedClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class DeadSessions:
    """A revocation table of sessions alone."""

    def __init__(self) -> None:
        self.epoch = 0
        self.sessions: set[str] = set()
        self.tokens: set[str] = set()

    def is_dead(self, identity: Identity) -> bool:
        return identity.session in self.sessions or identity.token_id in self.tokens

    def add(self, session: str) -> None:
        self.sessions.add(session)
        self.epoch += 1

    def add_token(self, token_id: str) -> None:
        self.tokens.add(token_id)
        self.epoch += 1


class MemorySessions:
    """A session service that keeps its sessions in a dictionary; `fails` makes every call fail."""

    def __init__(self, people: FileUsers, issuer: Issuer, secrets: Secrets, clock: MovedClock) -> None:
        self._people = people
        self._issuer = issuer
        self._secrets = secrets
        self._clock = clock
        self.live: dict[str, tuple[RefreshToken, Subject, str]] = {}
        self.dead = DeadSessions()
        self.logins: list[dict[str, str | None]] = []
        self.asked = 0
        self.amr: tuple[str, ...] = ()
        self.refreshes = 0
        self.fails: BaseException | None = None
        self.fails_to_end: BaseException | None = None
        self.grant_is_over = True

    async def verify(self, username: str, password: str) -> Subject | BadCredentials:
        self._break()
        self.asked += 1
        return _or_bad(await self._people.verify(username, password))

    async def subject(self, sub: str) -> Subject | BadCredentials:
        self._break()
        return _or_bad(await self._people.subject(sub))

    async def begin(
        self,
        person: Subject,
        *,
        amr: tuple[str, ...],
        scope: str | None = None,
        device: str | None = None,
        user_agent: str,
        address: str,
    ) -> Login | BadCredentials:
        self._break()
        self.logins.append({"scope": scope, "device": device, "user_agent": user_agent, "address": address})
        self.amr = amr
        tag = subject_tag(self._secrets, ISSUER, person.tenant, person.sub)
        token = RefreshToken(tag, random.token_bytes(16), random.token_bytes(16), 0)
        session = encode(token.session)
        granted = " ".join(s for s in person.scopes if scope is None or s in scope.split())
        self.live[session] = (token, person, granted)
        return Login(self._access(person, session), mint(self._secrets, token), REFRESH_TTL, session, person, granted)

    async def refresh(self, text: str, scope: str | None = None) -> Refreshed | InvalidGrant:
        self._break()
        self.refreshes += 1
        token = parse(self._secrets, text)
        if token is None:
            return InvalidGrant("malformed")
        session = encode(token.session)
        held = self.live.get(session)
        if held is None:
            return InvalidGrant("unknown", session, self.grant_is_over)
        current, person, granted = held
        if scope is not None and not set(scope.split()) <= set(granted.split()):
            return InvalidGrant("scope", session, is_over=False)
        word = "rotated"
        if token.counter == current.counter:
            current = current._replace(counter=current.counter + 1)
            self.live[session] = (current, person, granted)
        elif token.counter == current.counter - 1:
            word = "replayed"
        else:
            self._end(session)
            return InvalidGrant("reuse", session)
        scope = granted if scope is None else scope
        return Refreshed(
            self._access(person, session), mint(self._secrets, current), REFRESH_TTL, session, person, scope, word
        )

    async def logout(self, session: str, *, subject: str, tenant: str | None = None) -> None:
        self._break()
        self._end(session)

    async def logout_by_refresh(self, text: str) -> None:
        self._break()
        token = parse(self._secrets, text)
        if token is not None:
            self._end(encode(token.session))

    async def logout_everywhere(self, *, subject: str, tenant: str | None = None) -> None:
        self._break()
        for session in self.of(subject):
            self._end(session)

    async def logout_others(self, session: str, *, subject: str, tenant: str | None = None) -> None:
        self._break()
        for other in self.of(subject):
            if other != session:
                self._end(other)

    async def sessions(self, *, subject: str, tenant: str | None = None) -> tuple[SessionView, ...]:
        self._break()
        now = int(self._clock.wall() * 1000)
        agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
        return tuple(
            SessionView(one, now - 90_000, now - 5_000, now, now, "gateway", ("pwd",), "", agent, "192.0.2.7")
            for one in self.of(subject)
        )

    async def end(self, session: str, *, subject: str, tenant: str | None = None) -> bool:
        self._break()
        if session not in self.of(subject):
            return False
        self._end(session)
        return True

    async def revoke(self, token_id: str, *, subject: str) -> None:
        self._break()
        self.dead.add_token(token_id)

    def of(self, subject: str) -> list[str]:
        """Return the live sessions of *subject*."""
        return [session for session, (_, person, _) in self.live.items() if person.sub == subject]

    def _access(self, person: Subject, session: str) -> AccessToken:
        now = self._clock.wall()
        return self._issuer.access_token(person, session=session, stamp_ms=int(now * 1000), auth_time=int(now))

    def _end(self, session: str) -> None:
        if self.fails_to_end is not None:
            raise self.fails_to_end
        self.live.pop(session, None)
        self.dead.add(session)

    def _break(self) -> None:
        if self.fails is not None:
            raise self.fails


class MemoryPrograms:
    """Signs for programs, and remembers which assertions were used; `fails` makes every call fail."""

    def __init__(self, issuer: Issuer, clock: MovedClock) -> None:
        self._issuer = issuer
        self._clock = clock
        self.spent: dict[tuple[str, str], float] = {}
        self.fails: BaseException | None = None

    async def token(self, client: Client, scopes: tuple[str, ...]) -> AccessToken:
        if self.fails is not None:
            raise self.fails
        stamp = int(self._clock.wall() * 1000)
        return self._issuer.client_token(client.name, client.subject, stamp_ms=stamp, scopes=scopes)

    async def spend(self, client: Client, assertion: Assertion, now: float) -> bool:
        if self.fails is not None:
            raise self.fails
        return self.spent.setdefault((client.name, assertion.token_id), id(assertion)) == id(assertion)


def _or_bad(person: Subject | InvalidCredentials | Gone | Unavailable) -> Subject | BadCredentials:
    return person if isinstance(person, Subject) else BadCredentials(person.reason)


class MemoryLogins:
    """What the store knows of logins that wait for a code, and of codes that were used."""

    def __init__(self) -> None:
        self.left: dict[str, int] = {}
        self.steps: dict[str, int] = {}

    async def begin(self, login: str) -> None:
        self.left[login] = TRIES

    async def attempt(self, login: str) -> bool:
        self.left[login] = self.left.get(login, 0) - 1
        return self.left[login] >= 0

    async def finish(self, login: str) -> bool:
        return self.left.pop(login, None) is not None

    async def use_step(self, sub: str, step: int) -> bool:
        if self.steps.get(sub, -1) >= step:
            return False
        self.steps[sub] = step
        return True


class MemoryAccounts:
    """Where second factors and passwords may be written; `down` makes it an outage."""

    def __init__(self) -> None:
        self.factors: dict[str, str | None] = {}
        self.passwords: dict[str, str] = {}
        self.down = False

    async def factor(self, sub: str) -> str | Unavailable | None:
        return Unavailable("test") if self.down else self.factors.get(sub)

    async def set_factor(self, sub: str, old: str | None, new: str | None) -> bool | Unavailable:
        if self.down:
            return Unavailable("test")
        if self.factors.get(sub) != old:
            return False
        self.factors[sub] = new
        return True

    async def stored_password(self, sub: str) -> str | Gone | Unavailable:
        return Unavailable("test") if self.down else self.passwords.get(sub, Gone("unknown"))

    async def set_password(self, sub: str, old: str, new: str) -> bool | Unavailable:
        if self.down:
            return Unavailable("test")
        if self.passwords.get(sub) != old:
            return False
        self.passwords[sub] = new
        return True


@dataclass
class House:
    """The application, and everything a test looks at or turns."""

    client: HttpClient
    services: Services
    sessions: MemorySessions
    programs: MemoryPrograms
    clock: MovedClock
    secrets: Secrets
    ring: KeyRing
    users: FileUsers
    begun: MemoryLogins
    accounts: MemoryAccounts
    facts: list[Facts]
    reported: list[BaseException]
    turned: dict[str, bool] = field(default_factory=dict)

    async def login(self, username: str = "alice", password: str = "wonderland", **more: object) -> dict[str, str]:
        """Log in by JSON and return the answer's members."""
        response = await self.client.post("/auth/login", json={"username": username, "password": password, **more})
        assert response.status == 200, await response.text()
        members: dict[str, str] = await response.json()
        return members

    async def cookies(self, username: str = "alice", password: str = "wonderland") -> "Browser":
        """Log in as a browser does."""
        response = await self.client.post(
            "/auth/login",
            json={"username": username, "password": password, "mode": "cookie"},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        assert response.status == 200, await response.text()
        return Browser.of(response.headers.getall("Set-Cookie"), await response.json())


@dataclass
class Browser:
    """What a browser holds after a login."""

    access: str
    refresh: str
    csrf: str
    session: str
    device: str = ""

    @classmethod
    def of(cls, lines: list[str], members: dict[str, str]) -> "Browser":
        """Read the Set-Cookie lines of an answer."""
        values = {line.partition("=")[0]: line.partition("=")[2].partition(";")[0] for line in lines}
        return cls(
            values["__Host-Http-gw-at"],
            values["__Host-Http-gw-rt"],
            values["__Host-gw-csrf"],
            members["session_id"],
            values.get("__Host-Http-gw-dv", ""),
        )

    @property
    def cookie(self) -> dict[str, str]:
        """The Cookie header."""
        return {
            "Cookie": f"__Host-Http-gw-at={self.access}; __Host-Http-gw-rt={self.refresh}; __Host-gw-csrf={self.csrf}"
        }

    @property
    def own(self) -> dict[str, str]:
        """The headers of a request from our own page."""
        return {**self.cookie, "Sec-Fetch-Site": "same-origin"}


async def build(key: SigningKey, clients: Mapping[str, Client] | None = None, cors: Cors | None = None) -> House:
    """Make a house and open its door."""
    clock = MovedClock()
    ring = KeyRing([key])
    secrets = Secrets(bytes(range(7, 39)))
    hasher = Hasher(CHEAP)
    users = FileUsers(
        {
            "alice": UserRecord(
                hasher.hash("wonderland"),
                roles=("user", "admin"),
                permissions=("docs:write",),
                scopes=("docs", "mail"),
                tenant="acme",
            ),
            "bob": UserRecord("demo", roles=("user",), demo=True),
            "eve": UserRecord(hasher.hash("apple"), disabled=True),
        },
        HashPool(1),
        hasher,
    )
    issuer = Issuer(ring, ISSUER, (ISSUER,), "gateway", ACCESS_TTL)
    verifier = Verifier(ring, ISSUER, frozenset((ISSUER,)), max_lifetime=ACCESS_TTL)
    sessions = MemorySessions(users, issuer, secrets, clock)
    facts: list[Facts] = []
    reported: list[BaseException] = []
    turned: dict[str, bool] = {}

    def facts_of(_request: web.Request) -> Facts:
        facts.append(Facts(f"req-{len(facts)}", "192.0.2.7"))
        return facts[-1]

    programs = MemoryPrograms(issuer, clock)

    async def slow_check(stored: str, secret: str) -> bool:
        return hasher.verify(stored, secret)

    begun, accounts = MemoryLogins(), MemoryAccounts()
    accounts.passwords["alice"] = hasher.hash("wonderland")
    turnstile = Turnstile(MemoryThrottle(clock))
    services = Services(
        sessions=sessions,
        programs=programs,
        slow_check=slow_check,
        clients=clients or {},
        cors=cors,
        origin=ORIGIN,
        tokens=VerifiedTokens(verifier, sessions.dead, lambda _identity: b"", ring),
        verifier=verifier,
        ring=ring,
        secrets=secrets,
        turnstile=turnstile,
        second_factor=SecondFactor(
            accounts,
            begun,
            turnstile,
            seal=Seal(secrets.second_factor),
            begun=Seal(secrets.login),
            issuer=ISSUER,
            clock=clock,
        ),
        begun=begun,
        passwords=PasswordChange(accounts, users._pool, turnstile, hasher),
        clock=clock,
        facts_of=facts_of,
        report=lambda _id, error: reported.append(error),
        own_origins=frozenset((ORIGIN.encode(),)),
        cold=lambda: turned.get("cold", False),
    )
    server = TestServer(application(services))
    await server.start_server(**SERVER_LIMITS)
    # Cookies are the tests' own business.
    client: HttpClient = TestClient(server, cookie_jar=DummyCookieJar())
    await client.start_server()
    return House(
        client, services, sessions, programs, clock, secrets, ring, users, begun, accounts, facts, reported, turned
    )
