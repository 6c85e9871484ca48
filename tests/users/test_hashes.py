"""Hashes of other programs: published examples, decoys of every kind, and costs that are never paid."""

import bcrypt
import pytest

from gateway.users.decoys import Decoys
from gateway.users.hashes import AnyCost, Bcrypt, Cost, Pbkdf2, Scrypt, cost_of
from gateway.users.passwords import Hasher
from tests.users.conftest import CHEAP

# From the documentation of passlib, the test vectors of OpenBSD's bcrypt (by way of jBCrypt), Django's tests, and
# Werkzeug; not made with the code under test.
PUBLISHED = [
    pytest.param(
        "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        "password",
        Scrypt(1 << 16, 8, 1),
        id="scrypt of passlib",
    ),
    pytest.param(
        "scrypt$16384$seasalt$8$5$ECMIUp+LMxMSK8xB/IVyba+KYGTI7FTnet025q/1f/vBAVnnP3hdYqJuRi+mJn6ji6ze3Fbb7JEFPKGpuEf5vw==",
        "lètmein",
        Scrypt(16384, 8, 5, 64),
        id="scrypt of Django",
    ),
    pytest.param(
        "$pbkdf2-sha256$6400$.6UI/S.nXIk8jcbdHx3Fhg$98jZicV16ODfEsEZeYPGHU3kbrUrvUEXOPimVSQDD44",
        "password",
        Pbkdf2("sha256", 6400),
        id="PBKDF2 of passlib",
    ),
    pytest.param(
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", Bcrypt(5), id="bcrypt of OpenBSD"
    ),
]


@pytest.mark.parametrize(("encoded", "password", "cost"), PUBLISHED)
def test_a_published_hash_is_read_and_matches_its_password_alone(encoded: str, password: str, cost: AnyCost) -> None:
    assert cost_of(encoded) == cost
    assert Hasher().verify(encoded, password)
    assert not Hasher().verify(encoded, password + "x")
    assert Hasher().outdated(encoded)


def test_djangos_argon2_is_ours_with_a_word_before_it() -> None:
    ours = Hasher(CHEAP).hash("secret")
    assert Hasher(CHEAP).verify("argon2" + ours, "secret")
    assert not Hasher(CHEAP).outdated("argon2" + ours)


def test_a_stronger_hash_is_not_replaced_by_a_weaker_one() -> None:
    assert not Hasher(CHEAP).outdated(Hasher(Cost(64, 2, 1)).hash("secret"))
    assert Hasher(Cost(64, 2, 1)).outdated(Hasher(CHEAP).hash("secret"))


COSTS = [CHEAP, Bcrypt(4), Scrypt(16, 1, 1), Scrypt(16, 1, 1, 64), Pbkdf2("sha1", 2, 20), Pbkdf2("sha512", 2, 64)]


@pytest.mark.item(116)
@pytest.mark.parametrize("cost", COSTS, ids=repr)
def test_a_decoy_is_a_hash_of_that_cost_which_no_password_matches(cost: AnyCost) -> None:
    decoy = cost.decoy()
    assert cost_of(decoy) == cost
    assert not Hasher().verify(decoy, "")
    assert not Hasher().verify(decoy, "password")
    assert decoy != cost.decoy()


@pytest.mark.item(116)
def test_names_nobody_has_are_checked_in_the_proportion_of_the_real_hashes() -> None:
    stored = [Bcrypt(4).decoy()] * 3 + [CHEAP.decoy()]
    decoys = Decoys(b"k" * 32, CHEAP, stored)
    drawn = [cost_of(decoys.of(f"name{i}")) for i in range(1000)]
    assert 680 < drawn.count(Bcrypt(4)) < 820
    assert drawn == [cost_of(decoys.of(f"name{i}")) for i in range(1000)], "a name always gets the same"
    assert cost_of(Decoys(b"k" * 32, CHEAP).of("anybody")) == CHEAP, "and the current cost where there is no other"


@pytest.mark.item(116)
def test_nobody_moves_the_decoys_by_logging_in_again_and_again_or_by_changing_their_password() -> None:
    """What moves is nobody's: a person counts once, by the hash they have now."""
    decoys = Decoys(b"k" * 32, CHEAP)
    for person in ("ann", "ben", "me"):
        decoys.saw(person, Bcrypt(4).decoy())
    decoys.saw("me", CHEAP.decoy())
    drawn = [decoys.of(f"name{i}") for i in range(1000)]
    assert 580 < [cost_of(one) for one in drawn].count(Bcrypt(4)) < 750
    for _ in range(400):
        decoys.saw("me", CHEAP.decoy())
    assert [decoys.of(f"name{i}") for i in range(1000)] == drawn
    for person in ("ann", "ben"):
        decoys.saw(person, CHEAP.decoy())  # renewed by their logins
    assert {cost_of(decoys.of(f"name{i}")) for i in range(1000)} == {CHEAP}


@pytest.mark.item(116)
def test_so_many_people_are_a_sample_of_all() -> None:
    decoys = Decoys(b"k" * 32, CHEAP)
    for person in range(10_000):
        decoys.saw(f"u-{person}", CHEAP.decoy())
    for person in range(10_000, 20_000):
        decoys.saw(f"u-{person}", Bcrypt(4).decoy())
    assert {cost_of(decoys.of(f"name{i}")) for i in range(1000)} == {CHEAP}


@pytest.mark.item(119)
@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param("$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43, id="argon2 with 4 GiB"),
        pytest.param("$2b$31$" + "." * 53, id="bcrypt 31"),
        pytest.param(f"scrypt:{1 << 30}:8:1$salt$" + "0" * 64, id="scrypt with N=2**30"),
        pytest.param("scrypt:1000:8:1$salt$" + "0" * 64, id="scrypt with N no power of two"),
        pytest.param("scrypt:16384:8:9999999999$salt$" + "0" * 64, id="scrypt with endless lanes"),
        pytest.param("pbkdf2:sha256:4000000000$salt$" + "0" * 64, id="PBKDF2 with 4e9 rounds"),
        pytest.param("pbkdf2:sha1:4000000$salt$" + "0" * 256, id="PBKDF2 with many blocks"),
    ],
)
def test_an_absurd_cost_is_never_paid(encoded: str) -> None:
    cost = cost_of(encoded)
    assert cost is not None
    assert cost.absurd
    assert not Hasher().verify(encoded, "password")  # at once, or this test would not end


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "password",
        "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "$apr1$qHDFfhPC$nITSVHgYbDAK1Y0acGRnY0",
        "$1$3azHgidD$SrJPt7B.9rekpmwJwtON31",
        "rqXexS6ZhobKA",
        "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$" + "A" * 43,
        "$pbkdf2-md5$1$c2FsdA$" + "A" * 43,
        "$pbkdf2-sha256$1000$!!!!$" + "A" * 43,
        "$pbkdf2-sha256$1000$c2FsdA$AA",
        "pbkdf2:sha256:0$salt$" + "0" * 64,
    ],
)
def test_what_is_no_good_hash_matches_nothing(encoded: str) -> None:
    assert cost_of(encoded) is None
    assert not Hasher().verify(encoded, "password")


@pytest.mark.item(121)
def test_bcrypt_neither_cuts_passwords_short_nor_ends_at_a_nul_nor_fails() -> None:
    long = "x" * 72
    stored = bcrypt.hashpw(long.encode(), bcrypt.gensalt(4)).decode()
    assert Hasher().verify(stored, long)
    assert not Hasher().verify(stored, long + "y")
    nul = bcrypt.hashpw(b"a b", bcrypt.gensalt(4)).decode()
    assert Hasher().verify(nul, "a b")
    assert not Hasher().verify(nul, "a\0b")


@pytest.mark.item(121)
def test_a_bcrypt_salt_that_is_none_is_no_match_and_no_crash() -> None:
    assert not Hasher().verify("$2b$04$" + "z" * 53, "password")
