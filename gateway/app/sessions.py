"""Tokens and sessions joined: what verifies, what issues, what revokes, over one store and one key ring."""

import secrets as entropy
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from gateway.app.model import Model
from gateway.app.sight import Sight
from gateway.clock import Clock
from gateway.config.models import Config
from gateway.config.roles import bringing
from gateway.endpoints.operations import entry_members
from gateway.sessions.asking import Asking
from gateway.sessions.ending import Ending
from gateway.sessions.feed import Feed, FeedState
from gateway.sessions.operations import Operations
from gateway.sessions.programs import Programs
from gateway.sessions.revocations import Entry, Revocations
from gateway.sessions.service import SessionService
from gateway.sessions.store import Policy, SessionStore
from gateway.tokens.cache import VerifiedTokens
from gateway.tokens.headers import renderer
from gateway.tokens.issue import Issuer
from gateway.tokens.ring import KeyRing
from gateway.tokens.secrets import Secrets, subject_tag
from gateway.tokens.trusted import Verifiers
from gateway.tokens.verify import Verifier
from gateway.users.credentials import CredentialVerifier
from gateway.users.passwords import HashPool

RETENTION_MARGIN = 60
"""Seconds a revocation is kept longer than any token can live (identity.md 3.2)."""
SILENT_LOST_RESPONSE = 600.0
"""Seconds of `lost_response_window` where some route refreshes silently and the file does not say."""
MOST_STALE = 600.0
"""Seconds for which tokens are judged by revocations that cannot be renewed; no longer than a token lives."""

TAGS = 16_384
"""Subject tags remembered, each an HMAC; while any user is revoked, every token is asked for one."""


@dataclass(frozen=True, slots=True)
class Revoking:
    """What is revoked, and how that is learned; outlives every configuration."""

    table: Revocations
    feed: Feed
    asking: Asking
    tag_of: Callable[[str, str | None, str], bytes]

    def known(self, most: int) -> dict[str, object]:
        """Return what this process knows to be revoked, at most so many entries, and how well it knows."""
        table, feed = self.table, self.feed
        return {
            "state": feed.state.value,
            "age_ms": None if feed.state is FeedState.COLD else round(feed.age * 1000),
            "held": len(table),
            "coarsened": table.coarsened,
            "revocations": [entry_members(entry) for entry in islice(table.entries(), most)],
        }


@dataclass(frozen=True, slots=True)
class Sessions:
    """Everything about who is asking, by one configuration."""

    verifier: Verifier
    tokens: VerifiedTokens
    service: SessionService
    programs: Programs
    ending: Ending
    operations: Operations
    basis: object
    """What `verifier` and `tokens` were made from; equal ones can go on using both."""


def revoking(
    config: Config,
    store: SessionStore,
    *,
    secrets: Secrets,
    clock: Clock,
    sight: Sight,
    on_revoked: Callable[[Entry], None],
) -> Revoking:
    """Return the table and its feed; *on_revoked* is told of every revocation that is applied."""

    @lru_cache(maxsize=TAGS)
    def tag_of(iss: str, tenant: str | None, sub: str) -> bytes:
        return subject_tag(secrets, iss, tenant, sub)

    table = Revocations(lambda *person: tag_of(*person).hex(), on_applied=on_revoked)
    feed = Feed(
        store,
        table,
        clock,
        replica=entropy.token_hex(8),
        retention=retention(config),
        max_stale=max_stale(config),
        on_event=sight.events.info,
    )
    sight.gauge("gateway_revocations", "Revocations held in memory.", lambda: len(table))
    fresh = "1 while revocations are at most 3 s old."
    sight.gauge("gateway_feed_fresh", fresh, lambda: feed.state is FeedState.FRESH)
    sight.gauge("gateway_store_up", "1 while the revocation feed is not stale.", lambda: feed.age <= 15.0)
    sight.gauge("gateway_clock_offset_seconds", "Store's clock minus ours.", lambda: feed.offset)
    # Our own issuer is one of the things that no reload changes.
    return Revoking(table, feed, Asking(store, table, tag_of, config.effective.issuer), tag_of)


def retention(config: Config) -> float:
    """Return the seconds for which a revocation is kept: longer than any token can live."""
    return config.effective.longest_life + RETENTION_MARGIN


def max_stale(config: Config) -> float:
    return min(config.tokens.access_ttl, MOST_STALE)


def sessions(
    model: Model,
    store: SessionStore,
    *,
    ring: KeyRing,
    secrets: Secrets,
    hashes: HashPool,
    sight: Sight,
    revoking: Revoking,
    people: CredentialVerifier,
    before: Sessions | None,
) -> Sessions:
    """Join them; tokens that *before* has verified need not be verified again where nothing about tokens changed."""
    config, effective = model.config, model.effective
    ttl, leeway = config.tokens.access_ttl, config.tokens.leeway
    issuer, audience = effective.issuer, effective.audience
    client_id = config.login.client_id if config.login else "gateway"
    most = config.server.limits.token
    rules = policy(config)
    signer = Issuer(ring, issuer, audience, client_id, round(ttl), max_bytes=most)
    table = revoking.table
    ending = Ending(store, revoking.feed, lambda: rules, on_event=sight.audit)
    operations = Operations(store=store, ending=ending, people=people, tag_of=revoking.tag_of, issuer=issuer)
    service = SessionService(
        people=people,
        store=store,
        issuer=signer,
        issuer_name=issuer,
        client_id=client_id,
        secrets=secrets,
        table=table,
        ending=ending,
        pool=hashes.finishing,
        policy=lambda: rules,
        on_event=sight.audit,
    )
    programs = Programs(
        store=store,
        issuer=signer,
        issuer_name=issuer,
        secrets=secrets,
        table=table,
        pool=hashes,
        on_event=sight.audit,
    )
    brought = bringing(config.roles)
    headers = tuple(effective.identity_headers.items())
    basis = (issuer, audience, ttl, leeway, most, model.trusted, brought if model.trusted else None, headers)
    if before is not None and before.basis == basis:
        return Sessions(before.verifier, before.tokens, service, programs, ending, operations, basis)
    verifier = Verifier(ring, issuer, frozenset(audience), leeway, max_lifetime=round(ttl + leeway), max_bytes=most)
    judge = Verifiers(verifier, model.trusted, brought) if model.trusted else verifier
    tokens = VerifiedTokens(judge, table, renderer(effective.identity_headers), ring)
    return Sessions(verifier, tokens, service, programs, ending, operations, basis)


def policy(config: Config) -> Policy:
    tokens = config.tokens
    return Policy(
        absolute=tokens.refresh.ttl,
        idle=tokens.refresh.idle,
        grace=tokens.refresh.grace,
        lost_response_window=_lost_response_window(config),
        accept_ahead=tokens.refresh.accept_ahead,
        max_sessions=tokens.max_sessions or 0,
        tombstone=tokens.access_ttl + tokens.leeway + RETENTION_MARGIN,
    )


def _lost_response_window(config: Config) -> float:
    """A browser that leaves a page loses the answer, and a silent refresh with it (ARCHITECTURE 8.16)."""
    refresh = config.tokens.refresh
    unwritten = "lost_response_window" not in refresh.model_fields_set
    if config.effective.silent_refresh and unwritten and refresh.preset != "strict":
        return SILENT_LOST_RESPONSE
    return refresh.lost_response_window
