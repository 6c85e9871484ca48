"""What one judgement of a token costs, by algorithm: verified, found in the cache, and refused. Prints Markdown.

    python -m tests.bench.tokens_cost

One thread, no I/O; the best of several rounds, because everything else on the machine only ever adds.
"""

import sys
import time
from collections.abc import Callable

from gateway.tokens.cache import VerifiedTokens
from gateway.tokens.jwks import ForeignKey, ForeignKeys
from gateway.tokens.subject import Subject
from gateway.tokens.trusted import TrustedIssuer, Verifiers
from gateway.tokens.verify import Identity
from tests.tokens.forge import ALGORITHMS, NOW, claims, issued, issuer, key_for, ring_for, signed, verifier

ROUNDS = 7
LEAST = 0.05
"""Seconds one round lasts at least, so that the clock's own steps do not count."""

_IDP = "https://idp.example"


class _Never:
    epoch = 0

    def is_dead(self, identity: Identity) -> bool:
        return False


def microseconds(work: Callable[[], object], least: float = LEAST) -> float:
    """Return what one call of *work* costs."""
    count = 1
    while (spent := _timed(work, count)) < least:
        count = max(count * 2, int(count * least / max(spent, 1e-9)))
    return min(spent, *(_timed(work, count) for _ in range(ROUNDS - 1))) / count * 1e6


def _timed(work: Callable[[], object], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        work()
    return time.perf_counter() - began


def row(alg: str, least: float = LEAST) -> list[float]:
    """Return the columns of *alg*: issue, verify, trusted issuer's verify, cached, forged."""
    ring = ring_for(alg)
    own = verifier(ring)
    token = issued(ring)
    foreign = signed(key_for(alg), body=claims(iss=_IDP, aud="bench"))
    keys = ForeignKeys([ForeignKey(key_for(alg).kid, key_for(alg))])
    trusted = TrustedIssuer("idp", _IDP, keys, frozenset({"bench"}), frozenset({alg}))
    front = Verifiers(own, [trusted], {})
    cache = VerifiedTokens(front, _Never(), lambda identity: b"", ring)
    forged = token[:-8] + (b"AAAAAAAA" if token[-8:] != b"AAAAAAAA" else b"EEEEEEEE")
    maker = issuer(ring)
    person = Subject("alice", "alice", ("user", "admin"))

    def make() -> object:
        return maker.access_token(person, session="s", stamp_ms=NOW * 1000, auth_time=NOW)

    work: tuple[Callable[[], object], ...] = (
        make,
        lambda: front.verify(token, NOW),
        lambda: front.verify(foreign, NOW),
        lambda: cache.check(token, NOW),
        lambda: cache.check(forged, NOW),
    )
    return [microseconds(one, least) for one in work]


def table(algorithms: tuple[str, ...] = ALGORITHMS, least: float = LEAST) -> str:
    """Return the whole table."""
    lines = [
        "| algorithm | issue | verify | verify, trusted issuer | cached | forged |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for alg in algorithms:
        made, verified, foreign, cached, forged = row(alg, least)
        lines.append(f"| {alg} | {made:.0f} | {verified:.1f} | {foreign:.1f} | {cached:.2f} | {forged:.1f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"Microseconds for one token, one core.\n\n{table()}\n")
