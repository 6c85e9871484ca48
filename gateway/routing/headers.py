"""Header fields as a part of what a route matches: there at all, or there with one value.

A client sets headers as it likes, so they say which of several services it means, and never who it is. What counts is
what the service will see: fields that stop at the gateway, or that Connection names, are not there. A field that came
more than once is one list (RFC 9110 section 5.3) and has no single value, so it is there, and equals nothing written.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

Field = Callable[[bytes], bytes | None]
"""Returns the value of a header field by its lower-case name; None when it is not there."""


class Wanted(NamedTuple):
    """One field that has to be there."""

    name: bytes
    """In lower case."""
    value: bytes | None
    """Compared letter by letter; None takes any."""


Headers = tuple[Wanted, ...]
"""All of these, in the order of their names; none asks for nothing."""


def wanted(written: Mapping[str, str | None]) -> Headers:
    """Return what *written*, name to value or None for any, asks for."""
    made = (Wanted(name.lower().encode(), None if value is None else value.encode()) for name, value in written.items())
    return tuple(sorted(made, key=lambda one: one.name))


def fit(headers: Headers, field: Field) -> bool:
    """Return whether a request with these *field*s has all of *headers*."""
    for name, value in headers:
        here = field(name)
        if here is None or (value is not None and here != value):
            return False
    return True


def rank(headers: Headers) -> tuple[int, int]:
    """Order routes of one path: those that name more fields come first, then those that name more values."""
    return -len(headers), -sum(one.value is not None for one in headers)


def joint(one: Headers, other: Headers) -> Headers | None:
    """Return what a request has that fits both; None when no request does."""
    both = dict(one)
    for name, value in other:
        here = both.get(name)
        if here is not None and value is not None and here != value:
            return None
        both[name] = here if value is None else value
    return tuple(sorted(Wanted(name, value) for name, value in both.items()))


def implied(headers: Headers, by: Headers) -> bool:
    """Return whether every request that fits *by* fits *headers* as well."""
    there = dict(by)
    return all(name in there and value in (None, there[name]) for name, value in headers)


def undecided(one: Headers, other: Headers, all_of_path: Iterable[Headers]) -> Headers | None:
    """Return what a request has for which neither *one* nor *other* is more specific; None when there is no such.

    A third one of *all_of_path* that fits all of them, and is more specific than both, decides.
    """
    if rank(one) != rank(other) or (both := joint(one, other)) is None:
        return None
    if any(rank(third) < rank(one) and implied(third, both) for third in all_of_path):
        return None
    return both


def shown(headers: Headers) -> str:
    """Return *headers* for people: ``x-canary, x-version: 2``."""
    return ", ".join(
        name.decode() if value is None else f"{name.decode()}: {value.decode()}" for name, value in headers
    )
