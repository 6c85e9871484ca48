"""A model at work: gate, pools, plans, the application and what keeps them fresh; replaced whole by a reload.

`Lasting` is the other half: the few things with a state of their own that outlives every configuration.
"""

import asyncio
import contextlib
from dataclasses import dataclass

from aiohttp import web

from gateway.app.forwarding import pools, snapshot
from gateway.app.issuers import fetcher
from gateway.app.limiting import Limiting, Limits
from gateway.app.model import Model
from gateway.app.probing import start_probes
from gateway.app.sessions import Revoking, Sessions, sessions
from gateway.app.shadows import Shadows
from gateway.app.sight import Sight
from gateway.app.users import People, UserStores
from gateway.clock import Clock
from gateway.config.models import Config
from gateway.config.roles import holders
from gateway.endpoints.application import SERVER_LIMITS, application
from gateway.endpoints.cookies import CookieSettings, clearing_lines
from gateway.endpoints.inside import Doorkeeper, Inside
from gateway.endpoints.renewals import SilentRefresh
from gateway.endpoints.services import Services
from gateway.gate import ExplainingGate, Feed, Gate
from gateway.limits.failures import FailedTokens
from gateway.outbound.client import Outbound
from gateway.outbound.jwks import KeyFetcher
from gateway.outbound.probes import Prober
from gateway.proxy import connect as ways
from gateway.proxy.engine import Engine, Snapshot
from gateway.proxy.pool import Pool
from gateway.routing.cors import Cors
from gateway.routing.route import BUILTIN
from gateway.sessions.begun import BegunLogins
from gateway.sessions.store import SessionStore
from gateway.tokens.keys import KeyRing
from gateway.tokens.sealing import Seal
from gateway.tokens.secrets import Secrets
from gateway.tokens.trusted import OwnTokens
from gateway.users.change import PasswordChange
from gateway.users.passwords import Hasher, HashPool
from gateway.users.second_factor import SecondFactor
from gateway.users.turnstile import Turnstile

LOOK = 0.25
"""Seconds between two looks whether the requests of a former model are over."""


@dataclass(frozen=True, slots=True, eq=False)
class Lasting:
    """What outlives every configuration; each the only owner of its state."""

    clock: Clock
    store_clock: Clock
    """By which tokens are stamped, and so judged."""
    sight: Sight
    limiting: Limiting
    secrets: Secrets
    ring: KeyRing
    hashes: HashPool
    turnstile: Turnstile
    users: UserStores
    store: SessionStore
    revoking: Revoking
    engine: Engine
    outbound: Outbound
    feed: Feed
    """The gate's question about revocations."""


@dataclass(frozen=True, slots=True, eq=False)
class Serving:
    """One model at work."""

    model: Model
    sessions: Sessions
    failures: FailedTokens | None
    limits: Limits
    doorkeeper: Doorkeeper
    pools: dict[str, Pool]
    probers: dict[str, Prober]
    fetchers: dict[str, KeyFetcher]
    snapshot: Snapshot

    async def begin(self, lasting: Lasting, before: "Serving | None") -> None:
        """Serve by this from now on. What *before* had and this has not goes when its requests are over."""
        lasting.engine.snapshot = self.snapshot
        lasting.limiting.adopt(self.limits)
        lasting.engine.streams.lives = self.sessions.tokens.lives
        for name, one in self.fetchers.items():
            if before is None or before.fetchers.get(name) is not one:
                one.start()
        for name, prober in self.probers.items():
            if before is None or before.probers.get(name) is not prober:
                upstream = self.model.config.upstreams[name]
                start_probes(upstream, self.model.upstream_tls[name], self.pools[name], prober, lasting.clock)

    async def end(self, after: "Serving | None" = None) -> None:
        """Stop what *after* has not taken over; returns when the last request that was served by this is over."""
        for name, one in self.fetchers.items():
            if after is None or after.fetchers.get(name) is not one:
                await one.stop()
        for name, prober in self.probers.items():
            if after is None or after.probers.get(name) is not prober:
                await prober.stop()
        if after is not None:
            leaving = [pool for name, pool in self.pools.items() if after.pools.get(name) is not pool]
            for pool in leaving:
                pool.retire()
            while not self.pools[BUILTIN].is_done:  # noqa: ASYNC110 - an event would cost every request a look
                await asyncio.sleep(LOOK)
        await self.doorkeeper.close()


async def serving(model: Model, lasting: Lasting, before: Serving | None = None) -> Serving:
    """Join what *model* asks for; nothing is in force before `begin`.

    Raises:
        ConfigError: something cannot be had; what was made is given back.
    """
    config = model.config
    people = lasting.users.of(config, model.records)
    made = sessions(
        model,
        lasting.store,
        ring=lasting.ring,
        secrets=lasting.secrets,
        hashes=lasting.hashes,
        sight=lasting.sight,
        revoking=lasting.revoking,
        people=people.verifier,
        before=None if before is None else before.sessions,
    )
    budget = config.server.limits.failed_tokens
    failures = None if budget is None else FailedTokens(budget, budget / 6)
    if before is not None and before.model.config.server.limits.failed_tokens == budget:
        failures = before.failures  # who has spent his budget has not got a new one
    limits = lasting.limiting.of(config)
    async with contextlib.AsyncExitStack() as exits:
        doorkeeper = Doorkeeper()
        exits.push_async_callback(doorkeeper.close)
        inside = web.AppRunner(_application(model, lasting, doorkeeper, made, people), access_log=None, **SERVER_LIMITS)
        await doorkeeper.open(inside)
        builtin = ways.builtin(lasting.engine, doorkeeper.serve, Inside)
        kept = _kept(model, before)
        joined = pools(config.upstreams, model.upstream_tls, kept, builtin, lasting.engine, lasting.sight)
        result = Serving(
            model=model,
            sessions=made,
            failures=failures,
            limits=limits,
            doorkeeper=doorkeeper,
            pools=joined,
            probers=_probers(model, lasting, before, joined),
            fetchers=_fetchers(model, lasting, before),
            snapshot=snapshot(
                config,
                _gate(model, lasting, made, failures, limits),
                model.routes,
                joined,
                clearing=clearing_lines(_cookies(model)),
            ),
        )
        exits.pop_all()
    return result


def _application(
    model: Model, lasting: Lasting, doorkeeper: Doorkeeper, made: Sessions, people: People
) -> web.Application:
    config, effective, secrets = model.config, model.effective, lasting.secrets
    begun = BegunLogins(lasting.store, secrets.subject_tag)

    async def slow_check(stored: str, secret: str) -> bool:
        return await lasting.hashes.run(Hasher().verify, stored, secret)

    return application(
        Services(
            sessions=made.service,
            programs=made.programs,
            # A foreign token is good for services, and says nothing about a session of ours.
            tokens=OwnTokens(made.tokens, effective.issuer),
            verifier=made.verifier,
            ring=lasting.ring,
            secrets=secrets,
            turnstile=lasting.turnstile,
            second_factor=SecondFactor(
                people.factors,
                begun,
                lasting.turnstile,
                seal=Seal(secrets.second_factor),
                begun=Seal(secrets.login),
                issuer=effective.issuer,
                clock=lasting.store_clock,
            ),
            begun=begun,
            passwords=PasswordChange(people.passwords, lasting.hashes, lasting.turnstile, Hasher()),
            clock=lasting.store_clock,
            facts_of=doorkeeper.facts_of,
            report=lasting.sight.report,
            audit=lasting.sight.audit,
            own_origins=effective.own_origins,
            cold=lambda: lasting.feed.cold,
            slow_check=slow_check,
            clients=model.clients,
            logins=config.login is not None,
            client_id=config.login.client_id if config.login else "gateway",
            cookies=_cookies(model),
            look=model.look,
            cors=_cors(config),
            base_path=config.login.base_path if config.login else "/auth",
            origin=effective.origin,
            jwks_max_age=round(config.tokens.keys.jwks_max_age),
        )
    )


def _gate(model: Model, lasting: Lasting, made: Sessions, failures: FailedTokens | None, limits: Limits) -> Gate:
    debug = model.config.telemetry.debug_role
    gate = (Gate if debug is None else ExplainingGate)(
        routes=model.routes,
        tokens=made.tokens,
        feed=lasting.feed,
        wall=lasting.clock.wall,
        secrets=lasting.secrets,
        own_origins=model.effective.own_origins,
        read_from=frozenset(model.config.tokens.read_from),
        log_query=model.config.telemetry.log_query,
        failures=failures,
        renewals=SilentRefresh(made.service, lasting.secrets, _cookies(model)),
        login_page=_login_page(model),
        shadowed=Shadows(lasting.sight, lasting.clock),
        limits=limits,
    )
    if debug is not None and isinstance(gate, ExplainingGate):
        gate.told = holders(model.config.roles)[debug]
    return gate


def _cors(config: Config) -> Cors | None:
    cors = config.cors
    return None if cors is None else Cors(frozenset(cors.origins), max_age=round(cors.max_age))


def _login_page(model: Model) -> bytes:
    login = model.config.login
    return f"{login.base_path}/login".encode() if login and model.look and model.effective.cookies else b""


def _cookies(model: Model) -> CookieSettings:
    same_site = model.config.tokens.cookie.same_site.capitalize()
    refresh = same_site if model.effective.silent_refresh else "Strict"
    return CookieSettings(same_site, refresh, allowed=model.effective.cookies)


def _kept(model: Model, before: Serving | None) -> dict[str, Pool]:
    """Return the pools of upstreams that are as they were, with their connections and what is known of their health."""
    if before is None:
        return {}
    return {name: before.pools[name] for name in model.config.upstreams if model.has_upstream_of(before.model, name)}


def _probers(model: Model, lasting: Lasting, before: Serving | None, joined: dict[str, Pool]) -> dict[str, Prober]:
    probers = {}
    for name, upstream in model.config.upstreams.items():
        if upstream.health is None:
            continue
        if before is not None and before.pools.get(name) is joined[name]:
            probers[name] = before.probers[name]
        else:
            clock, sight = lasting.clock, lasting.sight
            probers[name] = Prober(lasting.outbound, monotonic=clock.monotonic, fault=sight.report)
    return probers


def _fetchers(model: Model, lasting: Lasting, before: Serving | None) -> dict[str, KeyFetcher]:
    known = {} if before is None else {issuer.name: issuer for issuer in before.model.trusted}
    made = {}
    for issuer in model.trusted:
        written = model.config.trusted_issuers[issuer.name]
        if not written.fetched:
            continue
        if before is not None and known.get(issuer.name) is issuer:
            made[issuer.name] = before.fetchers[issuer.name]
        else:
            clock, sight, renew = lasting.clock, lasting.sight, lasting.ring.renew
            made[issuer.name] = fetcher(issuer, written, lasting.outbound, clock=clock, renew=renew, sight=sight)
    return made
