"""Why a request was refused is in the audit under its id, and in a header for those who look for faults."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.commands.deciding import Asked, Deciding
from gateway.config.load import load
from gateway.config.users import file_users
from tests.app.home import Home, home

TEXT = """\
login: {verify: {file: users.yaml}}
roles: {user: {}, admin: {includes: [user]}, tester: {includes: [user]}}
upstreams: {one: ONE}
telemetry: {access_log: "off", log_level: info, debug_role: tester}
routes:
  - {path: /open/**, to: one, auth: public}
  - path: /tenants/{tenant}/**
    to: one
    roles: [user]
    where: {path.tenant: claim.tenant}
  - {path: /admin/**, to: one, roles: [admin]}
  - {path: /new/**, to: one, shadow: {roles: [admin]}}
  - {path: /office, to: one, auth: public, allow_ips: [10.0.0.0/8]}
"""
USERS = """\
users:
  ana: {password: demo, demo: true, roles: [user], tenant: acme}
  tess: {password: demo, demo: true, roles: [tester], tenant: "über/eyJhbGciOiJub25lIn0.e30.x"}
"""
HEADER = "X-Gateway-Decision"


def refusals(said: str) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [event for event in events if event["msg"] == "refusal"]


async def asked(house: Home, path: str, name: str | None = None, **headers: str) -> httpx.Response:
    token = {} if name is None else await house.login(name)
    return await house.client.get(path, headers=token | headers)


async def test_a_refusal_is_in_the_audit_as_explain_has_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with home(tmp_path, TEXT, users=USERS) as house:
        answer = await asked(house, "/tenants/other/x?secret=1", "ana")
        (event,) = refusals(capfd.readouterr().err)
        config = load(tmp_path / "gateway.yaml", {})
        deciding = Deciding(config, file_users(config))
        said = deciding.decide(deciding.person("ana"), Asked("GET", "/tenants/other/x")).explanation.members()

    assert (answer.status_code, event["request_id"]) == (403, answer.headers["X-Request-Id"])
    assert event.items() >= said.items()
    assert (event["audit"], event["sub"], event["client_ip"]) == (True, "ana", "127.0.0.1")
    assert (event["method"], event["path"], event["status"]) == ("GET", "/tenants/other/x", 403)
    assert said["rules"] == [
        {"key": "auth", "met": True, "wanted": "a valid token", "got": "a valid token of ana"},
        {"key": "roles", "met": True, "wanted": "role admin or tester or user", "got": "user"}
        | {"place": "gateway.yaml:12"},
        {"key": "where", "met": False, "wanted": "path.tenant is claim.tenant", "got": "other and acme"}
        | {"place": "gateway.yaml:13", "code": "rule_failed"},
    ]


async def test_a_refusal_without_a_good_token_is_explained_as_far_as_it_was_looked_at(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with home(tmp_path, TEXT, users=USERS) as house:
        await asked(house, "/admin/x")
        await asked(house, "/admin/x", Authorization="Bearer eyJhbGciOiJub25lIn0.e30.")
        await asked(house, "/office", "ana")
        await asked(house, "/nowhere")
        await asked(house, "/tenants/gwr_0123456789abcdef/x")
        events = refusals(capfd.readouterr().err)

    assert [(event["code"], event["rules"][-1]["got"]) for event in events] == [
        ("token_missing", "no token"),
        ("token_invalid", "a token that does not count: malformed"),
        ("address_denied", "127.0.0.1"),
        ("token_missing", "no token"),
    ]
    assert (events[-1]["path"], events[-1]["route"]["parameters"]) == ("/tenants/***/x", {"tenant": "***"})
    assert not any("sub" in event for event in events)


async def test_who_is_refused_all_the_time_does_not_fill_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with home(tmp_path, TEXT, users=USERS) as house:
        token = await house.login("ana")
        for _ in range(60):
            assert (await house.client.get("/admin/x", headers=token)).status_code == 403
        told = len(refusals(capfd.readouterr().err))
        left_out = house.metric('gateway_audit_events_total{result="refusal_left_out"}')
        await asked(house, "/admin/x")
        assert len(refusals(capfd.readouterr().err)) == 1, "others have lines of their own"

    assert told + left_out == 60
    assert told >= 20
    assert left_out > 0


async def test_the_debug_role_is_told_what_was_decided(tmp_path: Path) -> None:
    async with home(tmp_path, TEXT, users=USERS) as house:
        refused = await asked(house, "/admin/x", "tess")
        passed = await asked(house, "/new/x", "tess")
        bound = await asked(house, "/tenants/other/x", "tess")

    assert refused.headers[HEADER] == (
        'refused; code=role_missing; rule=roles; at="gateway.yaml:14"; wanted="role admin"; got="tester"; '
        'route="/admin/**"; written="gateway.yaml:14"'
    )
    assert passed.headers[HEADER] == (
        'allowed; met="auth"; shadow=role_missing; route="/new/**"; written="gateway.yaml:15"'
    )
    assert 'got="other and \\\\xfcber/***"' in bound.headers[HEADER], "ASCII, and no token"


async def test_the_debug_role_is_told_also_where_headers_tell_routes_apart(tmp_path: Path) -> None:
    second = "  - {path: /new/**, to: one, roles: [user], headers: {X-V: '2'}}\n"
    async with home(tmp_path, TEXT + second, users=USERS) as house:
        usual, other = await asked(house, "/new/x", "tess"), await asked(house, "/new/x", "tess", **{"X-V": "2"})

    assert 'shadow=role_missing; route="/new/**"' in usual.headers[HEADER]
    assert 'route="/new/** (x-v: 2)"' in other.headers[HEADER]


LIMITED = TEXT.replace(
    "routes:",
    "limits:\n  per_ip: {by: address, rate: 1/h}\n  key: {by: header.x-key, rate: 1/h}\n"
    "  per_user: {by: claim.tenant, rate: 100/h, plans: {claim: roles, tester: 1/h, user: 1/h}}\nroutes:\n"
    "  - {path: /few, to: one, auth: public, limit: per_ip}\n  - {path: /keyed, to: one, auth: public, limit: key}\n"
    "  - {path: /paid, to: one, roles: [user], limit: per_user}",
)


async def test_a_refusal_by_a_limit_says_which_one_what_it_allows_and_who_asked_for_more(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with home(tmp_path, LIMITED, users=USERS) as house:
        for path in ("/few", "/few", "/keyed", "/keyed"):
            await asked(house, path, **{"X-Key": "s3cret-key"})
        ana = [await asked(house, "/paid", "ana") for _ in range(2)]
        tess = [await asked(house, "/paid", "tess") for _ in range(2)]
        said = capfd.readouterr().err

    assert [answer.status_code for answer in (*ana, *tess)] == [200, 429, 200, 429]
    events = refusals(said)
    assert [event["code"] for event in events] == ["rate_limited"] * 4
    assert [(event["rules"][-1]["wanted"], event["rules"][-1]["got"]) for event in events] == [
        ("per_ip: 1/h by address", "more by 127.0.0.1"),
        ("key: 1/h by header.x-key", "more"),
        ("per_user: 1/h by claim.tenant", "more by acme"),
        ("per_user: 1/h by claim.tenant", "more by über/***"),
    ]
    assert [step["key"] for step in events[2]["rules"]] == ["auth", "roles", "limit"]
    assert "sub" not in events[0]
    assert (events[2]["sub"], events[2]["request_id"]) == ("ana", ana[1].headers["X-Request-Id"])
    assert "s3cret" not in said
    assert HEADER not in ana[1].headers
    assert (
        tess[1]
        .headers[HEADER]
        .startswith('refused; code=rate_limited; rule=limit; wanted="per_user: 1/h by claim.tenant"; got="more by ')
    )


async def test_nobody_else_is_told(tmp_path: Path) -> None:
    async with home(tmp_path, TEXT, users=USERS) as house:
        answers = [
            await asked(house, "/admin/x", "ana"),
            await asked(house, "/new/x", "ana"),
            await asked(house, "/admin/x"),
            await asked(house, "/open/x", "tess"),
            await asked(house, "/new/x", "ana", **{HEADER: "allowed"}),
        ]
        without = TEXT.replace(", debug_role: tester", "")
        house.write(without, users=USERS)
        await house.taken_up()
        answers += [await asked(house, "/admin/x", "tess"), await asked(house, "/new/x", "tess")]

    assert [answer.status_code for answer in answers] == [403, 200, 401, 200, 200, 403, 200]
    assert not any(HEADER in answer.headers for answer in answers)
    assert "x-gateway-decision" not in answers[4].json()["headers"], "nor is a service told by a client"
