"""identity.md section 4 B, items 31 to 43, 45 to 51 and 55, and what safety.md E adds to them."""

import pytest

from gateway.errors import ConfigError
from gateway.tokens import claims as reading
from gateway.tokens import refresh
from gateway.tokens.keys import load_key
from gateway.tokens.secrets import Secrets
from gateway.tokens.verify import REASONS, Identity, Invalid

from .forge import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    LEEWAY,
    NOW,
    TTL,
    claims,
    header,
    issued,
    judged,
    key_for,
    ring_for,
    ring_of,
    signed,
    text,
    verifier,
    why,
)

KEY = "EdDSA"
MASTER = bytes(range(7, 71))


def outcome(**changes: object) -> str:
    """Judge a good token with *changes* in its claims; "accepted", or the reason."""
    return why(signed(key_for(KEY), body=claims(**changes)))


def raw(member: str) -> str:
    """Judge a good token with *member*, given as JSON text, in place of the claim of that name."""
    name = member.partition(":")[0].strip('"')
    body = text(claims(**{name: ABSENT}))[:-1] + b"," + member.encode() + b"}"
    return why(signed(key_for(KEY), body=body))


def identity(**changes: object) -> Identity:
    found = judged(signed(key_for(KEY), body=claims(**changes)))
    assert isinstance(found, Identity)
    return found


def test_a_good_token_says_who_it_is() -> None:
    found = identity(
        roles=["user", "admin"],
        permissions=["read:all"],
        scope="openid email",
        tenant="acme",
        nbf=NOW - 1,
        department="sales",
    )
    assert found == Identity(
        subject="alice",
        session="session-1",
        token_id="token-1",
        issuer=ISSUER,
        client="gateway",
        audience=frozenset({AUDIENCE}),
        roles=frozenset({"user", "admin"}),
        permissions=frozenset({"read:all"}),
        scopes=frozenset({"openid", "email"}),
        tenant="acme",
        expires=NOW - 1 + TTL,
        not_before=NOW - 1,
        issued_ms=(NOW - 1) * 1000 + 250,
        auth_time=NOW - 1,
        key=key_for(KEY).kid,
        claims=found.claims,
    )
    assert found.claims["department"] == "sales"
    with pytest.raises(TypeError):
        found.claims["sub"] = "root"  # type: ignore[index]


# ---- 31 and 32: kinds of tokens -------------------------------------------------------------------------------------


@pytest.mark.item("E10", 31)
@pytest.mark.parametrize(
    ("typ", "changes"),
    [
        pytest.param("JWT", {"nonce": "n"}, id="ID token"),
        pytest.param("logout+jwt", {"events": {}}, id="logout token"),
        pytest.param("dpop+jwt", {"htm": "GET"}, id="DPoP proof"),
        pytest.param("statuslist+jwt", {"status_list": {}}, id="status list"),
        pytest.param("rt+jwt", {}, id="refresh token that is a JWT"),
    ],
)
def test_another_kind_of_token_is_no_access_token(typ: str, changes: dict[str, object]) -> None:
    key = key_for(KEY)
    assert why(signed(key, header(key, typ=typ), claims(**changes))) == "typ"


@pytest.mark.item(31)
def test_a_refresh_token_is_no_access_token() -> None:
    minted = refresh.mint(Secrets(MASTER), refresh.RefreshToken(b"t" * 12, b"s" * 16, b"f" * 16, 0))
    assert why(minted.encode()) == "malformed"


@pytest.mark.item(32)
def test_an_access_token_is_no_refresh_token() -> None:
    assert refresh.parse(Secrets(MASTER), issued(ring_for(KEY)).decode()) is None


# ---- 33 to 42: time -------------------------------------------------------------------------------------------------


@pytest.mark.item("E11", 33, 48)
@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "client_id", "iat", "exp", "jti", "sid"])
def test_a_claim_that_must_be_there_is_missed(claim: str) -> None:
    assert outcome(**{claim: ABSENT}) in {"claims", "issuer", "audience"}


NO_TIMES = [
    "9999999999", " 99_999 ", "٩٩٩٩٩٩٩٩٩٩", "", "never", True, False, None, [], [NOW + 60], {}, {"exp": NOW + 60},
    10**400, 10**30, 253402300800, 1e18, -1, -0.5, -(10**30),
]  # fmt: skip


@pytest.mark.item("E12", 34, 35, 37)
@pytest.mark.parametrize("value", NO_TIMES, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf", "auth_time"])
def test_a_time_that_is_no_sensible_number_is_refused(claim: str, value: object) -> None:
    assert outcome(**{claim: value}) == "claims"


@pytest.mark.item("E12", 36)
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 5000])
@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
def test_a_number_that_is_not_finite_is_refused(claim: str, number: str) -> None:
    assert raw(f'"{claim}":{number}') == "malformed"


@pytest.mark.item(38)
def test_a_fraction_never_rounds_a_lifetime_up() -> None:
    key = key_for(KEY)
    token = signed(key, body=claims(exp=NOW + 1.9))
    judge = verifier(ring_of(key), leeway=0)
    assert isinstance(judge.verify(token, NOW + 0.99), Identity)
    assert judge.verify(token, NOW + 1) == Invalid("token_expired", "expired")
    found = identity(exp=NOW + 1.9, nbf=NOW - 1.5, iat=NOW - 2.5, iat_ms=(NOW - 3) * 1000 + 500)
    assert (found.expires, found.not_before) == (NOW + 1, NOW - 1)


@pytest.mark.item(39)
def test_a_token_that_lives_longer_than_any_we_issue_is_refused() -> None:
    assert outcome(iat=NOW, iat_ms=NOW * 1000, exp=NOW + TTL + LEEWAY) == "accepted"
    assert outcome(iat=NOW, iat_ms=NOW * 1000, exp=NOW + TTL + LEEWAY + 1) == "lifetime"
    assert outcome(exp=253402300799) == "lifetime"


def test_a_token_that_expires_before_it_was_issued_is_refused() -> None:
    assert outcome(iat=NOW + 3, iat_ms=(NOW + 3) * 1000, exp=NOW + 2) == "lifetime"
    assert outcome(iat=NOW + 3, iat_ms=(NOW + 3) * 1000, exp=NOW + 3) == "lifetime"


@pytest.mark.item(40)
@pytest.mark.parametrize("leeway", [0, 5, 60])
@pytest.mark.parametrize(
    ("offset", "good"),
    [(-1, True), (-0.001, True), (0, False), (0.001, False), (1, False)],
    ids=["exp-1", "just before", "exp", "just after", "exp+1"],
)
def test_a_token_ends_at_exp_plus_the_leeway_once(leeway: float, offset: float, good: bool) -> None:
    key = key_for(KEY)
    expires = NOW - 1 + TTL
    found = verifier(ring_of(key), leeway=leeway).verify(signed(key), expires + leeway + offset)
    assert isinstance(found, Identity) if good else found == Invalid("token_expired", "expired")


@pytest.mark.item("E19", 40)
@pytest.mark.parametrize("leeway", [-1, 60.5, 61, 3600, float("inf"), float("nan")])
def test_a_leeway_of_more_than_a_minute_refuses_the_start(leeway: float) -> None:
    with pytest.raises(ConfigError, match="leeway"):
        verifier(ring_for(KEY), leeway=leeway)


@pytest.mark.item(41)
def test_a_token_that_is_not_yet_valid_is_refused() -> None:
    assert outcome(nbf=NOW + LEEWAY) == "accepted"
    assert outcome(nbf=NOW + LEEWAY + 1) == "not_yet_valid"
    assert outcome(nbf=NOW + LEEWAY + 0.5) == "not_yet_valid"


@pytest.mark.item(42)
def test_a_token_from_the_future_is_refused() -> None:
    late = NOW + LEEWAY
    assert outcome(iat=late, iat_ms=late * 1000, exp=late + 10) == "accepted"
    late += 1
    assert outcome(iat=late, iat_ms=late * 1000, exp=late + 10) == "not_yet_valid"


@pytest.mark.parametrize("hour", [-3600, 3600])
def test_a_jump_of_the_clock_never_revives_an_expired_token_nor_hides_a_good_one(hour: int) -> None:
    key = key_for(KEY)
    judge = verifier(ring_of(key))
    token = signed(key)
    assert isinstance(judge.verify(token, NOW + hour), Invalid)
    assert isinstance(judge.verify(token, NOW), Identity)


# ---- 43, 45, 46: whose, and for whom --------------------------------------------------------------------------------


@pytest.mark.item(43)
@pytest.mark.parametrize(
    "aud", [AUDIENCE, [AUDIENCE], ["https://other.example", AUDIENCE], [AUDIENCE, AUDIENCE]], ids=repr
)
def test_an_audience_that_is_ours_is_accepted(aud: object) -> None:
    assert outcome(aud=aud) == "accepted"


@pytest.mark.item(43)
@pytest.mark.parametrize(
    "aud",
    [
        "https://other.example", ["https://other.example"], "", [], [""], 7, {}, {AUDIENCE: 1}, None, True,
        [[AUDIENCE]], [AUDIENCE, 7], [AUDIENCE, None], [AUDIENCE, ""], f"{AUDIENCE}/", AUDIENCE[:-1], AUDIENCE.upper(),
        f" {AUDIENCE}",
        f"{AUDIENCE} https://other.example", f"{AUDIENCE},https://other.example", f"{AUDIENCE}\x00",
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_an_audience_that_is_not_exactly_ours_is_refused(aud: object) -> None:
    assert outcome(aud=aud) == "audience"


@pytest.mark.item(43)
def test_a_verifier_without_an_audience_refuses_the_start() -> None:
    for audience in ((), ("",)):
        with pytest.raises(ConfigError, match="audience"):
            verifier(ring_for(KEY), audience=audience)


def test_a_token_for_one_audience_is_refused_at_another() -> None:
    key = key_for(KEY)
    token = signed(key, body=claims(aud="https://a.example"))
    assert isinstance(verifier(ring_of(key), audience=("https://a.example",)).verify(token, NOW), Identity)
    assert isinstance(verifier(ring_of(key), audience=("https://b.example",)).verify(token, NOW), Invalid)


@pytest.mark.item("E11", 45)
@pytest.mark.parametrize(
    "iss",
    [
        f"{ISSUER}/", ISSUER[:-1], f"{ISSUER}.evil.example", ISSUER.upper(), f" {ISSUER}", "http://gateway.example", "",
        None, 7, True, [ISSUER], {ISSUER: 1},
    ],
    ids=repr,
)  # fmt: skip
def test_the_issuer_is_compared_exactly(iss: object) -> None:
    assert outcome(iss=iss) == "issuer"


@pytest.mark.item(46)
def test_the_same_kid_at_two_issuers_does_not_cross() -> None:
    ours, theirs = key_for("HS256"), key_for("HS256", 1)
    ours, theirs = (load_key(key.serialised(), "HS256", "shared") for key in (ours, theirs))  # type: ignore[assignment]
    foreign = "https://other.example"
    assert why(signed(theirs), ours) == "signature"
    assert why(signed(theirs, body=claims(iss=foreign)), ours) == "signature"
    assert why(signed(ours, body=claims(iss=foreign)), ours) == "issuer"
    assert isinstance(verifier(ring_of(theirs), issuer=foreign).verify(signed(ours), NOW), Invalid)


# ---- 47 to 51: names ------------------------------------------------------------------------------------------------

NO_TEXTS = [
    "", None, True, 7, 1.5, [], ["alice"], {}, {"sub": "alice"}, "x" * 256, "a\r\nX-Admin: 1", "a\nb", "a\rb", "a\tb",
    "a\x00b", "\x00", "a\x1bb", "a\x7fb", "a\x80b", "a\x9bb", "a\u2028b", "a\u2029b", "a\u202eb", "a\u2066b", "\ufeffa",
    " alice", "alice ", "\xa0alice", " ",
]  # fmt: skip


@pytest.mark.item(47)
@pytest.mark.parametrize("value", NO_TEXTS, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize("claim", ["sub", "sid", "jti", "client_id", "tenant"])
def test_an_identifier_that_is_no_plain_text_is_refused(claim: str, value: object) -> None:
    assert outcome(**{claim: value}) == "claims"


@pytest.mark.item(47)
@pytest.mark.parametrize("escape", ["\\ud800", "\\udfff", "a\\udc00\\ud800", "\\uD83D"])
@pytest.mark.parametrize("claim", ["sub", "sid", "jti", "tenant"])
def test_an_unpaired_surrogate_is_refused(claim: str, escape: str) -> None:
    assert raw(f'"{claim}":"{escape}"') == "malformed"


@pytest.mark.parametrize(
    "sub",
    [
        "a",
        "x" * 255,
        "alice@example.org",
        "Zoë Ångström",
        "山田太郎",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "😀",
        "auth0|5f7c",
        "a,b",
    ],
)
def test_people_may_have_any_name(sub: str) -> None:
    assert identity(sub=sub).subject == sub


@pytest.mark.item(49)
@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        pytest.param(["user", "admin"], {"user", "admin"}, id="list"),
        pytest.param("admin-readonly", {"admin-readonly"}, id="text is one role"),
        pytest.param("user admin", {"user admin"}, id="text is not split"),
        pytest.param([], set(), id="empty list"),
        pytest.param(ABSENT, set(), id="missing"),
        pytest.param(["a", "a"], {"a"}, id="twice"),
    ],
)
def test_roles_are_read_as_they_are_written(roles: object, expected: set[str]) -> None:
    assert identity(roles=roles).roles == expected
    assert identity(permissions=roles).permissions == expected


@pytest.mark.item(49)
@pytest.mark.parametrize(
    "roles",
    [
        7, True, None, {}, {"admin": True}, "", [""], [7], [None], [["admin"]], [{"name": "admin"}], ["user", 7],
        "user,admin", ["user,admin"], ["user", "a\r\nb"], [" admin"], ["x" * 256], ["a\x00"],
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
@pytest.mark.parametrize("claim", ["roles", "permissions"])
def test_roles_that_are_no_names_are_refused(claim: str, roles: object) -> None:
    assert outcome(**{claim: roles}) == "claims"


@pytest.mark.item(50)
def test_role_names_are_compared_exactly() -> None:
    found = identity(roles=["Admin", "admin-readonly", "\uff41dmin", "\u0430dmin", "admin\u200d"]).roles
    assert "admin" not in found
    assert len(found) == 5


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("a b", {"a", "b"}), ("a", {"a"}), ("", set()), (ABSENT, set()), ("a:b,c d", {"a:b,c", "d"})],
    ids=repr,
)
def test_scopes_are_separated_by_single_spaces(scope: object, expected: set[str]) -> None:
    assert identity(scope=scope).scopes == expected


@pytest.mark.parametrize(
    "scope", [" a", "a ", "a  b", "a\tb", 'a"b', "a\\b", "é", "a\nb", ["a"], 7, None, True, {}], ids=repr
)
def test_a_scope_that_breaks_its_grammar_is_refused(scope: object) -> None:
    assert outcome(scope=scope) == "claims"


@pytest.mark.item(51)
def test_a_claim_path_leads_through_objects_only() -> None:
    found = {
        "realm_access": {"roles": ["a"]},
        "list": [{"roles": ["b"]}],
        "text": "roles",
        "https://x.example/roles": ["c"],
        "a.b": 1,
        "a": {"b": 2},
    }
    assert reading.at(found, "realm_access.roles") == ["a"]
    assert reading.at(found, "https://x.example/roles") == ["c"]
    assert reading.at(found, "a.b") == 1
    for path in ("list.roles", "list.0.roles", "text.roles", "realm_access.roles.0", "realm_access.nothing", "", "."):
        assert reading.at(found, path) is None


# ---- 55, and what else would change who is speaking -----------------------------------------------------------------


@pytest.mark.item(55)
@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, None, "x"], ids=repr)
def test_a_bound_token_is_never_taken_for_a_bearer_token(cnf: object) -> None:
    assert outcome(cnf=cnf) == "bound"


@pytest.mark.item(54)
@pytest.mark.parametrize("act", [{"sub": "admin"}, {}, None], ids=repr)
def test_a_token_of_someone_acting_for_someone_else_is_refused(act: object) -> None:
    assert outcome(act=act) == "delegated"


@pytest.mark.parametrize("stamp", [NOW * 1000 + 10**9, NOW * 1000, 0, -1, 1.5, True, None, "1", [], 10**400], ids=repr)
def test_a_stamp_that_does_not_fit_iat_cannot_hide_from_a_revocation(stamp: object) -> None:
    assert outcome(iat_ms=stamp) == "claims"


def test_without_a_stamp_the_start_of_the_second_counts() -> None:
    assert identity(iat_ms=ABSENT).issued_ms == (NOW - 1) * 1000


def test_a_token_without_auth_time_counts_as_an_old_login() -> None:
    assert identity(auth_time=ABSENT).auth_time == 0


def test_an_expired_token_may_still_end_its_session_but_a_forged_one_may_not() -> None:
    key = key_for(KEY)
    judge = verifier(ring_of(key))
    token = signed(key)
    later = NOW + 100 * TTL
    assert judge.verify(token, later) == Invalid("token_expired", "expired")
    assert isinstance(judge.verify(token, later, even_expired=True), Identity)
    forged = token[:-8] + b"AAAAAAAA"
    assert judge.verify(forged, later, even_expired=True) == Invalid("token_invalid", "signature")


def test_every_reason_is_from_the_fixed_vocabulary() -> None:
    key = key_for(KEY)
    tokens = [b"", b"A" * 9000, signed(key, header(key, kid="x")), signed(key, header(key, x=1))]
    tokens += [
        signed(key, body=claims(**change)) for change in ({"exp": 1}, {"iss": 1}, {"aud": 1}, {"cnf": 1}, {"sub": 1})
    ]
    for token in tokens:
        assert why(token) in REASONS
