"""Logging in, step by step, for the JSON endpoints and the pages alike: a password, and a code where one is needed.

Between the steps the client holds a sealed token that is good for nothing else: it names the login, which lives for
five minutes and five codes in the store, and it says what was asked for. Of a browser it is good in that browser only.
"""

import hashlib
import hmac
import json
import secrets as randomness
from typing import NamedTuple

from gateway.endpoints.services import Services
from gateway.errors import Refused, refuse
from gateway.sessions.answers import BadCredentials, Login
from gateway.sessions.begun import BEGUN_TTL
from gateway.sessions.service import PASSWORD
from gateway.tokens import device as devices
from gateway.tokens.sealing import Seal
from gateway.tokens.subject import Subject
from gateway.users.turnstile import account_of

_MARK = "gwm_"
_SEALED = "sealed1:"
_ABOUT = b"begun login"
_FACTS = 7
"""How many things a sealed token says; one that says less or more was begun under another release."""


class Credentials(NamedTuple):
    """What a login asks for."""

    username: str
    password: str
    by_cookie: bool
    scope: str | None = None
    device: str | None = None
    """The name of the device, for the person's own list of sessions."""

    def __repr__(self) -> str:
        return "Credentials(...)"


class Place(NamedTuple):
    """Where a request comes from."""

    address: str
    user_agent: str
    login_cookie: str | None = None
    device_cookie: str | None = None


class CodeNeeded(NamedTuple):
    """The password was right, and a code of the second factor is needed as well."""

    token: str
    cookie: str
    """For the browser that the token is good in (`cookies.set_login`); "" when it is no browser."""
    by_cookie: bool
    methods: tuple[str, ...] = ("totp", "recovery_code")
    expires_in: int = BEGUN_TTL


class SignedIn(NamedTuple):
    """Somebody is in."""

    login: Login
    by_cookie: bool
    """As was asked for with the password."""
    device_mark: str = ""
    """For the browser, by which it is known from now on (`cookies.set_device`); "" when it is no browser."""


class SigningIn:
    """Both steps; each raises StoreUnavailable and Refused (invalid_credentials, rate_limited, overloaded, …)."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._seal = Seal(services.secrets.login)

    async def by_password(self, asked: Credentials, place: Place) -> SignedIn | CodeNeeded:
        """Check a password; the brake on guessing gives a turn first."""
        services = self._services
        account = account_of(asked.username)
        known = known_browser(account, place, services)
        async with services.turnstile.attempt(account, place.address, device=known) as attempt:
            subject = await services.sessions.verify(asked.username, asked.password)
            if isinstance(subject, BadCredentials):
                attempt.failed()
                raise _bad(subject)
            state = await services.second_factor.state(subject.sub)
            if state.enabled:
                attempt.succeeded()
                return await self._begun(asked, account, subject)
            login = await self._session(subject, PASSWORD, asked.scope, asked.device, place)
            if isinstance(login, BadCredentials):
                attempt.failed()
                raise _bad(login)
            attempt.succeeded()
        return self._signed_in(login, asked.by_cookie, account, place)

    async def by_code(self, token: str, code: str, place: Place) -> SignedIn:
        """Check the code for a login that `by_password` left waiting.

        Raises:
            Refused: also `invalid_grant` when that login is over: used, too old, too many codes, another browser.
        """
        services = self._services
        raw = self._seal.open(_SEALED + token.removeprefix(_MARK), _ABOUT) if token.startswith(_MARK) else None
        if raw is None:
            raise _over("mfa_token")
        facts = json.loads(raw)
        if len(facts) != _FACTS:
            raise _over("mfa_token_of_another_release")
        sub, account, login_id, by_cookie, browser, scope, device = facts
        if by_cookie and not hmac.compare_digest(browser, _hashed(place.login_cookie or "")):
            raise _over("another_browser")
        if not await services.begun.attempt(login_id):
            raise _over("login_over")
        amr = await services.second_factor.check(sub, code, place.address, known_browser(account, place, services))
        if not await services.begun.finish(login_id):
            raise _over("login_over")
        subject = await services.sessions.subject(sub)
        if isinstance(subject, BadCredentials):
            raise _over(subject.reason)
        login = await self._session(subject, amr, scope, device, place)
        if isinstance(login, BadCredentials):
            raise _over(login.reason)
        return self._signed_in(login, by_cookie, account, place)

    def _signed_in(self, login: Login, by_cookie: bool, account: str, place: Place) -> SignedIn:
        if not by_cookie:
            return SignedIn(login, by_cookie)
        services = self._services
        known = known_browser(account, place, services)
        return SignedIn(login, by_cookie, devices.mint(services.secrets, account, services.clock.wall(), known))

    async def _begun(self, asked: Credentials, account: str, subject: Subject) -> CodeNeeded:
        login_id = randomness.token_urlsafe(16)
        cookie = randomness.token_urlsafe(16) if asked.by_cookie else ""
        facts = [subject.sub, account, login_id, asked.by_cookie, _hashed(cookie), asked.scope, asked.device]
        await self._services.begun.begin(login_id)
        sealed = self._seal.close(json.dumps(facts).encode(), _ABOUT)
        return CodeNeeded(_MARK + sealed.removeprefix(_SEALED), cookie, asked.by_cookie)

    async def _session(
        self, subject: Subject, amr: tuple[str, ...], scope: str | None, device: str | None, place: Place
    ) -> Login | BadCredentials:
        return await self._services.sessions.begin(
            subject, amr=amr, scope=scope, device=device, user_agent=place.user_agent, address=place.address
        )


def known_browser(username: str, place: Place, services: Services) -> str:
    """Return the name of the browser a request is from, if somebody logged in as *username* with it before; else ""."""
    return devices.read(services.secrets, account_of(username), place.device_cookie, services.clock.wall())


def _hashed(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()


def _bad(why: BadCredentials) -> Refused:
    return Refused(refuse("invalid_credentials", why.reason))


def _over(reason: str) -> Refused:
    return Refused(refuse("invalid_grant", reason, detail="This login is over; begin again with the password."))
