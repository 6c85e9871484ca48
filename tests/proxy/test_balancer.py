"""Which target is chosen: shares, loads and hashes, over targets that are only names and numbers."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.balancer import BALANCERS, Balancer, Hash, LeastInflight, PowerOfTwo, RoundRobin


@dataclass
class One:
    name: str
    weight: int = 1
    inflight: int = 0


def some(*weights: int) -> list[One]:
    return [One(f"http://t{at}:80", weight) for at, weight in enumerate(weights)]


def chosen(balancer: Balancer, targets: Sequence[One], times: int) -> list[int]:
    return [balancer.pick(targets, b"") for _ in range(times)]


KEYS = [b"user-%d" % number for number in range(4000)]


@given(st.sampled_from(sorted(BALANCERS)), st.lists(st.integers(1, 50), min_size=1, max_size=8), st.binary())
def test_whatever_there_is_one_of_it_is_chosen(name: str, weights: list[int], key: bytes) -> None:
    assert 0 <= BALANCERS[name]().pick(some(*weights), key) < len(weights)


class TestRoundRobin:
    def test_equal_targets_come_in_turn(self) -> None:
        assert chosen(RoundRobin(), some(1, 1, 1), 7) == [0, 1, 2, 0, 1, 2, 0]

    def test_a_heavy_one_comes_often_but_not_in_a_row(self) -> None:
        assert chosen(RoundRobin(), some(5, 1, 1), 7) == [0, 0, 1, 0, 2, 0, 0]

    @given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
    def test_each_round_is_shared_exactly_by_weight(self, weights: list[int]) -> None:
        counts = Counter(chosen(RoundRobin(), some(*weights), sum(weights)))
        assert [counts[at] for at in range(len(weights))] == weights

    def test_one_that_leaves_and_comes_back_gets_its_share_and_no_more(self) -> None:
        balancer, targets = RoundRobin(), some(1, 1, 1)
        chosen(balancer, targets, 3)
        chosen(balancer, targets[:2], 100)
        assert Counter(chosen(balancer, targets, 30)) == {0: 10, 1: 10, 2: 10}


class TestLeastInflight:
    def test_the_least_busy_is_chosen_and_the_first_of_equals(self) -> None:
        targets = some(1, 1, 1)
        targets[0].inflight, targets[1].inflight, targets[2].inflight = 4, 2, 2
        assert LeastInflight().pick(targets, b"") == 1

    def test_requests_that_stay_are_shared_by_weight(self) -> None:
        targets = some(3, 2, 1)
        for _ in range(60):
            targets[LeastInflight().pick(targets, b"")].inflight += 1
        assert [target.inflight for target in targets] == [30, 20, 10]


class TestPowerOfTwo:
    def test_the_less_loaded_of_two_that_were_drawn_is_chosen(self) -> None:
        targets = some(1, 1, 1)
        targets[0].inflight, targets[1].inflight, targets[2].inflight = 9, 5, 0
        draws = iter([0, 0, 1, 0, 2, 1])  # the second number skips what the first has taken
        balancer = PowerOfTwo(lambda _below: next(draws))
        assert chosen(balancer, targets, 3) == [1, 1, 2]

    def test_only_one_is_not_drawn_for(self) -> None:
        assert PowerOfTwo(lambda _below: pytest.fail("drawn")).pick(some(1), b"") == 0

    def test_two_different_ones_are_drawn_and_each_equally_often(self) -> None:
        source = random.Random(7)
        counts = Counter(chosen(PowerOfTwo(source.randrange), some(1, 1, 1, 1), 8000))
        assert all(1800 < counts[at] < 2200 for at in range(4)), counts

    def test_nobody_is_far_behind(self) -> None:
        targets, balancer = some(*[1] * 10), PowerOfTwo(random.Random(7).randrange)
        for _ in range(1000):
            targets[balancer.pick(targets, b"")].inflight += 1
        assert max(target.inflight for target in targets) <= 105


class TestHash:
    def test_the_same_key_comes_to_the_same_target_in_every_process(self) -> None:
        targets = some(1, 1, 1)
        first = [Hash().pick(targets, key) for key in KEYS[:100]]
        assert first == [Hash().pick(targets, key) for key in KEYS[:100]]
        assert first[:12] == [Hash().pick([One(f"http://t{at}:80") for at in range(3)], key) for key in KEYS[:12]]

    def test_keys_are_shared_by_weight(self) -> None:
        counts = Counter(Hash().pick(some(1, 2, 1), key) for key in KEYS)
        assert 850 < counts[0] < 1150
        assert 1850 < counts[1] < 2150
        assert 850 < counts[2] < 1150

    @pytest.mark.parametrize("lost", range(5))
    def test_losing_a_target_moves_its_own_keys_only(self, lost: int) -> None:
        targets = some(1, 1, 3, 1, 1)
        rest = [target for at, target in enumerate(targets) if at != lost]
        for key in KEYS[:1000]:
            before = targets[Hash().pick(targets, key)]
            after = rest[Hash().pick(rest, key)]
            assert after is before or before is targets[lost]

    def test_a_new_target_takes_its_share_and_moves_nothing_else(self) -> None:
        targets = some(1, 1, 1, 1)
        moved = 0
        for key in KEYS:
            before, after = Hash().pick(targets[:3], key), Hash().pick(targets, key)
            assert after in (before, 3)
            moved += after == 3
        assert 850 < moved < 1150

    def test_the_order_in_which_targets_are_written_does_not_matter(self) -> None:
        targets = some(1, 2, 3)
        backwards = targets[::-1]
        for key in KEYS[:500]:
            assert targets[Hash().pick(targets, key)] is backwards[Hash().pick(backwards, key)]

    @pytest.mark.parametrize("length", [64, 65, 200])
    def test_long_names_that_begin_alike_are_still_different(self, length: int) -> None:
        targets = [One("http://" + "a" * length + str(at)) for at in range(4)]
        assert len({Hash().pick(targets, key) for key in KEYS[:200]}) == 4

    def test_raising_a_weight_only_draws_keys_towards_it(self) -> None:
        light, heavy = some(1, 1, 1), some(1, 2, 1)
        for key in KEYS[:1000]:
            assert Hash().pick(heavy, key) in (Hash().pick(light, key), 1)
