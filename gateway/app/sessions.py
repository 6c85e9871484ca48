"""Tokens and sessions joined: what verifies, what issues, what revokes, over one store and one key ring."""

import secrets as entropy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.app.sight import Sight
from gateway.clock import Clock
from gateway.config.models import Config
from gateway.sessions.asking import Asking
from gateway.sessions.ending import Ending
from gateway.sessions.feed import Feed, FeedState
from gateway.sessions.programs import Programs
from gateway.sessions.revocations import Entry, Revocations
from gateway.sessions.service import SessionService
from gateway.sessions.store import Policy, SessionStore
from gateway.tokens.cache import VerifiedTokens
from gateway.tokens.headers import renderer
from gateway.tokens.issue import Issuer
from gateway.tokens.ring import KeyRing
from gateway.tokens.secrets import Secrets, subject_tag
from gateway.tokens.trusted import TrustedIssuer, Verifiers
from gateway.tokens.verify import Verifier
from gateway.users.file import FileUsers
from gateway.users.passwords import HashPool

RETENTION_MARGIN = 60
"""Seconds a revocation is kept longer than any token can live (identity.md 3.2)."""
MOST_STALE = 600.0
"""Seconds for which tokens are judged by revocations that cannot be renewed; no longer than a token lives."""

TAGS = 16_384
"""Subject tags remembered, each an HMAC; while any user is revoked, every token is asked for one."""


@dataclass(frozen=True, slots=True)
class Sessions:
    """Everything about who is asking."""

    table: Revocations
    feed: Feed
    verifier: Verifier
    tokens: VerifiedTokens
    service: SessionService
    programs: Programs
    asking: Asking
    ending: Ending


def sessions(
    config: Config,
    store: SessionStore,
    *,
    ring: KeyRing,
    secrets: Secrets,
    people: FileUsers,
    pool: HashPool,
    clock: Clock,
    sight: Sight,
    trusted: Sequence[TrustedIssuer],
    on_revoked: Callable[[Entry], None],
) -> Sessions:
    """Join them; *on_revoked* is told of every revocation that is applied."""
    ttl, leeway = config.tokens.access_ttl, config.tokens.leeway
    issuer, audience = config.effective.issuer, config.effective.audience
    client_id = config.login.client_id if config.login else "gateway"
    most = config.server.limits.token

    @lru_cache(maxsize=TAGS)
    def tag_of(iss: str, tenant: str | None, sub: str) -> bytes:
        return subject_tag(secrets, iss, tenant, sub)

    table = Revocations(lambda *person: tag_of(*person).hex(), on_applied=on_revoked)
    feed = Feed(
        store,
        table,
        clock,
        replica=entropy.token_hex(8),
        retention=config.effective.longest_life + RETENTION_MARGIN,
        max_stale=min(ttl, MOST_STALE),
        on_event=sight.events.info,
    )
    verifier = Verifier(ring, issuer, frozenset(audience), leeway, max_lifetime=round(ttl + leeway), max_bytes=most)
    policy = _policy(config)
    signer = Issuer(ring, issuer, audience, client_id, round(ttl), max_bytes=most)
    ending = Ending(store, feed, lambda: policy)
    service = SessionService(
        people=people,
        store=store,
        issuer=signer,
        issuer_name=issuer,
        client_id=client_id,
        secrets=secrets,
        table=table,
        ending=ending,
        pool=pool.finishing,
        policy=lambda: policy,
        on_event=sight.audit,
    )
    programs = Programs(store=store, issuer=signer, issuer_name=issuer, secrets=secrets, table=table, pool=pool)
    _gauges(sight, table, feed, pool)
    judge = Verifiers(verifier, trusted) if trusted else verifier
    tokens = VerifiedTokens(judge, table, renderer(config.effective.identity_headers), ring)
    asking = Asking(store, table, tag_of, issuer)
    return Sessions(table, feed, verifier, tokens, service, programs, asking, ending)


def _policy(config: Config) -> Policy:
    tokens = config.tokens
    return Policy(
        absolute=tokens.refresh.ttl,
        idle=tokens.refresh.idle,
        grace=tokens.refresh.grace,
        lost_response_window=tokens.refresh.lost_response_window,
        accept_ahead=tokens.refresh.accept_ahead,
        max_sessions=tokens.max_sessions or 0,
        tombstone=tokens.access_ttl + tokens.leeway + RETENTION_MARGIN,
    )


def _gauges(sight: Sight, table: Revocations, feed: Feed, pool: HashPool) -> None:
    sight.gauge("gateway_password_hash_queue", "Hashes that wait for a thread.", lambda: pool.waiting)
    sight.gauge("gateway_revocations", "Revocations held in memory.", lambda: len(table))
    fresh = "1 while revocations are at most 3 s old."
    sight.gauge("gateway_feed_fresh", fresh, lambda: feed.state is FeedState.FRESH)
    sight.gauge("gateway_store_up", "1 while the revocation feed is not stale.", lambda: feed.age <= 15.0)
    sight.gauge("gateway_clock_offset_seconds", "Store's clock minus ours.", lambda: feed.offset)
