"""What people change about themselves: their password and their second factor.

All of it takes the person's own access token and, by cookie, the proof that our own page asks. What would let a thief
of a session stay for good (a new second factor, none at all) takes a login that is minutes old.
"""

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.endpoints import bodies, cookies
from gateway.endpoints.answers import answer
from gateway.endpoints.credentials import caller
from gateway.endpoints.facts import FACTS
from gateway.endpoints.forgery import refuse_foreign
from gateway.endpoints.login import code_in, place_of
from gateway.endpoints.services import Services
from gateway.endpoints.signing_in import Place, known_browser
from gateway.errors import Refused, refuse
from gateway.sessions.answers import BadCredentials
from gateway.tokens.subject import Subject
from gateway.tokens.verify import Identity

FRESH = 600
"""Seconds for which a login is fresh enough to change the second factor."""


def own_identity(request: web.Request, services: Services, *, fresh: bool = False) -> Identity:
    """Return whose request this is, when it may change something.

    Raises:
        Refused: as `credentials.caller`; csrf_failed for a foreign page; login_too_old when it has to be *fresh*.
    """
    who = caller(request, cookies.read(request, services.cookies), services)
    if who.by_cookie:
        refuse_foreign(request, (who.identity.session,), services.secrets, services.origins)
    request[FACTS].subject = who.identity.subject
    if fresh and services.clock.wall() - who.identity.auth_time > FRESH:
        raise Refused(refuse("login_too_old", "account"))
    return who.identity


async def person(identity: Identity, services: Services) -> Subject:
    """Return the person as they are now; Refused (token_revoked) when there is no such person any more."""
    found = await services.sessions.subject(identity.subject)
    if isinstance(found, BadCredentials):
        raise Refused(refuse("token_revoked", found.reason))
    return found


async def change_password(identity: Identity, current: str, new: str, place: Place, services: Services) -> None:
    """Change the password and end every other session of the person; raises as `PasswordChange.change`."""
    who = await person(identity, services)
    device = known_browser(who.username, place, services)
    await services.passwords.change(who.sub, who.username, current, new, place.address, device)
    await services.sessions.logout_others(identity.session, subject=who.sub, tenant=who.tenant)


def password(services: Services) -> Handler:
    """Return the handler of POST /auth/password."""

    async def handle(request: web.Request) -> web.StreamResponse:
        identity = own_identity(request, services)
        fields = await bodies.fields(request)
        current, new = bodies.needed(fields, "current_password"), bodies.needed(fields, "new_password")
        await change_password(identity, current, new, place_of(request, services), services)
        return web.Response(status=204)

    return handle


def factor_state(services: Services) -> Handler:
    """Return the handler of GET /auth/second-factor."""

    async def handle(request: web.Request) -> web.StreamResponse:
        identity = caller(request, cookies.read(request, services.cookies), services).identity
        request[FACTS].subject = identity.subject
        state = await services.second_factor.state(identity.subject)
        return answer(state._asdict())

    return handle


def enrol(services: Services) -> Handler:
    """Return the handler of POST /auth/second-factor/enrol: a secret to be confirmed."""

    async def handle(request: web.Request) -> web.StreamResponse:
        identity = own_identity(request, services, fresh=True)
        await bodies.fields(request, may_be_empty=True)
        who = await person(identity, services)
        made = services.second_factor.enrol(who.sub, who.username)
        return answer(
            {
                "secret": made.secret,
                "uri": made.uri,
                "qr_svg": made.qr_svg,
                "enrolment": made.token,
                "expires_in": made.expires_in,
            }
        )

    return handle


def confirm(services: Services) -> Handler:
    """Return the handler of POST /auth/second-factor/confirm."""

    async def handle(request: web.Request) -> web.StreamResponse:
        identity = own_identity(request, services, fresh=True)
        fields = await bodies.fields(request)
        codes = await services.second_factor.confirm(
            identity.subject, bodies.needed(fields, "enrolment"), code_in(fields), request[FACTS].client_address
        )
        return answer({"recovery_codes": codes})

    return handle


def recovery_codes(services: Services) -> Handler:
    """Return the handler of POST /auth/second-factor/recovery-codes."""

    async def handle(request: web.Request) -> web.StreamResponse:
        identity = own_identity(request, services, fresh=True)
        fields = await bodies.fields(request)
        codes = await services.second_factor.renew(identity.subject, code_in(fields), request[FACTS].client_address)
        return answer({"recovery_codes": codes})

    return handle


def disable(services: Services) -> Handler:
    """Return the handler of POST /auth/second-factor/disable."""

    async def handle(request: web.Request) -> web.StreamResponse:
        identity = own_identity(request, services, fresh=True)
        fields = await bodies.fields(request)
        await services.second_factor.disable(identity.subject, code_in(fields), request[FACTS].client_address)
        return web.Response(status=204)

    return handle
