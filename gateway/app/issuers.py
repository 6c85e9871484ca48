"""Trusted issuers at work: each has its keys from files, or a fetcher that keeps them fresh."""

from collections.abc import Callable, Sequence

from gateway.app.sight import Sight
from gateway.clock import Clock
from gateway.config.issuers import TrustedIssuerConfig
from gateway.config.models import Config
from gateway.outbound.client import Outbound
from gateway.outbound.jwks import KeyFetcher, Place
from gateway.tokens.trusted import TrustedIssuer


def fetchers(
    config: Config,
    issuers: Sequence[TrustedIssuer],
    outbound: Outbound,
    *,
    clock: Clock,
    renew: Callable[[], None],
    sight: Sight,
) -> list[KeyFetcher]:
    """Return a fetcher for each issuer whose keys are not in a file; *renew* ends cached verifications."""
    made = []
    for issuer in issuers:
        written = config.trusted_issuers[issuer.name]
        if written.fetched:
            fetcher = KeyFetcher(
                _place(issuer.name, written),
                issuer.keys,
                outbound,
                monotonic=clock.monotonic,
                renew=renew,
                tell=sight.events.info,
            )
            made.append(fetcher)
    if made:
        sight.gauge("gateway_jwks_failing", "Issuers whose keys could not be fetched.", lambda: _failing(made))
    return made


def _failing(made: Sequence[KeyFetcher]) -> int:
    return sum(fetcher.failures > 0 for fetcher in made)


def _place(name: str, written: TrustedIssuerConfig) -> Place:
    return Place(
        name=name,
        issuer=written.issuer,
        url=written.place,
        algorithms=written.algs,
        ttl=written.jwks_ttl,
        discover=written.jwks is None,
        hosts=frozenset(written.jwks_hosts),
        insecure=written.insecure_http,
    )
