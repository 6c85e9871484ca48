"""Hypothesis drives the store beside the model of its state table: any story, told to both, ends the same.

Stories have clients that refresh at once, answers that are lost on their way, and a store that forgets its last writes.

Time moves in steps of four seconds and no window of the policies ends on one, so the milliseconds that the test itself
takes never decide.
"""

import asyncio
import secrets

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from gateway.errors import StoreUnavailable
from gateway.sessions.outcomes import Created, Dead, Disabled, Renewed
from gateway.sessions.store import Policy, connect
from gateway.tokens.refresh import RefreshToken

from . import model
from .conftest import PATIENCE, Server
from .contract import Person
from .middle import Middle

POLICIES = [
    Policy(absolute=202, idle=50, grace=grace, lost_response_window=lost, accept_ahead=ahead, tombstone=600)
    for grace in (0, 10)
    for lost in (0, 30)
    for ahead in (True, False)
]

# As redis-py's asyncio connections belong to one loop, each machine has a loop and a store of its own.
_QUICK = settings(max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
_THOROUGH = settings(_QUICK, max_examples=1000, stateful_step_count=60)


def machine(server: Server) -> type[RuleBasedStateMachine]:
    class Beside(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.wire = Middle(server.url)
            self.runner.run(self.wire.open())
            self.store = connect(self.wire.url, timeout=PATIENCE)
            self.person = Person(self.store)
            self.user = model.User()
            self.session: model.Session | None = None
            self.now = 0.0

        def teardown(self) -> None:
            self.runner.run(self.store.close())
            self.runner.run(self.wire.close())
            self.runner.close()

        @initialize(policy=st.sampled_from(POLICIES), binding=st.sampled_from(["", "thumb"]))
        def begin(self, policy: Policy, binding: str) -> None:
            self.person.policy = policy
            self.login(binding)

        @rule(binding=st.sampled_from(["", "thumb"]))
        def login(self, binding: str) -> None:
            outcome = self.runner.run(self.person.login(binding=binding))
            if self.user.is_disabled:
                assert outcome == Disabled()
                self.session = None
                return
            assert isinstance(outcome, Created)
            created = max(self.now, self.user.cut + 0.001)
            self.user.last = max(self.user.last, created)
            policy = self.person.policy
            self.session = model.Session(self.now + policy.absolute, created, self.now, binding=binding)

        @rule(offset=st.integers(-3, 3), binding=st.sampled_from(["same", "same", "same", "other"]))
        def present(self, offset: int, binding: str) -> None:
            held = self.session or model.Session(0, 0, 0)
            c = max(0, held.counter + offset)
            shown = held.binding if binding == "same" else "other"
            expected = model.refresh(self.session, self.user, c, self.now, self.person.policy, shown)
            outcome = self.runner.run(self.person.present(c, binding=shown))
            assert type(outcome).__name__ == expected
            if expected in {"Rotated", "Coalesced", "Replayed", "Forked", "Healed"}:
                assert outcome.counter == held.counter  # type: ignore[union-attr]

        @precondition(lambda self: self.session is not None)
        @rule()
        def present_the_parent(self) -> None:
            assert self.session is not None
            self.present(self.session.parent - self.session.counter, "same")

        @precondition(lambda self: self.session is not None)
        @rule(clients=st.integers(2, 6), offset=st.sampled_from([-1, 0, 0, 0, 1]))
        def present_at_once(self, clients: int, offset: int) -> None:
            """Several hold the same token; whoever comes first, all together hear what the table says."""
            assert self.session is not None
            held = self.session
            c = max(0, held.counter + offset)
            policy = self.person.policy
            expected = [model.refresh(held, self.user, c, self.now, policy, held.binding) for _ in range(clients)]

            async def all_present() -> list[Renewed | Dead]:
                return await asyncio.gather(*(self.person.present(c, binding=held.binding) for _ in range(clients)))

            outcomes = self.runner.run(all_present())
            assert sorted(type(outcome).__name__ for outcome in outcomes) == sorted(expected)
            if policy.grace and expected[0] in {"Rotated", "Coalesced", "Replayed", "Forked", "Healed"}:
                assert {outcome.counter for outcome in outcomes if isinstance(outcome, Renewed)} == {held.counter}

        @precondition(lambda self: self.session is not None)
        @rule(offset=st.sampled_from([-1, 0, 0, 0]))
        def lose_the_answer(self, offset: int) -> None:
            """The store has done it, and the client never hears of it."""
            assert self.session is not None
            c = max(0, self.session.counter + offset)
            model.refresh(self.session, self.user, c, self.now, self.person.policy, self.session.binding)
            self.wire.loses = lambda answer: answer.startswith(b"*")  # what a script says
            with pytest.raises(StoreUnavailable):
                self.runner.run(self.person.present(c, binding=self.session.binding))
            self.wire.loses = lambda answer: False
            self.runner.run(self.store.ping())

        @precondition(lambda self: self.session is not None and self.session.counter > 0)
        @rule(steps=st.integers(1, 3))
        def roll_back(self, steps: int) -> None:
            """A failover to a replica that had not heard of the last rotations."""
            assert self.session is not None
            held = self.session
            held.counter = max(0, held.counter - steps)
            held.parent, held.is_confirmed = held.counter - 1, False
            fields = ("n", held.counter, "p", held.parent, "cf", 0)
            key = self.store.keys.of(self.person.tag).session(self.person.session)
            if self.runner.run(self.store.link.command("EXISTS", key)):
                self.runner.run(self.store.link.command("HSET", key, *fields))

        @precondition(lambda self: self.session is not None)
        @rule()
        def present_another_family(self) -> None:
            real = self.person.token
            self.person.token = RefreshToken(real.tag, real.session, secrets.token_bytes(16), real.counter)
            assert type(self.runner.run(self.person.present(0))).__name__ == "Unknown"
            self.person.token = real

        @rule(steps=st.sampled_from([1, 1, 2, 3, 8, 13]))
        def wait(self, steps: int) -> None:
            self.now += 4 * steps
            if self.session is not None:
                self.runner.run(self.person.wait(4 * steps))
            else:
                self.user.cut += 4 * steps  # nothing was moved into the past in the store
                self.user.last += 4 * steps

        @rule()
        def log_out(self) -> None:
            self.runner.run(self.store.revoke_session(self.person.tag, self.person.session, self.person.policy))
            if self.session is not None and self.session.state == "active":
                self.session.state = "revoked"

        @rule(disable=st.sampled_from([False, False, True]))
        def end_user(self, disable: bool) -> None:
            self.runner.run(self.store.revoke_user(self.person.tag, self.person.policy, disable=disable))
            self.user.cut = max(self.now, self.user.cut, self.user.last)
            self.user.is_disabled |= disable

        @rule()
        def enable(self) -> None:
            was = self.runner.run(self.store.enable_user(self.person.tag, self.person.policy))
            assert was == self.user.is_disabled
            self.user.is_disabled = False

        @rule()
        def lose_the_script_cache(self) -> None:
            self.runner.run(self.store.link.command("SCRIPT", "FLUSH"))

    return Beside


def test_any_story_ends_as_in_the_model(valkey: Server) -> None:
    run_state_machine_as_test(machine(valkey), settings=_QUICK)


@pytest.mark.long
def test_thousands_of_stories_end_as_in_the_model(redis: Server) -> None:
    run_state_machine_as_test(machine(redis), settings=_THOROUGH)
