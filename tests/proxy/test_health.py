"""The health of targets, told by hand what happened and when."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import CODES, Refusal, refuse
from gateway.proxy.health import (
    Change,
    Ejection,
    Outcome,
    Probing,
    State,
    TargetHealth,
    UpstreamHealth,
    outcome_of_break,
    outcome_of_refusal,
    outcome_of_status,
)

SUCCESS, FAILURE, NOTHING = Outcome.SUCCESS, Outcome.FAILURE, Outcome.NOTHING
EJECTION = Ejection(failures=5, time=30.0, max_percent=50)


def upstream(targets: int = 2, *, max_percent: int = 50, failures: int = 5) -> UpstreamHealth:
    names = [f"t{number}" for number in range(targets)]
    return UpstreamHealth(names, ejection=Ejection(failures, 30.0, max_percent), probing=Probing(fall=3, rise=2))


def fail(target: TargetHealth, times: int = 5, now: float = 0.0) -> None:
    for _ in range(times):
        target.end(object(), FAILURE, now)


def ask(target: TargetHealth, outcome: Outcome, now: float) -> None:
    """Send one request as the pool does."""
    assert target.is_fit(now)
    who = object()
    if target.suspect:
        target.begin(who, now)
    target.end(who, outcome, now)


def probe(target: TargetHealth, verdicts: str, now: float = 0.0) -> None:
    """Report probes: `+` a good one, `-` a bad one."""
    for verdict in verdicts:
        target.probed(verdict == "+", "status_200" if verdict == "+" else "timeout", now)


class TestRequests:
    def test_a_target_that_never_failed_is_beyond_suspicion(self) -> None:
        target = upstream().targets[0]

        assert not target.suspect
        assert target.is_fit(0)

    def test_one_failure_makes_it_suspect_and_one_success_clears_it(self) -> None:
        target = upstream().targets[0]

        fail(target, 1)
        assert target.suspect
        assert target.is_fit(0)

        ask(target, SUCCESS, 1)
        assert not target.suspect

    def test_five_failures_in_a_row_eject_it(self) -> None:
        target = upstream().targets[0]
        fail(target, 4)
        assert target.is_fit(0)

        fail(target, 1)
        assert not target.is_fit(29.9)
        assert target.suspect

    def test_a_success_between_them_starts_the_count_anew(self) -> None:
        target = upstream().targets[0]
        fail(target, 4)
        ask(target, SUCCESS, 0)
        fail(target, 4)

        assert target.is_fit(0)

    def test_failures_that_lie_far_apart_do_not_add_up(self) -> None:
        target = upstream().targets[0]
        for hour in range(20):
            fail(target, 1, now=3600.0 * hour)

        assert target.is_fit(20 * 3600)

    def test_a_request_that_says_nothing_changes_nothing(self) -> None:
        target = upstream().targets[0]
        fail(target, 4)
        ask(target, NOTHING, 0)
        fail(target, 1)

        assert not target.is_fit(0)

    def test_without_ejection_failures_change_nothing(self) -> None:
        target = UpstreamHealth(["t0", "t1"]).targets[0]
        fail(target, 1000)

        assert not target.suspect
        assert target.is_fit(0)


class TestTrials:
    def test_after_its_time_an_ejected_target_gets_one_request_at_a_time(self) -> None:
        target = upstream().targets[0]
        fail(target)
        assert target.is_fit(30)

        target.begin("first", 30)

        assert not target.is_fit(30)
        assert target.state is State.TRIAL

    def test_a_trial_that_succeeds_readmits_it(self) -> None:
        target = upstream().targets[0]
        fail(target)
        ask(target, SUCCESS, 30)

        assert not target.suspect
        assert target.is_fit(30)

    def test_a_trial_that_fails_ejects_it_for_longer(self) -> None:
        target = upstream().targets[0]
        fail(target)
        ask(target, FAILURE, 30)

        assert not target.is_fit(30 + 59.9)
        assert target.is_fit(30 + 60)

    def test_a_trial_that_says_nothing_lets_the_next_request_try(self) -> None:
        target = upstream().targets[0]
        fail(target)
        ask(target, NOTHING, 31)

        assert target.is_fit(31)
        ask(target, SUCCESS, 31)
        assert not target.suspect

    def test_a_trial_whose_end_nobody_tells_is_given_up(self) -> None:
        target = upstream().targets[0]
        fail(target)
        target.begin("lost", 30)

        assert not target.is_fit(59.9)
        assert target.is_fit(60)

    def test_only_the_trial_decides(self) -> None:
        """Requests that were on their way before the ejection end late, and say nothing about now."""
        target = upstream().targets[0]
        fail(target)
        target.end("late", SUCCESS, 1)
        assert not target.is_fit(1)

        target.begin("trial", 30)
        target.end("late", FAILURE, 30)
        target.end("later", SUCCESS, 30)
        target.end("client gone", NOTHING, 30)
        assert not target.is_fit(30)

        target.end("trial", SUCCESS, 31)
        assert target.is_fit(31)

    def test_a_trial_that_was_given_up_does_not_decide_any_more(self) -> None:
        target = upstream().targets[0]
        fail(target)
        target.begin("lost", 30)
        target.begin("next", 60)
        target.end("lost", FAILURE, 61)

        assert target.state is State.TRIAL

    def test_ejections_grow_up_to_ten_times_the_first(self) -> None:
        target = upstream().targets[0]
        fail(target)
        now, lengths = 0.0, []
        for _ in range(13):
            lengths.append(target.due - now)
            now = target.due
            ask(target, FAILURE, now)

        assert lengths == [30.0 * times for times in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10)]

    def test_a_target_that_fails_again_right_after_its_return_is_out_for_longer(self) -> None:
        target = upstream().targets[0]
        fail(target)
        ask(target, SUCCESS, 30)
        fail(target, now=31)

        assert target.due == 31 + 60

    def test_each_calm_while_forgives_one_ejection(self) -> None:
        target = upstream().targets[0]
        fail(target)
        ask(target, FAILURE, 30)
        ask(target, FAILURE, 90)  # three ejections
        ask(target, SUCCESS, 180)
        fail(target, now=180 + 65)  # 65 s of calm forgive two

        assert target.due == 245 + 60

    def test_a_long_calm_forgives_all(self) -> None:
        target = upstream().targets[0]
        fail(target)
        ask(target, FAILURE, 30)
        ask(target, SUCCESS, 90)
        fail(target, now=100_000)

        assert target.due == 100_000 + 30


class TestShare:
    @pytest.mark.parametrize(
        ("targets", "max_percent", "out"),
        [
            pytest.param(4, 50, 2, id="half of four"),
            pytest.param(5, 50, 2, id="rounded down"),
            pytest.param(3, 10, 1, id="one at least"),
            pytest.param(2, 50, 1, id="one of two"),
            pytest.param(2, 99, 1, id="the last fit one stays"),
            pytest.param(2, 100, 2, id="all, when it says so"),
            pytest.param(1, 50, 1, id="the only one: a breaker"),
            pytest.param(1, 0, 0, id="none"),
            pytest.param(4, 0, 0, id="none of four"),
        ],
    )
    def test_so_many_targets_may_be_out_at_once(self, targets: int, max_percent: int, out: int) -> None:
        health = upstream(targets, max_percent=max_percent)
        for target in health.targets:
            fail(target, 20)

        assert health.out == out
        assert sum(not target.is_fit(1) for target in health.targets) == out

    def test_a_target_that_was_spared_is_ejected_when_there_is_room_again(self) -> None:
        first, second = upstream().targets
        fail(first)
        fail(second, 7)
        assert second.is_fit(1)

        ask(first, SUCCESS, 30)
        fail(second, 1, now=30)
        assert not second.is_fit(30)

    def test_targets_held_down_by_probes_take_part_of_the_share(self) -> None:
        first, second = upstream().targets
        probe(first, "+---")
        fail(second, 20)

        assert second.is_fit(0)

    def test_when_probes_take_the_last_fit_one_the_ejected_one_is_tried_at_once(self) -> None:
        first, second = upstream().targets
        fail(first)
        assert not first.is_fit(5)

        probe(second, "+---", now=5)
        assert first.is_fit(5)

    def test_an_ejected_target_stays_out_while_probes_take_others_within_the_share(self) -> None:
        first, second, *_ = upstream(4).targets
        fail(first)
        probe(second, "+---", now=5)

        assert not first.is_fit(5)


class TestBreaker:
    """The only target of an upstream."""

    def test_it_opens_after_failures_in_a_row_and_fails_fast(self) -> None:
        health = upstream(1)
        (target,) = health.targets
        fail(target)

        assert not target.is_fit(10)
        assert health.retry_after(10) == 20

    def test_it_lets_one_request_try_after_its_time_and_closes_on_success(self) -> None:
        (target,) = upstream(1).targets
        fail(target)
        target.begin("trial", 30)
        assert not target.is_fit(30)

        target.end("trial", SUCCESS, 30.1)
        assert target.is_fit(30.1)
        assert not target.suspect

    def test_it_does_not_stay_open_longer_each_time(self) -> None:
        """Nobody else can serve meanwhile, so waiting longer would only prolong the outage."""
        (target,) = upstream(1).targets
        fail(target)
        for _ in range(5):
            ask(target, FAILURE, target.due)

        assert target.due == 30 * 6


class TestProbes:
    def test_without_a_probe_yet_a_target_is_taken_for_fit(self) -> None:
        assert upstream().targets[0].is_fit(0)

    @pytest.mark.parametrize(
        ("verdicts", "fit"),
        [
            pytest.param("+", True, id="good from the start"),
            pytest.param("-", False, id="the first probe decides"),
            pytest.param("-----+", True, id="one good one is enough for the first time"),
            pytest.param("+--", True, id="two bad ones are not enough"),
            pytest.param("+---", False, id="three are"),
            pytest.param("+--+--+--", True, id="in a row"),
            pytest.param("+---+", False, id="one good one is not enough to return"),
            pytest.param("+---++", True, id="two are"),
            pytest.param("+---+-+", False, id="in a row, too"),
            pytest.param("+---++--", True, id="falling starts anew after rising"),
        ],
    )
    def test_probes_in_a_row_decide(self, verdicts: str, fit: bool) -> None:
        target = upstream().targets[0]
        probe(target, verdicts)

        assert target.is_fit(0) is fit
        assert target.suspect is not fit

    def test_a_target_that_is_down_stays_so_whatever_late_requests_say(self) -> None:
        target = upstream().targets[0]
        probe(target, "-")
        target.end(object(), SUCCESS, 1)

        assert not target.is_fit(1000)

    def test_failures_before_it_went_down_do_not_count_when_it_is_back(self) -> None:
        target = upstream().targets[0]
        fail(target, 4)
        probe(target, "-")
        fail(target, 4)
        probe(target, "+")

        assert not target.suspect

    def test_good_probes_bring_the_trial_of_an_ejected_target_forward(self) -> None:
        target = upstream().targets[0]
        probe(target, "++++")
        fail(target, now=100)
        probe(target, "+", now=102)
        assert not target.is_fit(102)

        probe(target, "+", now=107)
        assert target.is_fit(107)
        assert target.suspect

    def test_good_probes_do_not_disturb_a_trial(self) -> None:
        target = upstream().targets[0]
        fail(target)
        target.begin("trial", 30)
        probe(target, "++++", now=31)

        assert not target.is_fit(31)

    def test_an_upstream_that_probes_hold_down_says_to_come_back_soon(self) -> None:
        health = upstream()
        for target in health.targets:
            probe(target, "-")

        assert health.retry_after(7) == 1


def test_every_change_is_told_with_its_reason() -> None:
    told: list[tuple[str, Change, str]] = []
    health = UpstreamHealth(
        ["a", "b"],
        ejection=EJECTION,
        on_change=lambda name, change, reason: told.append((name, change, reason)),
    )
    first, second = health.targets
    fail(first, 6)
    ask(first, FAILURE, 30)
    ask(first, SUCCESS, 90)
    probe(second, "+---++")

    assert told == [
        ("a", Change.EJECTED, "failures"),
        ("a", Change.EJECTED, "trial"),
        ("a", Change.READMITTED, "trial"),
        ("b", Change.DOWN, "timeout"),
        ("b", Change.UP, "status_200"),
    ]


class TestBlame:
    @pytest.mark.parametrize("status", [502, 503, 504])
    def test_a_service_that_says_it_cannot_serve_has_failed(self, status: int) -> None:
        assert outcome_of_status(status) is FAILURE

    @pytest.mark.parametrize("status", [101, 200, 204, 304, 400, 401, 404, 429, 499, 500, 501, 505])
    def test_any_other_answer_is_an_answer(self, status: int) -> None:
        assert outcome_of_status(status) is SUCCESS

    @pytest.mark.parametrize(
        "refusal",
        [
            refuse("upstream_unreachable", "connect_refused"),
            refuse("upstream_timeout", "connect_timeout"),
            refuse("upstream_timeout", "first_byte"),
            refuse("upstream_timeout", "total"),
            refuse("upstream_unreachable", "closed"),
            refuse("upstream_protocol", "reset"),
            refuse("upstream_protocol", "head"),
        ],
        ids=lambda refusal: refusal.reason,
    )
    def test_no_answer_is_the_fault_of_the_target(self, refusal: Refusal) -> None:
        assert outcome_of_refusal(refusal, begun=False) is FAILURE

    @pytest.mark.parametrize(
        "refusal",
        [
            refuse("request_timeout", "body"),
            refuse("body_too_large", "bytes"),
            refuse("bad_request", "body_framing"),
            refuse("no_healthy_target", "orders"),
            refuse("overloaded", "queue"),
            refuse("internal_error", "connect"),
            refuse("upstream_protocol", "fault"),
        ],
        ids=lambda refusal: f"{refusal.code.name}-{refusal.reason}",
    )
    @pytest.mark.parametrize("begun", [False, True])
    def test_what_the_client_or_we_did_is_not(self, refusal: Refusal, begun: bool) -> None:
        assert outcome_of_refusal(refusal, begun=begun) is NOTHING

    def test_an_answer_that_stops_in_the_middle_is_a_failure_but_a_long_one_is_not(self) -> None:
        assert outcome_of_break("reset", begun=True) is FAILURE
        assert outcome_of_break("body", begun=True) is FAILURE
        assert outcome_of_refusal(refuse("upstream_timeout", "idle"), begun=True) is FAILURE
        assert outcome_of_refusal(refuse("upstream_timeout", "total"), begun=True) is NOTHING

    def test_a_client_that_leaves_says_nothing(self) -> None:
        assert outcome_of_break("client_gone", begun=False) is NOTHING
        assert outcome_of_break("client_gone", begun=True) is NOTHING

    def test_the_codes_that_blame_an_upstream_exist(self) -> None:
        assert {code for code in CODES if code.startswith("upstream_")} == {
            "upstream_unreachable",
            "upstream_timeout",
            "upstream_protocol",
        }


@settings(max_examples=100, deadline=None)
@given(
    targets=st.integers(1, 4),
    max_percent=st.sampled_from([0, 30, 50, 100]),
    events=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.one_of(st.sampled_from(list(Outcome)), st.booleans()),
            st.floats(0, 40),
        ),
        max_size=60,
    ),
)
def test_whatever_happens_nobody_is_locked_out_for_good(
    targets: int, max_percent: int, events: list[tuple[int, Outcome | bool, float]]
) -> None:
    """Suspicion is exact, the share holds for ejections, and a target that works again is used again."""
    health = upstream(targets, max_percent=max_percent, failures=2)
    share = max(1, targets * max_percent // 100) if max_percent else 0
    now = 0.0
    for number, event, pause in events:
        now += pause
        target = health.targets[number % targets]
        if isinstance(event, bool):
            target.probed(event, "probe", now)
        elif target.is_fit(now):
            ask(target, event, now)
        assert sum(each.state is not State.FIT for each in health.targets) <= share
        for each in health.targets:
            assert each.suspect or (each.is_fit(now) and not each.is_out)

    for target in health.targets:
        probe(target, "++", now)
        for _ in range(2):
            now = max(now, target.due)
            ask(target, SUCCESS, now)
        assert not target.suspect
