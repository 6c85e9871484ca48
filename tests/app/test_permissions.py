"""`roles: {editor: {permissions: [...]}}` fills the claim of everybody who has the role, and takes it back."""

import base64
import hashlib
import json
from typing import Any

from tests.app.home import Home, home

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c"
ROLES = "roles: {reader: {permissions: [read]}, editor: {includes: [reader], permissions: [write, list]}}"
USERS = "users:\n  ana: {password: demo, demo: true, roles: [editor], permissions: [own, read]}\n"
TEXT = f"""\
login: {{verify: {{file: users.yaml}}}}
{ROLES}
identity_headers: {{X-User-Permissions: permissions}}
clients: {{job: {{roles: [reader], secret_hash: "sha256:{hashlib.sha256(SECRET.encode()).hexdigest()}"}}}}
upstreams: {{one: ONE}}
routes:
  - {{path: /w, to: one, permissions: [write]}}
  - {{path: /r, to: one, permissions: [read]}}
"""


def claims(token: str) -> dict[str, Any]:
    """Return what *token* says."""
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


async def asked(house: Home, path: str, token: str) -> int:
    return await house.status(path, {"Authorization": f"Bearer {token}"})


async def signed_in(house: Home) -> dict[str, Any]:
    answer = await house.client.post("/auth/login", json={"username": "ana", "password": "demo"})
    found: dict[str, Any] = answer.json()
    return found


async def refreshed(house: Home, before: dict[str, Any]) -> dict[str, Any]:
    answer = await house.client.post("/auth/refresh", json={"refresh_token": before["refresh_token"]})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_login_states_the_permissions_of_all_roles_sorted_and_each_once(tmp_path: Any) -> None:
    async with home(tmp_path, TEXT, users=USERS) as house:
        token = (await signed_in(house))["access_token"]
        assert claims(token)["permissions"] == ["list", "own", "read", "write"]
        assert (await asked(house, "/w", token), await asked(house, "/r", token)) == (200, 200)
        headers = {"Authorization": f"Bearer {token}"}
        seen = (await house.client.get("/r", headers=headers)).json()["headers"]
        assert seen["x-user-permissions"] == "list,own,read,write"


async def test_a_program_has_the_permissions_of_its_roles(tmp_path: Any) -> None:
    async with home(tmp_path, TEXT, users=USERS) as house:
        form = {"grant_type": "client_credentials"}
        answer = await house.client.post("/auth/token", data=form, auth=("job", SECRET))
        token = answer.json()["access_token"]
        assert claims(token)["permissions"] == ["read"]
        assert (await asked(house, "/w", token), await asked(house, "/r", token)) == (403, 200)


async def test_another_table_of_roles_counts_from_the_next_refresh_on(tmp_path: Any) -> None:
    async with home(tmp_path, TEXT, users=USERS) as house:
        first = await signed_in(house)
        house.write(TEXT.replace("permissions: [write, list]", "permissions: [list, more]"), users=USERS)
        await house.taken_up()
        assert await asked(house, "/w", first["access_token"]) == 200  # what was stated holds until it is stated anew

        second = await refreshed(house, first)
        assert claims(second["access_token"])["permissions"] == ["list", "more", "own", "read"]
        assert await asked(house, "/w", second["access_token"]) == 403
        assert await asked(house, "/r", second["access_token"]) == 200
        # Who has lost one has lost it: tokens from before have to be refreshed.
        assert await asked(house, "/w", first["access_token"]) == 401


async def test_who_has_more_permissions_than_a_token_can_carry_is_told_so_by_the_audit(tmp_path: Any) -> None:
    many = ", ".join(f'"resource-{at}:write"' for at in range(60))
    text = TEXT.replace("permissions: [read]}, editor", f"permissions: [read, {many}]}}, editor")
    async with home(tmp_path, text, users=USERS, server=", limits: {token: 1KiB}") as house:
        login = await house.client.post("/auth/login", json={"username": "ana", "password": "demo"})
        form = {"grant_type": "client_credentials"}
        program = await house.client.post("/auth/token", data=form, auth=("job", SECRET))
        assert [answer.status_code for answer in (login, program)] == [500, 500]
        assert program.json()["code"] == "internal_error"
        assert house.metric('gateway_audit_events_total{result="token_unissuable"}') == 2
