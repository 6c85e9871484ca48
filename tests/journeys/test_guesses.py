"""Two real gateways over one real store, and somebody who guesses at both: the tries are counted as one.

Everybody has an address of the loopback of their own, and each test an account, of which some do not exist.
"""

import asyncio
import itertools
import math
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import httpx
import pytest

from gateway.limits.guesses import ThrottleLimits
from tests.journeys.house import Gateway
from tests.journeys.pair import Pair, Redis, pair

LIMITS = ThrottleLimits()
PATIENCE = 60.0
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Loading the certificates of the machine for each client would be most of the work."""
HOME = "127.0.0.1"
_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, upstream: str, redis: Redis) -> Iterator[Pair]:
    with pair(tmp_path_factory.mktemp("pair"), upstream, redis.url) as made:
        yield made


def new_address() -> str:
    """Return an address that nobody has come from."""
    number = next(_NUMBERS)
    return f"127.1.{number // 250}.{number % 250 + 1}"


async def log_in(
    gateway: Gateway, username: str, password: str, where: str, *, mark: str = "", mode: str = "bearer"
) -> httpx.Response:
    """Try to log in from the address *where*, with the *mark* of a browser that is known."""
    way = httpx.AsyncHTTPTransport(local_address=where, verify=NO_TLS)
    async with httpx.AsyncClient(base_url=gateway.url, transport=way, timeout=PATIENCE, trust_env=False) as client:
        return await client.post(
            "/auth/login",
            json={"username": username, "password": password, "mode": mode},
            headers={"Sec-Fetch-Site": "same-origin", "Cookie": f"__Host-Http-gw-dv={mark}" if mark else ""},
        )


async def guesses(two: Pair, username: str, places: Sequence[str]) -> tuple[Counter[int], float]:
    """Guess from all *places* at once, at both gateways in turn; return what was answered, and the seconds it took."""
    began = time.monotonic()
    doors = itertools.cycle((two.one, two.two))
    answers = await asyncio.gather(*(log_in(next(doors), username, "guess", place) for place in places))
    for answer in answers:
        assert ("Retry-After" in answer.headers) == (answer.status_code == 429)
    return Counter(answer.status_code for answer in answers), time.monotonic() - began


def most(free: int, seconds: float) -> int:
    """Return how many tries may be checked in so many seconds: the free ones, and one after each step of the ladder."""
    return free + math.floor(math.log2(seconds / LIMITS.first + 1))


@pytest.mark.item(123, 126)
@pytest.mark.parametrize("username", ["alice", "nobody"])
async def test_a_hundred_guesses_at_once_at_two_gateways_do_not_pass_the_count_of_one(two: Pair, username: str) -> None:
    answered, seconds = await guesses(two, username, [new_address()] * 100)
    assert set(answered) == {401, 429}
    assert LIMITS.pair_free <= answered[401] <= most(LIMITS.pair_free, seconds), seconds


@pytest.mark.item(123, 126)
async def test_nor_do_a_hundred_from_as_many_addresses(two: Pair) -> None:
    answered, seconds = await guesses(two, "no one", [new_address() for _ in range(100)])
    assert set(answered) == {401, 429}
    assert LIMITS.account_free <= answered[401] <= most(LIMITS.account_free, seconds), seconds


async def _under_attack(two: Pair, least: float, logins: int) -> None:
    """Let the owner log in so many times from new addresses, while others guess for as many seconds at *least*."""
    known = await log_in(two.one, "admin", "demo", HOME, mode="cookie")
    mark = known.cookies["__Host-Http-gw-dv"]
    answered: Counter[int] = Counter()
    is_over = False

    async def attack(gateway: Gateway) -> None:
        while not is_over:
            answered[(await log_in(gateway, "admin", "guess", new_address())).status_code] += 1

    began = time.monotonic()
    attackers = [asyncio.ensure_future(attack(gateway)) for gateway in (two.one, two.two) * 4]
    while answered[429] == 0:
        await asyncio.sleep(0.01)
    for gateway in itertools.islice(itertools.cycle((two.two, two.one)), logins):
        owner = await log_in(gateway, "admin", "demo", new_address(), mark=mark)
        assert owner.status_code == 200, owner.text
        await asyncio.sleep(least / logins)
    is_over = True
    await asyncio.gather(*attackers)
    seconds = time.monotonic() - began
    assert set(answered) == {401, 429}
    assert answered[401] <= most(LIMITS.account_free, seconds), (answered, seconds)


@pytest.mark.item(124)
async def test_the_owner_of_a_known_browser_logs_in_at_once_while_others_guess(two: Pair) -> None:
    await _under_attack(two, 0.5, 4)


@pytest.mark.item(124)
@pytest.mark.long
async def test_the_owner_of_a_known_browser_logs_in_at_once_while_others_guess_for_a_minute(two: Pair) -> None:
    await _under_attack(two, 60, 40)


async def test_without_the_store_a_password_is_neither_right_nor_wrong(two: Pair, redis: Redis) -> None:
    with redis.frozen():
        answers = await asyncio.gather(
            *(log_in(gateway, "alice", word, HOME) for word in ("demo", "guess") for gateway in (two.one, two.two))
        )
    assert [answer.status_code for answer in answers] == [503] * 4
    assert {answer.json()["code"] for answer in answers} == {"store_unavailable"}
