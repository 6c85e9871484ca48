"""How keys turn: the plan, the file that several processes share, and that no valid token is refused meanwhile."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.tokens import keystore
from gateway.tokens.cache import Verified, VerifiedTokens
from gateway.tokens.kept import Kept, KeptKeys
from gateway.tokens.keys import Keystore, Schedule, Seal, kept_in
from gateway.tokens.rotation import PUBLISH_MARGIN, Forget, Promote, Stage, Step, plan
from gateway.tokens.subject import Subject
from gateway.tokens.verify import Identity, Invalid

from .forge import LEEWAY, NOW, TTL, issued, issuer, verifier
from .test_fuzz import Never
from .turns import expel, forget, promote, stage, withdraw

ALG = "ES256"
DAY = 86400
SCHEDULE = Schedule(ALG, rotate=30 * DAY, publish_ahead=3600, keep=TTL + LEEWAY + 60)
SECRET = b"s" * 32


def kept(kid: str, state: str, since: float = NOW, created: float | None = None, alg: str = ALG) -> Kept:
    return Kept(kid, alg, state, int(since if created is None else created), int(since), "unused")  # type: ignore[arg-type]


CURRENT = kept("a", "current")
OTHER = kept("a", "current", alg="RS256")
TURN = NOW + 30 * DAY


@pytest.mark.parametrize(
    ("keys", "now", "steps"),
    [
        pytest.param((CURRENT,), NOW, (), id="a young key signs on"),
        pytest.param((CURRENT,), TURN - 3601, (), id="not yet time to publish"),
        pytest.param((CURRENT,), TURN - 3600, (Stage(ALG),), id="the next one is published ahead"),
        pytest.param((CURRENT, kept("b", "next", TURN - 3600)), TURN - 1, (), id="published and waiting"),
        pytest.param((CURRENT, kept("b", "next", TURN - 3600)), TURN, (Promote("b"),), id="its time has come"),
        pytest.param((CURRENT, kept("b", "next", TURN - 10)), TURN, (), id="late, but published long enough first"),
        pytest.param((CURRENT, kept("b", "next", TURN)), TURN + 3600, (Promote("b"),), id="then late it is"),
        pytest.param(
            (CURRENT, kept("c", "next", TURN - 3600), kept("b", "next", TURN - 7200)),
            TURN,
            (Promote("b"),),
            id="of two the one published first",
        ),
        pytest.param((CURRENT, kept("b", "next", alg="RS256")), TURN, (Stage(ALG),), id="one for another algorithm"),
        pytest.param((OTHER,), NOW, (Stage(ALG),), id="another algorithm is asked for, and published at once"),
        pytest.param((OTHER, kept("b", "next", NOW + 9)), NOW + 3608, (), id="it waits until everybody knows it"),
        pytest.param((OTHER, kept("b", "next", NOW + 9)), NOW + 3609, (Promote("b"),), id="and signs then"),
        pytest.param((OTHER, kept("c", "next", alg="RS256")), NOW, (Stage(ALG),), id="whatever waits for the old one"),
        pytest.param((kept("h", "current", alg="HS256"),), TURN, (), id="never a public key beside a secret"),
        pytest.param((CURRENT, kept("o", "retired")), NOW + SCHEDULE.keep - 1, (), id="its last token may live"),
        pytest.param((CURRENT, kept("o", "retired")), NOW + SCHEDULE.keep, (Forget("o"),), id="its last token is dead"),
        pytest.param((CURRENT,), NOW - 365 * DAY, (), id="a clock set back turns nothing"),
        pytest.param((kept("b", "next"),), TURN, (), id="no current key is not for a timer to mend"),
    ],
)
def test_what_is_due(keys: KeptKeys, now: float, steps: tuple[Step, ...]) -> None:
    assert plan(keys, now, SCHEDULE) == steps


def test_without_rotation_retired_keys_still_go() -> None:
    still = Schedule(ALG, None, 3600, SCHEDULE.keep)
    assert plan((CURRENT, kept("o", "retired")), TURN * 2, still) == (Forget("o"),)


def test_without_rotation_another_algorithm_is_turned_to_all_the_same() -> None:
    still = Schedule(ALG, None, 3600, SCHEDULE.keep)
    assert plan((OTHER,), NOW, still) == (Stage(ALG),)
    assert plan((OTHER, kept("b", "next", NOW)), NOW + 3600, still) == (Promote("b"),)


class House:
    """Two gateways on one directory, their clocks and their callers."""

    def __init__(self, directory: Path, schedule: Schedule = SCHEDULE) -> None:
        self.directory = directory
        self.gateways = [Keystore(directory, ALG, NOW, schedule=schedule) for _ in range(2)]
        self.caches = [
            VerifiedTokens(verifier(one.ring), Never(), lambda identity: b"", one.ring) for one in self.gateways
        ]

    def token(self, by: int, now: float) -> bytes:
        subject = Subject("alice", "alice", ("user",))
        made = issuer(self.gateways[by].ring)
        return made.access_token(subject, session="s", stamp_ms=int(now * 1000), auth_time=int(now)).token.encode()

    def accepted(self, token: bytes, now: float) -> list[bool]:
        return [isinstance(cache.check(token, now), Verified) for cache in self.caches]


def test_two_gateways_turn_their_keys_and_refuse_no_valid_token(tmp_path: Path) -> None:
    house = House(tmp_path)
    seen: set[str] = set()
    alive: list[tuple[float, bytes]] = []
    step = 120.0
    now = TURN - 2 * 3600.0
    while now < TURN + 2 * 3600:
        house.gateways[int(now / step) % 2].refresh(now)  # now the one, now the other: neither is in charge
        seen |= {entry["kid"] for entry in house.gateways[0].ring.jwks()["keys"]}
        alive += [(now, house.token(by, now)) for by in (0, 1)]
        alive = [(born, token) for born, token in alive if now < born + TTL]
        for _, token in alive:
            assert house.accepted(token, now) == [True, True]
        now += step
    assert len(seen) == 2
    for one in house.gateways:
        one.refresh(now)
        assert [key.state for key in one.ring.keys] == ["current"]
    assert house.gateways[0].ring.signing().kid == house.gateways[1].ring.signing().kid


def test_two_gateways_turn_to_another_algorithm_and_nobody_meets_a_key_that_was_not_published(tmp_path: Path) -> None:
    house = House(tmp_path)
    # A service behind them caches the published keys as long as it may, and the other gateway starts an hour later.
    cached: set[str] = set()
    fetched, max_age = NOW - 3600.0, SCHEDULE.publish_ahead - PUBLISH_MARGIN
    wanted = replace(SCHEDULE, alg="EdDSA")
    house.gateways[0] = Keystore(tmp_path, "EdDSA", NOW, schedule=wanted)
    house.caches[0] = VerifiedTokens(
        verifier(house.gateways[0].ring), Never(), lambda identity: b"", house.gateways[0].ring
    )
    assert house.gateways[0].ring.signing().alg == ALG
    alive: list[tuple[float, bytes]] = []
    signed_with: list[str] = []
    now = float(NOW)
    while now < NOW + 2 * 3600:
        for one in house.gateways:
            one.refresh(now)
        if now - NOW >= 3000:
            house.gateways[1].renew(wanted)
        if now >= fetched + max_age:
            cached, fetched = {key["kid"] for key in house.gateways[0].ring.jwks()["keys"]}, now
        alive += [(now, house.token(by, now)) for by in (0, 1)]
        alive = [(born, token) for born, token in alive if now < born + TTL]
        for _, token in alive:
            assert house.accepted(token, now) == [True, True]
        signer = house.gateways[0].ring.signing()
        assert signer.kid in cached
        if signer.alg not in signed_with[-1:]:
            signed_with.append(signer.alg)
        now += 60
    assert signed_with == [ALG, "EdDSA"]
    assert [(key.alg, key.state) for key in house.gateways[1].ring.keys] == [("EdDSA", "current")]


def test_a_published_key_of_the_other_algorithm_takes_over_from_a_compromised_one(tmp_path: Path) -> None:
    store = Keystore(tmp_path, ALG, NOW, schedule=replace(SCHEDULE, alg="EdDSA"))
    store.refresh(NOW)
    waiting = store.ring.keys[1].kid
    expel(tmp_path, store.ring.signing().kid, NOW + 600)
    store.refresh(NOW + 600)
    assert [(key.kid, key.alg, key.state) for key in store.ring.keys] == [(waiting, "EdDSA", "current")]


def test_who_thinks_better_of_another_algorithm_goes_on_with_the_old_one(tmp_path: Path) -> None:
    store = Keystore(tmp_path, ALG, NOW, schedule=replace(SCHEDULE, alg="EdDSA"))
    store.refresh(NOW)
    store.renew(SCHEDULE)
    for now in (NOW + 1, NOW + 7200, TURN - 3600, TURN - 60):
        store.refresh(now)
        assert store.ring.signing().alg == ALG
    store.refresh(TURN)
    assert [(key.alg, key.state) for key in store.ring.keys if key.state != "retired"] == [(ALG, "current")]


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(1, 20 * DAY), st.sampled_from([ALG, ALG, ALG, "EdDSA"])), max_size=25))
def test_whatever_the_pace_a_key_is_published_before_it_signs_and_kept_until_its_tokens_are_dead(
    steps: list[tuple[int, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Keystore(tmp_path_factory.mktemp("keys"), ALG, NOW, schedule=SCHEDULE)
    now, first_seen, signed_last = NOW, {store.ring.signing().kid: 0}, {store.ring.signing().kid: NOW}
    for seconds, alg in steps:
        now += seconds
        store.renew(replace(SCHEDULE, alg=alg))
        store.refresh(now)
        signer = store.ring.signing().kid
        assert now >= first_seen.get(signer, now + 1) + (SCHEDULE.publish_ahead if first_seen.get(signer) else 0)
        present = {key.kid for key in store.ring.keys}
        for kid, when in signed_last.items():
            assert kid in present or now >= when + TTL + LEEWAY
        signed_last[signer] = now
        for kid in present:
            first_seen.setdefault(kid, now)


def test_a_refresh_without_news_changes_nothing(tmp_path: Path) -> None:
    store = Keystore(tmp_path, ALG, NOW, schedule=SCHEDULE)
    generation = store.ring.generation
    assert not store.refresh(NOW + 5)
    assert store.ring.generation == generation


@pytest.mark.parametrize(
    ("change", "states"),
    [
        (lambda d, k: stage(d, ALG, NOW), ["current", "next"]),
        (lambda d, k: promote(d, stage(d, ALG, NOW), NOW), ["current", "retired"]),
        (lambda d, k: withdraw(d, stage(d, ALG, NOW), NOW), ["current", "retired"]),
        (lambda d, k: expel(d, k, NOW), ["current"]),
    ],
    ids=["staged", "promoted", "withdrawn", "expelled"],
)
def test_what_a_command_changes_is_taken_up(
    change: Callable[[Path, str], object], states: list[str], tmp_path: Path
) -> None:
    store = Keystore(tmp_path, ALG, NOW, schedule=SCHEDULE)
    generation = store.ring.generation
    change(tmp_path, store.ring.signing().kid)
    assert store.refresh(NOW + 1)
    assert store.ring.generation != generation
    assert [key.state for key in store.ring.keys] == states
    assert not store.refresh(NOW + 1)


def test_a_compromised_key_is_gone_at_once_also_for_tokens_that_were_verified_already(tmp_path: Path) -> None:
    house = House(tmp_path)
    token = house.token(0, NOW)
    assert house.accepted(token, NOW) == [True, True]
    expel(tmp_path, house.gateways[0].ring.signing().kid, NOW)
    for one in house.gateways:
        assert one.refresh(NOW + 1)
    assert [cache.check(token, NOW + 1) for cache in house.caches] == [Invalid("token_invalid", "kid")] * 2
    assert house.accepted(house.token(1, NOW + 1), NOW + 1) == [True, True]


def test_a_published_key_takes_over_from_a_compromised_one(tmp_path: Path) -> None:
    store = Keystore(tmp_path, ALG, NOW)
    waiting = stage(tmp_path, ALG, NOW)
    expel(tmp_path, store.ring.signing().kid, NOW)
    store.refresh(NOW)
    assert store.ring.signing().kid == waiting


def test_a_broken_file_leaves_the_keys_in_force_and_is_said_once(tmp_path: Path) -> None:
    store = Keystore(tmp_path, ALG, NOW, schedule=SCHEDULE)
    token = issued(store.ring)
    (tmp_path / keystore.FILE).write_bytes(b"{")
    with pytest.raises(ConfigError, match="damaged"):
        store.refresh(NOW + 1)
    assert not store.refresh(NOW + 2)
    assert isinstance(verifier(store.ring).verify(token, NOW), Identity)


def test_a_file_that_is_gone_leaves_the_keys_in_force_and_is_not_made_anew(tmp_path: Path) -> None:
    store = Keystore(tmp_path, ALG, NOW, schedule=SCHEDULE)
    (tmp_path / keystore.FILE).unlink()
    with pytest.raises(ConfigError, match="is gone"):
        store.refresh(NOW + 1)
    assert not store.refresh(NOW + 2)
    assert len(store.ring.keys) == 1
    assert not (tmp_path / keystore.FILE).exists()


def test_an_unsound_set_in_the_file_leaves_the_keys_in_force(tmp_path: Path) -> None:
    store = Keystore(tmp_path, ALG, NOW)
    path = tmp_path / keystore.FILE
    entries = json.loads(path.read_bytes())
    entries["keys"][0]["state"] = "retired"
    path.write_text(json.dumps(entries))
    with pytest.raises(ConfigError, match="no key has state current"):
        store.refresh(NOW + 1)
    assert store.ring.signing().state == "current"


def test_a_step_that_cannot_be_written_is_tried_again_a_minute_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Keystore(tmp_path, ALG, NOW, schedule=SCHEDULE)
    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", _full)
        with pytest.raises(ConfigError, match="cannot be written"):
            store.refresh(TURN)
        assert not store.refresh(TURN + 1)
    assert store.refresh(TURN + 61)
    assert [key.state for key in store.ring.keys] == ["current", "next"]


def _full(self: Path, target: Path) -> None:
    raise OSError(28, "No space left on device")


def test_sealed_keys_can_only_be_used_with_the_secret(tmp_path: Path) -> None:
    first = Keystore(tmp_path, ALG, NOW, seal=Seal(SECRET))
    text = (tmp_path / keystore.FILE).read_text()
    assert "PRIVATE" not in text
    assert Keystore(tmp_path, ALG, NOW, seal=Seal(SECRET)).ring.signing().kid == first.ring.signing().kid
    with pytest.raises(ConfigError, match="sealed with another secret"):
        Keystore(tmp_path, ALG, NOW, seal=Seal(b"t" * 32))
    with pytest.raises(ConfigError, match=r"set tokens\.keys\.seal"):
        Keystore(tmp_path, ALG, NOW)
    assert (tmp_path / keystore.FILE).read_text() == text


def test_keys_that_lie_open_are_sealed_when_a_seal_is_set(tmp_path: Path) -> None:
    kid = Keystore(tmp_path, ALG, NOW).ring.signing().kid
    assert Keystore(tmp_path, ALG, NOW, seal=Seal(SECRET)).ring.signing().kid == kid
    assert "PRIVATE" not in (tmp_path / keystore.FILE).read_text()


def test_a_sealed_key_cannot_be_passed_off_as_another(tmp_path: Path) -> None:
    seal = Seal(SECRET)
    Keystore(tmp_path, ALG, NOW, seal=seal)
    stage(tmp_path, ALG, NOW, seal)
    path = tmp_path / keystore.FILE
    entries = json.loads(path.read_bytes())
    one, two = entries["keys"]
    one["key"], two["key"] = two["key"], one["key"]
    path.write_text(json.dumps(entries))
    with pytest.raises(ConfigError, match="sealed with another secret"):
        Keystore(tmp_path, ALG, NOW, seal=seal)


@pytest.mark.parametrize(
    "work", [lambda d: forget(d, "x"), lambda d: withdraw(d, "x", NOW), lambda d: expel(d, "x", NOW)]
)
def test_a_key_that_is_not_there_is_said_to_be_missing(work: Callable[[Path], None], tmp_path: Path) -> None:
    Keystore(tmp_path, ALG, NOW)
    with pytest.raises(ConfigError, match="there is no key 'x'"):
        work(tmp_path)
    assert len(kept_in(tmp_path)) == 1
