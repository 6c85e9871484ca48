"""What the endpoints need from the rest of the house, as the questions they ask."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.clock import Clock
from gateway.endpoints.answers import Audit, Report
from gateway.endpoints.cookies import CookieSettings
from gateway.endpoints.facts import FactsOf
from gateway.endpoints.look import Look
from gateway.routing.cors import Cors
from gateway.sessions.answers import BadCredentials, InvalidGrant, Login, Refreshed
from gateway.sessions.outcomes import SessionView
from gateway.tokens.cache import Verified
from gateway.tokens.clients import Assertion, Client
from gateway.tokens.issue import AccessToken
from gateway.tokens.ring import KeyRing
from gateway.tokens.secrets import Secrets
from gateway.tokens.subject import Subject
from gateway.tokens.verify import Invalid, Verifier
from gateway.users.change import PasswordChange
from gateway.users.second_factor import SecondFactor
from gateway.users.turnstile import Turnstile


class Sessions(Protocol):
    """Begins, renews and ends sessions; each call may raise Refused or StoreUnavailable."""

    async def verify(self, username: str, password: str) -> Subject | BadCredentials: ...

    async def subject(self, sub: str) -> Subject | BadCredentials: ...

    async def begin(
        self,
        subject: Subject,
        *,
        amr: tuple[str, ...],
        scope: str | None = None,
        device: str | None = None,
        user_agent: str,
        address: str,
    ) -> Login | BadCredentials: ...

    async def refresh(self, text: str, scope: str | None = None) -> Refreshed | InvalidGrant: ...

    async def logout(self, session: str, *, subject: str, tenant: str | None = None) -> None: ...

    async def logout_by_refresh(self, text: str) -> None: ...

    async def logout_everywhere(self, *, subject: str, tenant: str | None = None) -> None: ...

    async def logout_others(self, session: str, *, subject: str, tenant: str | None = None) -> None: ...

    async def sessions(self, *, subject: str, tenant: str | None = None) -> tuple[SessionView, ...]: ...

    async def end(self, session: str, *, subject: str, tenant: str | None = None) -> bool: ...

    async def revoke(self, token_id: str, *, subject: str) -> None: ...


class BegunLogins(Protocol):
    """Logins that wait for a second factor; each call may raise StoreUnavailable."""

    async def begin(self, login: str) -> None: ...

    async def attempt(self, login: str) -> bool: ...

    async def finish(self, login: str) -> bool: ...


class Programs(Protocol):
    """Serves the programs under `clients:`; each call may raise Refused or StoreUnavailable."""

    async def token(self, client: Client, scopes: tuple[str, ...]) -> AccessToken: ...

    async def spend(self, client: Client, assertion: Assertion, now: float) -> bool: ...


class Tokens(Protocol):
    """Judges access tokens, revocations included."""

    def check(self, token: bytes, now: float) -> Verified | Invalid: ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the application works with; made and joined elsewhere."""

    sessions: Sessions
    programs: Programs
    tokens: Tokens
    verifier: Verifier
    """For logging out with a token that has expired."""
    ring: KeyRing
    secrets: Secrets
    turnstile: Turnstile
    second_factor: SecondFactor
    begun: BegunLogins
    passwords: PasswordChange
    clock: Clock
    facts_of: FactsOf
    report: Report
    own_origins: frozenset[bytes]
    """Scheme, host and port under which browsers know us; from the configuration, never from Host."""
    cold: Callable[[], bool]
    """Whether the revocations are not complete yet, so that a revoked token could pass."""
    slow_check: Callable[[str, str], Awaitable[bool]]
    """Whether the stored hash is that of the secret; in the hash pool."""
    clients: Mapping[str, Client] = field(default_factory=dict)
    """Programs that get tokens for themselves, by name."""
    logins: bool = True
    """Whether anybody can reach what is below the base path."""
    client_id: str = "gateway"
    """The public client of the people who log in here."""
    cookies: CookieSettings = field(default_factory=CookieSettings)
    cors: Cors | None = None
    """Front ends of other origins that may call the JSON endpoints."""
    look: Look | None = field(default_factory=Look)
    """How the pages look; None for no pages."""
    base_path: str = "/auth"
    origin: str = ""
    """Scheme, host and port by which clients know us; without one there is no metadata to publish."""
    audit: Audit = lambda _event, _facts: None
    """Told of every login, refresh, logout and change, and what came of it."""
    jwks_max_age: int = 300
    """Seconds for which the public keys may be cached."""

    @property
    def friends(self) -> frozenset[bytes]:
        """Other origins whose pages may act for the people who use them."""
        return frozenset() if self.cors is None else frozenset(one.encode() for one in self.cors.origins)

    @property
    def origins(self) -> frozenset[bytes]:
        """Our own origins and those of friends."""
        return self.own_origins | self.friends

    @property
    def token_endpoint(self) -> str:
        """The token endpoint's URL, as clients know it."""
        return f"{self.origin}{self.base_path}/token"
