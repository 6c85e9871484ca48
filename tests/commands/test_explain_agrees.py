"""What `gateway explain` says is what the running gateway answers, for every cell of tables nobody has thought of."""

import random
from pathlib import Path

import pytest

from gateway.commands.deciding import ANONYMOUS, Asked, Deciding, sample
from gateway.config.load import load
from gateway.config.users import file_users
from tests.app.home import Home, home

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ROLES = ("r0", "r1", "r2", "r3", "r4")
SEGMENTS = ("a", "b", "{id}", "{id:int}")


def generated(draw: random.Random) -> tuple[str, str, list[str]]:
    """Return a configuration, its users file, and the paths of its routes."""
    roles = []
    for at, role in enumerate(ROLES):
        includes = [other for other in ROLES[:at] if draw.random() < 0.3]
        permissions = [f"p{at}"] if draw.random() < 0.5 else []
        roles.append(f"  {role}: {{includes: [{', '.join(includes)}], permissions: [{', '.join(permissions)}]}}")
    paths: dict[str, str] = {}
    while len(paths) < 12:
        parts = [draw.choice(SEGMENTS[:2])] + [draw.choice(SEGMENTS) for _ in range(draw.randrange(3))]
        parts = [part.replace("id", f"n{at}") for at, part in enumerate(parts)]
        path = "/" + "/".join(parts) + draw.choice(("", "", "/**"))
        paths.setdefault(path.replace("n1", "n").replace("n2", "n"), path)
    routes = []
    for path in paths.values():
        if draw.random() < 0.4:
            chosen = draw.sample(METHODS, draw.randrange(1, 5))
            methods = f", methods: {{{', '.join(f'{method}: {{{_rule(draw)}}}' for method in chosen)}}}"
        else:
            methods = draw.choice(("", ", methods: [GET, POST]"))
        rule = _rule(draw)
        routes.append(f'  - {{path: "{path}", to: one{methods}, {rule}}}')
    users = [f"  u{at}: {{password: demo, demo: true, roles: [{role}]}}" for at, role in enumerate(ROLES)]
    users.append("  u9: {password: demo, demo: true, permissions: [p1, p3]}")
    text = "\n".join(
        ("login: {verify: {file: users.yaml}}", "roles:", *roles, "upstreams: {one: ONE}", "routes:", *routes, "")
    )
    return text, "\n".join(("users:", *users, "")), list(paths.values())


def _rule(draw: random.Random) -> str:
    if (kind := draw.random()) < 0.15:
        return f"auth: {draw.choice(('public', 'optional'))}"
    if kind < 0.3:
        return "auth: required"
    keys = {
        "roles": [role for role in ROLES if draw.random() < 0.4],
        "roles_all": [role for role in ROLES if draw.random() < 0.1],
        "not_roles": [role for role in ROLES if draw.random() < 0.15],
        "permissions": [f"p{at}" for at in range(5) if draw.random() < 0.1],
    }
    return ", ".join(("auth: required", *(f"{key}: [{', '.join(names)}]" for key, names in keys.items() if names)))


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 30))])
async def test_explain_says_what_the_gateway_answers(tmp_path: Path, seed: int) -> None:
    text, users, paths = generated(random.Random(seed))
    async with home(tmp_path, text, users=users) as house:
        config = load(tmp_path / "gateway.yaml", {})
        assert config.login is not None
        deciding = Deciding(config, file_users(config))
        callers = [ANONYMOUS, *(f"u{at}" for at in (*range(len(ROLES)), 9))]
        tokens = {name: {} if name == ANONYMOUS else await house.login(name) for name in callers}
        cells, refused = 0, 0
        for path in (*map(sample, paths), *(f"{sample(path)}/x" for path in paths), "/nowhere", "/a/%2e%2e/b", "/a;x"):
            for method in METHODS:
                for name in callers:
                    said = deciding.decide(deciding.person(name), Asked(method, path))
                    answer = await _raw(house, method, path, tokens[name])
                    assert (said.status, said.code) == answer, (method, path, name, text)
                    cells += 1
                    refused += said.refusal is not None
        assert cells > 1000
        assert cells // 10 < refused < cells, "the table has both"


async def _raw(house: Home, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    """Return the status and the error code of a request whose path is sent as it is written."""
    url = house.client.base_url.copy_with(raw_path=path.encode())
    answer = await house.client.send(house.client.build_request(method, url, headers=headers))
    return answer.status_code, answer.headers.get("X-Gateway-Error", "")
