"""What `gateway explain` says is what the running gateway answers, for every cell of tables nobody has thought of."""

import random
import time
from pathlib import Path

import pytest

from gateway.commands.deciding import ANONYMOUS, Asked, Deciding, issued, sample
from gateway.config.load import load
from gateway.config.users import file_users
from gateway.tokens.issue import Issuer
from tests.app.home import Home, home
from tests.commands.generated import DESCRIBED, FIELDS, HOST, METHODS, NAMED, USERS, generated


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 30))])
async def test_explain_says_what_the_gateway_answers(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    text, paths = generated(draw)
    async with home(tmp_path, text, users=USERS) as house:
        config = load(tmp_path / "gateway.yaml", {})
        deciding = Deciding(config, file_users(config))
        callers = {name: deciding.person(name) for name in NAMED} | {one.title: one for one in DESCRIBED}
        tokens = {name: {} if name == ANONYMOUS else await house.login(name) for name in NAMED}
        issuer = Issuer(house.gateway.ring, config.effective.issuer, config.effective.audience, "gateway", 600)
        now = time.time()
        tokens |= {
            one.title: {"Authorization": f"Bearer {issued(issuer, deciding.endowed(one), now).token}"}
            for one in DESCRIBED
        }
        cells, refused, shadows = 0, 0, 0
        for path in (*map(sample, paths), *(f"{sample(path)}/x" for path in paths), "/nowhere", "/a/%2e%2e/b", "/a;x"):
            for method in METHODS:
                for name, who in callers.items():
                    fields = draw.choice(FIELDS)
                    host = draw.choice(("localhost", "localhost", HOST, HOST.upper()))
                    said = deciding.decide(who, Asked(method, path, host, fields=fields))
                    answer = await _raw(house, method, path, [("Host", host), *tokens[name].items(), *fields])
                    assert (said.status, said.code) == answer, (method, path, host, name, fields, text)
                    decision = said.explanation.decision
                    assert decision.code == said.code
                    assert (decision.deciding is None) is (said.refusal is None), decision
                    cells += 1
                    refused += said.refusal is not None
                    shadows += decision.shadow is not None and not decision.shadow.allowed
        assert cells > 1500
        assert cells // 10 < refused < cells, "the table has both"
        exposed = house.gateway.sight.exposition()[0].decode()
        counted = sum(
            float(line.split()[-1]) for line in exposed.splitlines() if line.startswith("gateway_shadow_denials_total{")
        )
        assert counted == shadows


async def _raw(house: Home, method: str, path: str, headers: list[tuple[str, str]]) -> tuple[int, str]:
    """Return the status and the error code of a request whose path is sent as it is written."""
    url = house.client.base_url.copy_with(raw_path=path.encode())
    answer = await house.client.send(house.client.build_request(method, url, headers=headers))
    return answer.status_code, answer.headers.get("X-Gateway-Error", "")
