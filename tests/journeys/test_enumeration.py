"""Nobody learns by logging in which accounts there are: a name nobody has, a wrong password and a disabled account.

The long form looks at the clock: how long the three take must be drawn from one distribution. The short one looks at
what the clock would show: the answers, and what the gateway asks of its store and of its hashes on the way.
"""

import http.client
import json
import random
import re
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from gateway.users.passwords import Hasher
from tests.journeys.house import Gateway, running
from tests.journeys.pair import Redis, shared

ROUNDS, TRIES = 40, 5
"""Accounts of each kind, and tries at each: as many as an account forgives, so that the brake plays no part."""
KINDS = ("unknown", "wrong", "disabled")


class Told(NamedTuple):
    """What a client sees of one login."""

    status: int
    fields: tuple[str, ...]
    body: str
    seconds: float


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: str, redis: Redis) -> Iterator[Gateway]:
    """A gateway behind a trusted proxy. Its users' hashes are all of the default cost, so that chance has no part in
    which one a name that nobody has is checked against."""
    folder = tmp_path_factory.mktemp("enumeration")
    text = shared(folder, upstream, redis.url)
    (folder / "users.yaml").write_text(users())
    text = text.replace("  insecure_http: true", "  insecure_http: true\n  trusted_proxies: [127.0.0.1]")
    with running(folder / "gateway", text) as made:
        yield made


def users() -> str:
    encoded = Hasher().hash("right")
    lines = [
        f'  {kind}-{number}: {{password: "{encoded}", roles: [user], disabled: {str(off).lower()}}}'
        for kind, off in (("wrong", False), ("disabled", True))
        for number in range(ROUNDS)
    ]
    return "\n".join(("users:", *lines, ""))


def tried(line: http.client.HTTPConnection, name: str, address: str) -> Told:
    body = json.dumps({"username": name, "password": "right" if name.startswith("disabled") else "guess"})
    headers = {"Content-Type": "application/json", "X-Forwarded-For": address}
    began = time.perf_counter()
    line.request("POST", "/auth/login", body, headers)
    answer = line.getresponse()
    text = answer.read().decode()
    took = time.perf_counter() - began
    told = re.sub(r'"request_id": ?"[^"]*"', "", text)
    return Told(answer.status, tuple(sorted(name.lower() for name, _ in answer.getheaders())), told, took)


def scripts(seen: Sequence[str]) -> list[tuple[str, int]]:
    """Which scripts ran, and with how many arguments; the feed of revocations runs one of its own now and then."""
    asked = (re.findall(r'"((?:[^"\\]|\\.)*)"', line) for line in seen if '"gw:{rev}"' not in line)
    return [(call[1], len(call)) for call in asked if call[0].upper() in ("EVALSHA", "EVAL")]


@pytest.mark.item(115, "F13")
def test_the_answer_and_what_is_asked_on_the_way_are_the_same(gateway: Gateway, redis: Redis) -> None:
    line = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    tried(line, "nobody", "203.0.113.9")  # the store knows the scripts now
    found = {}
    for at, kind in enumerate(KINDS):
        with redis.monitored() as seen:
            told = tried(line, f"{kind}-0", f"203.0.113.{at + 10}")
        found[kind] = told._replace(seconds=0.0), scripts(seen)
    line.close()
    assert found["unknown"][0].status == 401
    assert found["unknown"][1], "the brake asks the store"
    assert found["unknown"] == found["wrong"] == found["disabled"]


@pytest.mark.long
@pytest.mark.item(115, "F13")
def test_the_time_is_the_same(gateway: Gateway) -> None:
    line = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    tries = [(kind, number) for number in range(ROUNDS) for kind in KINDS for _ in range(TRIES)]
    random.Random(7).shuffle(tries)  # what the machine does meanwhile falls on all kinds alike
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for count, (kind, number) in enumerate(tries):
        told = tried(line, f"{kind}-{number}", f"198.18.{count >> 8}.{count & 255}")
        assert told.status == 401, told
        took[kind].append(told.seconds)
    line.close()
    for kind in ("unknown", "disabled"):
        apart = distance(took[kind], took["wrong"])
        sys.stdout.write(f"{kind} from wrong, {len(took[kind])} tries each: {apart:.3f}\n")
        assert apart < 0.2


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how far two samples are apart, 0 to 1 (Kolmogorov and Smirnov)."""
    one, other = sorted(one), sorted(other)
    return max(
        abs(bisect_right(one, value) / len(one) - bisect_right(other, value) / len(other)) for value in (*one, *other)
    )


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ([1, 2, 3], [3, 2, 1], 0.0),
        ([1, 2], [3, 4], 1.0),
        ([1, 2, 3, 4], [3, 4, 5, 6], 0.5),
        ([1, 1, 1, 9], [1, 1, 9, 9], 0.25),
    ],
)
def test_the_measure_knows_equal_from_different(one: list[float], other: list[float], apart: float) -> None:
    assert distance(one, other) == apart
