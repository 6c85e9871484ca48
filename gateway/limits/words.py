"""What is said of an allowance in the fields of `limits.fields`, as far as it is the same for everybody."""

from typing import NamedTuple

from gateway.limits.limit import Allowance


class Words(NamedTuple):
    """The parts of the fields about one allowance."""

    policies: tuple[str, ...]
    """The members of RateLimit-Policy."""
    rate: str
    """The member of RateLimit about the rate, to be filled with how many are left, and the seconds."""
    inflight: str
    """The member of RateLimit about those under way, to be filled with how many are left."""
    lines: bytes
    """Both fields as header lines, to be filled as `rate` is; b"" unless the allowance is a rate alone."""


def words(name: str, allowed: Allowance) -> Words:
    """Return what is said of *allowed* by the limit called *name*."""
    policies: tuple[str, ...] = ()
    if allowed.rate is not None:
        policies += (f'"{name}";q={allowed.rate.requests};w={allowed.rate.seconds}',)
    if allowed.inflight is not None:
        policies += (f'"{name}";q={allowed.inflight};qu="concurrent-requests"',)
    own = name.replace("%", "%%")
    rate, inflight = f'"{own}";r=%d;t=%d', f'"{own}";r=%d'
    lines = b""
    if allowed.rate is not None and allowed.inflight is None:
        lines = f"RateLimit-Policy: {policies[0].replace('%', '%%')}\r\nRateLimit: {rate}\r\n".encode()
    return Words(policies, rate, inflight, lines)
