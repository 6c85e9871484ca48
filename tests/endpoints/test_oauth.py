"""OAuth for programs: the token endpoint, client authentication in every way, and introspection."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from gateway.errors import StoreUnavailable
from gateway.tokens.clients import Client, digest
from gateway.tokens.jwks import ForeignKey, ForeignKeys
from gateway.tokens.signing import SigningKey, generate_key
from gateway.users.passwords import Hasher
from tests.endpoints.house import CHEAP, ISSUER, ORIGIN, House, build

SECRET = "f3a1c5e7b9d20846f3a1c5e7b9d20846"
TOKEN = "/auth/token"


@pytest.fixture(scope="module")
def robot_key() -> SigningKey:
    return generate_key("ES256")


@pytest.fixture
async def house(key: SigningKey, robot_key: SigningKey) -> AsyncIterator[House]:
    clients = [
        Client(
            "reports", (digest("an older one"), digest(SECRET)), None, ("user",), ("docs:read",), ("a", "b"), "acme"
        ),
        Client("thought", (Hasher(CHEAP).hash("correct horse"),)),
        Client("robot", keys=ForeignKeys([ForeignKey("k1", robot_key)])),
    ]
    house = await build(key, {client.name: client for client in clients})
    yield house
    await house.client.close()
    house.users._pool.close()  # type: ignore[attr-defined]


def basic(name: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()}


async def ask(house: House, path: str = TOKEN, headers: Any = None, **form: str) -> tuple[int, Any]:
    answer = await house.client.post(path, data=form, headers=headers)
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status, await answer.json()


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


# --- client_credentials ---


@pytest.mark.item(53)
async def test_a_client_gets_a_token_for_itself_and_no_refresh_token(house: House) -> None:
    status, got = await ask(house, headers=basic("reports", SECRET), grant_type="client_credentials")
    assert (status, got["token_type"], got["scope"], got["expires_in"]) == (200, "Bearer", "a b", 600)
    assert "refresh_token" not in got
    claims = claims_of(got["access_token"])
    assert (claims["sub"], claims["client_id"]) == ("client:reports", "reports")
    assert (claims["roles"], claims["permissions"], claims["tenant"]) == (["user"], ["docs:read"], "acme")
    assert claims.keys().isdisjoint({"sid", "auth_time", "amr"})


async def test_its_token_is_one_that_the_gateway_takes_and_no_session(house: House) -> None:
    _, got = await ask(house, headers=basic("reports", SECRET), grant_type="client_credentials")
    answer = await house.client.get("/auth/session", headers={"Authorization": f"Bearer {got['access_token']}"})
    assert answer.status == 200
    assert (await answer.json())["sub"] == "client:reports"


async def test_a_scope_can_be_asked_for_and_never_one_more(house: House) -> None:
    asked: Any = {"headers": basic("reports", SECRET), "grant_type": "client_credentials"}
    assert (await ask(house, scope="b", **asked))[1]["scope"] == "b"
    for scope in ("a c", "docs", 'a"'):
        status, got = await ask(house, scope=scope, **asked)
        assert (status, got["error"]) == (400, "invalid_scope")


async def test_the_public_client_cannot_speak_for_itself(house: House) -> None:
    status, got = await ask(house, grant_type="client_credentials", client_id="gateway")
    assert (status, got["error"]) == (400, "unauthorized_client")


@pytest.mark.parametrize("grant", ["password", "authorization_code", "urn:ietf:params:oauth:grant-type:jwt-bearer"])
async def test_there_is_no_other_grant_and_none_with_a_password(house: House, grant: str) -> None:
    status, got = await ask(house, headers=basic("reports", SECRET), grant_type=grant, username="a", password="b")
    assert (status, got["error"]) == (400, "unsupported_grant_type")


async def test_without_the_store_there_is_503_and_never_401(house: House) -> None:
    house.programs.fails = StoreUnavailable("down")
    status, got = await ask(house, headers=basic("reports", SECRET), grant_type="client_credentials")
    assert (status, got["error"]) == (503, "temporarily_unavailable")


# --- who asks ---


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        pytest.param(basic("reports", SECRET), {}, id="basic"),
        pytest.param(basic("reports", "an older one".replace(" ", "+")), {}, id="basic, another secret, form-encoded"),
        pytest.param(basic("reports", SECRET), {"client_id": "reports"}, id="basic, named twice alike"),
        pytest.param({}, {"client_id": "reports", "client_secret": SECRET}, id="post"),
        pytest.param({}, {"client_id": "thought", "client_secret": "correct horse"}, id="argon2id"),
    ],
)
async def test_a_secret_proves_who_a_client_is(house: House, headers: dict[str, str], form: dict[str, str]) -> None:
    status, got = await ask(house, headers=headers, grant_type="client_credentials", **form)
    assert status == 200, got


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        pytest.param({}, {}, id="nobody"),
        pytest.param(basic("reports", "wrong"), {}, id="wrong"),
        pytest.param(basic("reports", ""), {}, id="empty"),
        pytest.param(basic("nobody", SECRET), {}, id="unknown"),
        pytest.param(basic("robot", ""), {}, id="has no secret"),
        pytest.param(basic("gateway", ""), {}, id="the public client, basic"),
        pytest.param({"Authorization": "Basic ????"}, {}, id="no base64"),
        pytest.param({"Authorization": "Bearer x"}, {}, id="a token"),
        pytest.param({}, {"client_id": "reports", "client_secret": "wrong"}, id="post, wrong"),
        pytest.param({}, {"client_id": "thought", "client_secret": "wrong horse"}, id="argon2id, wrong"),
        pytest.param({}, {"client_id": "reports"}, id="confidential without proof"),
        pytest.param({}, {"client_assertion": "x", "client_assertion_type": "y"}, id="another kind of assertion"),
    ],
)
async def test_what_proves_nothing_is_one_answer(house: House, headers: dict[str, str], form: dict[str, str]) -> None:
    answer = await house.client.post(TOKEN, data={"grant_type": "client_credentials", **form}, headers=headers)
    got = await answer.json()
    assert (answer.status, got["error"]) == (401, "invalid_client")
    assert got["error_description"] == "The client could not be authenticated."
    challenged = answer.headers.get("WWW-Authenticate")
    assert challenged == ('Basic realm="gateway"' if "Authorization" in headers else None)


@pytest.mark.parametrize(
    "form",
    [{"client_id": "reports", "client_secret": SECRET}, {"client_assertion": "x"}, {"client_id": "robot"}],
)
async def test_two_proofs_or_two_names_are_refused(house: House, form: dict[str, str]) -> None:
    status, got = await ask(house, headers=basic("reports", SECRET), grant_type="client_credentials", **form)
    assert (status, got["error"]) == (400, "invalid_request")


async def test_guesses_at_a_secret_somebody_thought_of_are_slowed_down(house: House) -> None:
    statuses = [
        (await ask(house, grant_type="client_credentials", client_id="thought", client_secret=f"guess {n}"))[0]
        for n in range(12)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429


# --- private_key_jwt ---


def assertion(key: SigningKey, house: House, typ: str | None = "JWT", **changes: Any) -> dict[str, str]:
    now = int(house.clock.wall())
    claims = {"iss": "robot", "sub": "robot", "aud": ISSUER, "jti": "one", "iat": now, "exp": now + 60, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    header = {"alg": key.alg, "kid": "k1", **({} if typ is None else {"typ": typ})}
    parts = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)
    )
    signature = base64.urlsafe_b64encode(key.sign(parts.encode())).rstrip(b"=").decode()
    return {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": f"{parts}.{signature}",
    }


@pytest.mark.parametrize(
    ("typ", "changes"),
    [
        ("JWT", {}),
        (None, {"iat": None}),
        ("client-authentication+jwt", {"aud": [ISSUER]}),
        ("JWT", {"aud": f"{ORIGIN}/auth/token"}),
    ],
)
async def test_a_signed_assertion_proves_who_a_client_is(
    house: House, robot_key: SigningKey, typ: str | None, changes: Any
) -> None:
    proof = assertion(robot_key, house, typ, **changes)
    status, got = await ask(house, grant_type="client_credentials", **proof)
    assert status == 200, got


async def test_an_assertion_counts_once(house: House, robot_key: SigningKey) -> None:
    proof = assertion(robot_key, house)
    assert (await ask(house, grant_type="client_credentials", **proof))[0] == 200
    status, got = await ask(house, grant_type="client_credentials", **proof)
    assert (status, got["error"], house.facts[-1].reason) == (401, "invalid_client", "assertion_replayed")
    assert (await ask(house, grant_type="client_credentials", **assertion(robot_key, house, jti="two")))[0] == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "reports"}, "assertion_client"),
        ({"aud": "https://elsewhere.example"}, "assertion_audience"),
        ({"aud": [ISSUER, "https://elsewhere.example"]}, "assertion_audience"),
        ({"aud": None}, "assertion_audience"),
        ({"exp": None}, "assertion_expired"),
        ({"exp": 1_799_999_900}, "assertion_expired"),
        ({"exp": 1_800_086_400}, "assertion_lifetime"),
        ({"iat": 1_800_000_300}, "assertion_not_yet_valid"),
        ({"nbf": 1_800_000_300}, "assertion_not_yet_valid"),
        ({"jti": None}, "assertion_jti"),
        ({"jti": ""}, "assertion_jti"),
        ({"sub": "nobody"}, "assertion_client"),
        ({"sub": "reports"}, "assertion_key"),
    ],
)
async def test_a_wrong_assertion_is_refused_and_not_used_up(
    house: House, robot_key: SigningKey, changes: Any, reason: str
) -> None:
    status, got = await ask(house, grant_type="client_credentials", **assertion(robot_key, house, **changes))
    assert (status, got["error"], house.facts[-1].reason) == (401, "invalid_client", reason)
    assert house.programs.spent == {}


async def test_an_access_token_and_another_key_are_no_assertion(
    house: House, robot_key: SigningKey, key: SigningKey
) -> None:
    for proof, reason in (
        (assertion(robot_key, house, "at+jwt"), "assertion_typ"),
        (assertion(key, house), "assertion_signature"),
        ({**assertion(robot_key, house), "client_assertion": "a.b.c"}, "assertion_client"),
    ):
        assert (await ask(house, grant_type="client_credentials", **proof))[0] == 401
        assert house.facts[-1].reason == reason


# --- refresh_token ---


async def test_a_session_is_refreshed_by_the_public_client(house: House) -> None:
    tokens = await house.login()
    status, got = await ask(
        house, grant_type="refresh_token", refresh_token=tokens["refresh_token"], client_id="gateway"
    )
    assert status == 200
    assert got["refresh_token"] != tokens["refresh_token"]
    assert got["session_id"] == tokens["session_id"]


@pytest.mark.item(81)
async def test_a_refresh_can_shrink_the_scope_and_never_grow_it(house: House) -> None:
    tokens = await house.login(scope="docs")
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], "client_id": "gateway"}
    status, got = await ask(house, scope="docs mail", **form)
    assert (status, got["error"]) == (400, "invalid_scope")
    assert (await ask(house, scope="docs", **form))[1]["scope"] == "docs"  # the token was not spent


@pytest.mark.item(82)
async def test_another_clients_refresh_token_is_refused_and_lives_on(house: House) -> None:
    tokens = await house.login()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    status, got = await ask(house, headers=basic("reports", SECRET), **form)
    assert (status, got["error"]) == (400, "invalid_grant")
    assert (await ask(house, client_id="gateway", **form))[0] == 200


async def test_a_dead_refresh_token_is_400_at_the_token_endpoint(house: House) -> None:
    status, got = await ask(house, grant_type="refresh_token", refresh_token="gwr_x", client_id="gateway")
    assert (status, got["error"], got["code"]) == (400, "invalid_grant", "invalid_grant")


# --- introspection ---


async def test_a_client_can_ask_what_a_token_is_good_for(house: House) -> None:
    tokens = await house.login()
    asked: Any = {"path": "/auth/introspect", "headers": basic("reports", SECRET)}
    status, got = await ask(house, token=tokens["access_token"], token_type_hint="access_token", **asked)
    assert status == 200
    assert (got["active"], got["sub"], got["client_id"], got["token_type"]) == (True, "alice", "gateway", "Bearer")
    assert (got["sid"], got["iss"], got["tenant"]) == (tokens["session_id"], ISSUER, "acme")


@pytest.mark.item(113)
async def test_of_a_token_that_is_not_active_nothing_is_said(house: House) -> None:
    tokens = await house.login()
    house.sessions.dead.add(tokens["session_id"])
    for token in (tokens["access_token"], tokens["refresh_token"], "x", "a.b.c", "é"):
        status, got = await ask(house, path="/auth/introspect", headers=basic("reports", SECRET), token=token)
        assert (status, got) == (200, {"active": False})


@pytest.mark.item(114)
async def test_only_a_client_that_proves_itself_may_introspect(house: House) -> None:
    for form in ({}, {"client_id": "gateway"}, {"client_id": "reports"}):
        status, got = await ask(house, path="/auth/introspect", token="x", **form)
        assert (status, got["error"]) == (401, "invalid_client")


async def test_while_revocations_are_incomplete_nobody_is_told_active_or_not(house: House) -> None:
    house.turned["cold"] = True
    status, _ = await ask(house, path="/auth/introspect", headers=basic("reports", SECRET), token="x")
    assert status == 503


# --- metadata ---


async def test_the_metadata_tells_of_every_way_that_some_client_can_use(house: House) -> None:
    got = await (await house.client.get("/.well-known/oauth-authorization-server")).json()
    every = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
    assert got["token_endpoint"] == f"{ORIGIN}/auth/token"
    assert got["token_endpoint_auth_methods_supported"] == every
    assert got["token_endpoint_auth_signing_alg_values_supported"] == ["ES256"]
    assert got["introspection_endpoint"] == f"{ORIGIN}/auth/introspect"
    assert got["introspection_endpoint_auth_methods_supported"] == every[1:]
    assert got["grant_types_supported"] == ["refresh_token", "client_credentials"]
    assert got["response_types_supported"] == []
