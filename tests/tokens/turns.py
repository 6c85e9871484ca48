"""Turning the keys of a directory by hand, as `gateway keys` does."""

from pathlib import Path

from gateway.tokens import kept
from gateway.tokens.keystore import change
from gateway.tokens.sealing import Seal


def stage(directory: Path, alg: str, now: float, seal: Seal | None = None) -> str:
    """Add a next key for *alg*; returns its `kid`."""
    new = kept.made(alg, "next", now, seal)
    change(directory, lambda before: (*before, new), seal)
    return new.kid


def promote(directory: Path, kid: str, now: float, seal: Seal | None = None) -> None:
    change(directory, lambda before: kept.promoted(before, kid, now), seal)


def withdraw(directory: Path, kid: str, now: float, seal: Seal | None = None) -> None:
    change(directory, lambda before: kept.withdrawn(before, kid, now), seal)


def forget(directory: Path, kid: str, seal: Seal | None = None) -> None:
    change(directory, lambda before: kept.forgotten(before, kid), seal)


def expel(directory: Path, kid: str, now: float, seal: Seal | None = None) -> None:
    change(directory, lambda before: kept.compromised(before, kid, now, seal), seal)
