"""Every field of a head, repeated names included: the slow way, for the heads where the quick way would lose some."""

import contextlib
from typing import Protocol

import httptools


class _Parser(Protocol):
    def feed_data(self, data: bytes) -> None: ...


class _Pairs:
    """A parser's protocol that keeps every pair."""

    def __init__(self) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name, value))


def request_pairs(head: bytes) -> list[tuple[bytes, bytes]]:
    """Return every field of the request head *head*, which has been parsed before without complaint."""
    every = _Pairs()
    return _fed(every, httptools.HttpRequestParser(every), head)


def answer_pairs(head: bytes) -> list[tuple[bytes, bytes]]:
    """Return every field of the answer head *head*, which has been parsed before without complaint."""
    every = _Pairs()
    return _fed(every, httptools.HttpResponseParser(every), head)


def _fed(every: _Pairs, parser: _Parser, head: bytes) -> list[tuple[bytes, bytes]]:
    with contextlib.suppress(httptools.HttpParserUpgrade):
        parser.feed_data(head)
    return every.pairs
