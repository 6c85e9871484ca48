"""Trusted issuers at work: those whose keys are in no file have a fetcher that keeps them fresh."""

from collections.abc import Callable, Iterable

from gateway.app.sight import Sight
from gateway.clock import Clock
from gateway.config.issuers import TrustedIssuerConfig
from gateway.outbound.client import Outbound
from gateway.outbound.jwks import KeyFetcher, Place
from gateway.tokens.trusted import TrustedIssuer


def fetcher(
    issuer: TrustedIssuer,
    written: TrustedIssuerConfig,
    outbound: Outbound,
    *,
    clock: Clock,
    renew: Callable[[], None],
    sight: Sight,
) -> KeyFetcher:
    """Return what keeps the keys of *issuer* fresh once it is started; *renew* ends cached verifications."""
    return KeyFetcher(
        place(issuer.name, written),
        issuer.keys,
        outbound,
        monotonic=clock.monotonic,
        renew=renew,
        event=sight.events.info,
    )


def gauge(sight: Sight, current: Callable[[], Iterable[KeyFetcher]]) -> None:
    """Show how many of the *current* fetchers are in trouble."""

    def failing() -> int:
        return sum(fetcher.failures > 0 for fetcher in current())

    sight.gauge("gateway_jwks_failing", "Issuers whose keys could not be fetched.", failing)


def place(name: str, written: TrustedIssuerConfig) -> Place:
    """Return where the keys of the issuer *name* are."""
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
