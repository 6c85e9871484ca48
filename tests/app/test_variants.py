"""Two services on one path, told apart by a header: over real sockets, and as `gateway explain` says it."""

from pathlib import Path

from gateway.commands.deciding import ANONYMOUS, Asked, Deciding
from gateway.commands.nearest import nearest
from gateway.config.load import load
from gateway.routing.headers import wanted
from gateway.routing.table import RouteTable
from tests.app.home import home
from tests.routing.routes import route

TEXT = """\
login: {verify: {file: users.yaml}}
roles: {user: {}, admin: {includes: [user]}}
upstreams: {one: ONE, two: TWO}
routes:
  - {path: /v/**, to: one, auth: public}
  - {path: /v/**, to: two, headers: {X-Version: "2"}}
  - {path: "/only/{id:uuid}", to: two, auth: public, headers: {X-Version: "2"}}
"""
VERSIONS: tuple[dict[str, str], ...] = ({}, {"X-Version": "2"}, {"X-Version": "3"}, {"x-VERSION": "2"})
UUID = "0b8e3f5a-9c1d-4e2f-8a7b-6c5d4e3f2a1b"


async def test_each_request_reaches_the_service_its_headers_name(tmp_path: Path) -> None:
    async with home(tmp_path, TEXT) as house:
        token = await house.login()
        deciding = Deciding(load(tmp_path / "gateway.yaml", {}), {})
        for _ in range(3):  # on one connection, from memory the second time
            for fields in VERSIONS:
                named = any(value == "2" for value in fields.values())
                answer = await house.client.get("/v/x", headers={**fields, **token})
                assert answer.json()["service"] == ("two" if named else "one")
                assert await house.status("/v/x", fields) == (401 if named else 200)
                said = deciding.decide(deciding.person(ANONYMOUS), Asked("GET", "/v/x", fields=tuple(fields.items())))
                assert said.status == (401 if named else 200)
                assert said.match is not None
                assert said.match.route.upstream == ("two" if named else "one")
                assert await house.status(f"/only/{UUID}", fields) == (200 if named else 404)
                assert await house.status("/only/7", fields) == 404


def test_explain_says_which_header_a_route_asks_for() -> None:
    made = RouteTable([route("/v/{id:uuid}", headers=wanted({"X-Version": "2"}))])
    assert [one.why for one in nearest(made, "GET", f"/v/{UUID}")] == ["asks for the header x-version: 2"]
    assert nearest(made, "GET", "/v/7") == []
