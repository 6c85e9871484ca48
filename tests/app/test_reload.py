"""A reload puts the new configuration in force whole or not at all, and takes nothing from who is being served."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.app.reloading import LOOK, Unchanged
from gateway.routing.route import BUILTIN
from tests.app.home import USERS, USUAL, Home, home
from tests.proxy.certificates import Authority
from tests.tokens.forge import key_for

ADMIN = "5c0e9b7d41f26a83b19d7e04"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Home]:
    async with home(tmp_path) as made:
        yield made


# --- what is taken up ---


async def test_a_new_route_is_served_and_a_removed_one_is_not(house: Home) -> None:
    house.write(USUAL.replace("/open/**", "/free/**"))
    assert await house.taken_up() == ("routes[/open/**]: removed", "routes[/free/**]: added")
    assert await house.status("/free/x") == 200
    assert await house.status("/open/x") == 404


async def test_a_changed_rule_holds_for_tokens_that_were_there_before(house: Home) -> None:
    token = await house.login()
    assert await house.status("/any/x", token) == 200
    house.write(USUAL.replace("/any/**, to: one", "/any/**, to: one, roles: [admin]"))
    assert await house.taken_up() == ("routes[/any/**].roles: [] → [admin]",)
    assert await house.status("/any/x", token) == 403


async def test_an_identity_header_is_another_for_tokens_that_were_verified_before(house: Home) -> None:
    token = await house.login()
    assert (await house.client.get("/any/x", headers=token)).json()["headers"]["x-user-id"] == "ana"
    house.write(USUAL + "identity_headers: {X-Who: sub}\n")
    await house.taken_up()
    seen = (await house.client.get("/any/x", headers={**token, "X-Who": "forged", "X-User-Roles": "admin"})).json()[
        "headers"
    ]
    assert (seen["x-who"], seen.get("x-user-id"), seen.get("x-user-roles")) == ("ana", None, None)


async def test_tokens_that_were_verified_need_not_be_again_when_only_routes_change(house: Home) -> None:
    before = house.gateway.serving.sessions.tokens
    house.write(USUAL.replace("/open/**", "/free/**"))
    await house.taken_up()
    assert house.gateway.serving.sessions.tokens is before
    house.write(USUAL + "tokens: {audience: [elsewhere], keys: {alg: ES256}}\n")
    await house.taken_up()
    assert house.gateway.serving.sessions.tokens is not before


async def test_sessions_outlive_a_reload_and_so_does_a_logout(house: Home) -> None:
    stays, goes = await house.login(), await house.login()
    assert (await house.client.post("/auth/logout", headers=goes)).status_code == 204
    house.write(USUAL.replace("/open/**", "/free/**"))
    await house.taken_up()
    assert await house.status("/any/x", stays) == 200
    assert await house.status("/any/x", goes) == 401


async def test_a_changed_users_file_counts_for_the_next_login(house: Home) -> None:
    house.write(users=USERS + "  bob: {password: secret, demo: true}\n")
    assert await house.taken_up() == (f"{house.folder}/users.yaml: changed",)
    await house.login("bob", "secret")
    house.write(users="users: {}\n")
    await house.taken_up()
    answer = await house.client.post("/auth/login", json={"username": "bob", "password": "secret"})
    assert answer.status_code == 401


async def test_failed_logins_are_not_forgotten_by_a_reload(house: Home) -> None:
    async def guess() -> int:
        answer = await house.client.post("/auth/login", json={"username": "ana", "password": "wrong"})
        return answer.status_code

    statuses = [await guess() for _ in range(6)]
    assert statuses[-1] == 429, statuses
    house.write(USUAL.replace("/open/**", "/free/**"))
    await house.taken_up()
    assert await guess() == 429


async def test_the_login_can_move(house: Home) -> None:
    house.write(USUAL.replace("login: {", "login: {base_path: /in, "))
    await house.taken_up()
    assert (await house.client.post("/in/login", json={"username": "ana", "password": "demo"})).status_code == 200
    assert await house.status("/auth/session") == 404


async def test_limits_of_clients_change(house: Home) -> None:
    assert await house.status(f"/open/{'x' * 2000}") == 200
    house.write(server=", limits: {url: 1KiB}")
    assert await house.taken_up() == ("server.limits.url: 8KiB → 1KiB",)
    assert await house.status(f"/open/{'x' * 2000}") == 414


async def test_the_admin_token_changes(house: Home) -> None:
    (house.folder / "token").write_text(ADMIN)
    house.write(server=", admin: {listen: '127.0.0.1:0', token_file: token}".replace("'", '"'))
    text = (house.folder / "gateway.yaml").read_text().replace('admin: {listen: "127.0.0.1:0"}, ', "", 1)
    (house.folder / "gateway.yaml").write_text(text)
    await house.taken_up()
    assert house.gateway._admin_token() == ADMIN


async def test_the_difference_shows_no_secret(house: Home) -> None:
    (house.folder / "token").write_text(ADMIN)
    text = (house.folder / "gateway.yaml").read_text()
    text = text.replace('admin: {listen: "127.0.0.1:0"}', 'admin: {listen: "127.0.0.1:0", token: ' + ADMIN + "}")
    (house.folder / "gateway.yaml").write_text(text)
    assert await house.taken_up() == ("server.admin.token: none → ***",)


# --- what is refused ---


async def test_a_broken_file_leaves_everything_as_it_was(house: Home) -> None:
    house.write(USUAL.replace("to: one", "to: nowhere", 1))
    before = house.gateway.serving
    reason = await house.refused()
    assert reason.startswith('gateway.yaml:9:26: routes[0].to: no upstream is called "nowhere"')
    assert house.gateway.serving is before
    assert await house.status("/open/x") == 200
    assert house.metric("gateway_config_last_reload_successful") == 0
    assert house.metric('gateway_config_reloads_total{result="refused"}') == 1
    house.write()
    assert isinstance(await house.gateway.reload(), Unchanged)
    assert house.metric("gateway_config_last_reload_successful") == 1


FIXED = [
    pytest.param('listen: "127.0.0.1:0", admin', 'listen: "127.0.0.1:1", admin', "server.listen", id="public listener"),
    pytest.param('admin: {listen: "127.0.0.1:0"}', 'admin: {listen: "127.0.0.1:1"}', "server.admin.listen", id="admin"),
    pytest.param("data_dir: data", "data_dir: elsewhere", "server.data_dir", id="data directory"),
    pytest.param(
        "data_dir: data", "data_dir: data, secret: 9f2c4b7e1a6d8035c1e7f4a2b9d06385", "server.secret", id="secret"
    ),
    pytest.param("{keys:", "{issuer: us, keys:", "tokens.issuer", id="issuer"),
    pytest.param("login:", "store: {timeout: 1s}\nlogin:", "store", id="store"),
    pytest.param("{alg: ES256}", "{alg: ES256, rotate: none}", "tokens.keys.rotate", id="turn of keys"),
    pytest.param("{alg: ES256}", "{alg: ES256, store: store}", "tokens.keys.store", id="place of keys"),
    pytest.param("login: {", "login: {hash_threads: 7, ", "login.hash_threads", id="threads"),
]


@pytest.mark.parametrize(("old", "new", "where"), FIXED)
async def test_what_cannot_change_is_named_with_its_line(house: Home, old: str, new: str, where: str) -> None:
    path = house.folder / "gateway.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    reason = await house.refused()
    line = next(at for at, row in enumerate(path.read_text().splitlines(), 1) if row not in text.splitlines())
    assert reason.startswith(f"gateway.yaml:{line}:"), reason
    assert f": {where}: this cannot change by a reload" in reason
    assert "restart the gateway for it, or put the old value back" in reason
    assert await house.status("/open/x") == 200


async def test_everything_that_cannot_change_is_named_at_once(house: Home) -> None:
    path = house.folder / "gateway.yaml"
    path.write_text(path.read_text().replace('"127.0.0.1:0"', '"127.0.0.1:1"', 1) + "store: {prefix: other}\n")
    reason = await house.refused()
    assert reason.count("this cannot change by a reload") == 2


@pytest.mark.item(169)
async def test_a_broken_key_set_leaves_the_keys_in_force(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(_pem(1))
    text = USUAL + "tokens: {keys: {alg: ES256, files: [{file: key.pem, alg: ES256}]}}\n"
    async with home(tmp_path, text) as house:
        token = await house.login()
        kid = house.gateway.ring.signing().kid
        key.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")
        await house.refused()
        assert house.gateway.ring.signing().kid == kid
        assert await house.status("/any/x", token) == 200
        await house.login()
        key.write_bytes(_pem(2))
        await house.taken_up()
        assert house.gateway.ring.signing().kid != kid
        assert await house.status("/any/x", token) == 401
        assert await house.status("/any/x", await house.login()) == 200


async def test_a_file_of_an_upstream_that_cannot_be_used_is_a_refusal_like_any_other(house: Home) -> None:
    (house.folder / "ca.pem").write_text("no certificate")
    house.write(USUAL.replace("two: TWO", "two: {targets: [https://127.0.0.1:1], tls: {ca_file: ca.pem}}"))
    assert "tls files cannot be used" in await house.refused()
    assert await house.status("/open/x") == 200


# --- who is being served ---


async def test_a_request_in_work_ends_as_it_began(house: Home) -> None:
    slow = asyncio.create_task(house.client.get("/open/slow"))
    await house.one.held.wait()
    old = house.gateway.serving.pools["one"]
    house.write(USUAL.replace("ONE", "TWO").replace("/open/**", "/free/**"))
    await house.taken_up()
    assert (await house.client.get("/free/x")).json()["service"] == "two"
    assert house.metric("gateway_http_requests_in_flight") == 1
    house.one.go_on.set()
    answer = await slow
    assert (answer.status_code, answer.json()["service"]) == (200, "one")
    assert old.is_done


async def test_a_clients_connection_stays_open(house: Home) -> None:
    await house.status("/open/x")
    (connection,) = house.gateway.engine.connections
    house.write(USUAL.replace("/open/**", "/free/**"))
    await house.taken_up()
    assert await house.status("/free/x") == 200
    assert list(house.gateway.engine.connections) == [connection]


async def test_an_upstream_that_is_as_it_was_keeps_its_connections_and_its_health(house: Home) -> None:
    await house.status("/open/x")
    one, two = house.gateway.serving.pools["one"], house.gateway.serving.pools["two"]
    house.write(
        USUAL.replace("/open/**", "/free/**").replace("two: TWO", "two: {targets: [TWO], eject: {failures: 3}}")
    )
    await house.taken_up()
    now = house.gateway.serving.pools
    assert (now["one"] is one, now["two"] is two) == (True, False)
    assert len(one.targets[0].idle) == 1
    assert await house.status("/free/x") == 200
    assert one.targets[0].open == 1


async def test_an_upstream_whose_certificates_were_replaced_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(Authority(tmp_path).file.read_bytes())
    text = USUAL.replace("two: TWO", "two: {targets: [https://127.0.0.1:1], tls: {ca_file: ca.pem}}")
    async with home(tmp_path, text) as house:
        before = dict(house.gateway.serving.pools)
        (tmp_path / "ca.pem").write_bytes(Authority(tmp_path).file.read_bytes())
        assert await house.taken_up() == (f"{tmp_path}/ca.pem: changed",)
        now = house.gateway.serving.pools
        assert (now["one"] is before["one"], now["two"] is before["two"]) == (True, False)


async def test_probes_follow_the_upstreams(house: Home) -> None:
    probed = USUAL.replace("two: TWO", "two: {targets: [TWO], health: {path: /, every: 1h}}")
    house.write(probed)
    await house.taken_up()
    (prober,) = house.gateway.serving.probers.values()
    assert len(prober) == 1
    house.write(probed.replace("/open/**", "/free/**"))
    await house.taken_up()
    assert list(house.gateway.serving.probers.values()) == [prober]
    house.write(probed.replace("every: 1h", "every: 2h"))
    await house.taken_up()
    await _until(lambda: len(prober) == 0)
    (now,) = house.gateway.serving.probers.values()
    assert (now is prober, len(now)) == (False, 1)


async def test_the_application_of_a_former_configuration_goes_when_its_last_request_is_over(house: Home) -> None:
    await house.login()
    old = house.gateway.serving
    for _ in range(3):
        house.write(USUAL.replace("/open/**", f"/open{_}/**"))
        await house.taken_up()
        await house.login()
    await _until(lambda: not house.gateway._leaving)
    assert old.pools[BUILTIN].is_done
    assert len(house.gateway._gauges._pools) == 3


async def test_a_count_never_goes_back(house: Home) -> None:
    house.gateway.serving.pools["one"].retried = 5
    house.write(USUAL.replace("ONE", "TWO"))
    await house.taken_up()
    house.write()
    await house.taken_up()
    assert house.metric("gateway_upstream_retries_total") == 5


async def test_another_certificate_is_for_the_next_handshake(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    old, new = authority.issue("old.example"), authority.issue("new.example")
    trust = ssl.create_default_context(cafile=str(authority.file))

    async def is_served(house: Home, name: str) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", house.gateway.port, ssl=trust, server_hostname=name)
        except ssl.SSLCertVerificationError:
            return False
        writer.close()
        return True

    def server(pair: tuple[Path, Path]) -> str:
        return f', tls: [{{certificate_file: "{pair[0]}", key_file: "{pair[1]}"}}]'

    async with home(tmp_path, server=server(old)) as house:
        assert await is_served(house, "old.example")
        house.write(server=server(new))
        await house.taken_up()
        assert await is_served(house, "new.example")
        assert not await is_served(house, "old.example")
        house.write()
        assert "server.tls: this cannot change by a reload" in await house.refused()


# --- what is noticed by itself ---


async def test_what_is_still_being_written_is_waited_for(house: Home) -> None:
    watch = house.gateway._watch
    assert not await watch.look()
    house.write(USUAL.replace("/open/**", "/free/**"))
    assert not await watch.look()
    house.write(USUAL.replace("/open/**", "/gratis/**"))
    assert not await watch.look()
    assert await watch.look()
    await house.taken_up()
    assert not await watch.look()


async def test_a_file_that_is_written_again_as_it_was_is_no_change(house: Home) -> None:
    watch = house.gateway._watch
    for _ in range(3):
        os.utime(house.folder / "gateway.yaml")
        house.write()
        assert not await watch.look()


async def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes replaces a ConfigMap: the file's own name is a link through a directory that is swapped."""
    async with home(tmp_path) as house:
        good = (tmp_path / "gateway.yaml").read_text()
        for name, path in (("v1", "/open/**"), ("v2", "/free/**")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "gateway.yaml").write_text(good.replace("/open/**", path))
        (tmp_path / "..data").symlink_to("v1")
        (tmp_path / "gateway.yaml").unlink()
        (tmp_path / "gateway.yaml").symlink_to("..data/gateway.yaml")
        watch = house.gateway._watch
        assert not await watch.look()
        (tmp_path / "..new").symlink_to("v2")
        (tmp_path / "..new").replace(tmp_path / "..data")
        assert [await watch.look() for _ in range(2)] == [False, True]
        await house.taken_up()
        assert await house.status("/free/x") == 200


async def test_a_file_that_was_refused_is_not_tried_again_until_it_changes(house: Home) -> None:
    watch = house.gateway._watch
    house.write("nonsense")
    assert [await watch.look() for _ in range(2)] == [False, True]
    await house.refused()
    assert not await watch.look()
    house.write()
    assert [await watch.look() for _ in range(2)] == [False, True]


async def test_a_file_that_was_missing_is_noticed_when_it_comes(house: Home) -> None:
    watch = house.gateway._watch
    house.write(USUAL + 'telemetry: {log_level: "${file:level}"}\n')
    assert "level cannot be read" in await house.refused()
    (house.folder / "level").write_text("error")
    assert [await watch.look() for _ in range(2)] == [False, True]
    assert await house.taken_up()


async def test_a_new_part_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.yaml").write_text("upstreams: {three: 'http://127.0.0.1:1'}\n")
    async with home(tmp_path, f"{USUAL}include: [parts/*.yaml]\n") as house:
        watch = house.gateway._watch
        assert not await watch.look()
        (tmp_path / "parts" / "b.yaml").write_text("routes:\n  - {path: /part, to: one, auth: public}\n")
        assert [await watch.look() for _ in range(2)] == [False, True]
        assert "routes[/part]: added" in await house.taken_up()
        assert await house.status("/part") == 200


def test_looks_are_rare_enough_to_cost_nothing() -> None:
    assert LOOK >= 1.0


async def _until(holds: object) -> None:
    assert callable(holds)
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def _pem(number: int) -> bytes:
    return key_for("ES256", number).serialised()
