"""Node's `jose` and ours, in both directions and for every algorithm.

The library is fetched once through npm into `.data`, in the version named here, and no script of a package is run.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.tokens.verify import Identity, Invalid
from tests.programs import missing, require

from .forge import ALGORITHMS, NOW, claims, header, issued, key_for, ring_for, verifier

VERSION = "6.2.18"
HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".data" / "node" / f"jose-{VERSION}"


class Answers(NamedTuple):
    """What the other library said, by algorithm."""

    verified: dict[str, Any]
    refused: dict[str, Any]
    signed: dict[str, str]
    found: dict[str, str]


def material(alg: str, number: int = 0, *, private: bool) -> dict[str, object]:
    key = key_for(alg, number)
    if alg.startswith("HS"):
        return {"secret": key.serialised().decode()}
    return {"pem": key.serialised().decode()} if private else {"jwk": key.jwk()}


@pytest.fixture(scope="module")
def answers() -> Answers:
    node = require("node")
    _fetch_library()
    asymmetric = [alg for alg in ALGORITHMS if not alg.startswith("HS")]
    ours = {alg: issued(ring_for(alg)).decode() for alg in ALGORITHMS}
    asked = {
        "verify": [
            {"alg": alg, "token": ours[alg], **material(alg, number, private=False)}
            for number in (0, 1)
            for alg in ALGORITHMS
        ],
        "sign": [
            {"alg": alg, "header": header(key_for(alg)), "claims": claims(), **material(alg, private=True)}
            for alg in ALGORITHMS
        ],
        "find": [{"token": ours[alg], "jwks": ring_for(alg).jwks()} for alg in asymmetric],
    }
    script = FOLDER / "cross.mjs"
    shutil.copy(HERE / "cross.mjs", script)
    run = subprocess.run([node, script], input=json.dumps(asked), capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    said = json.loads(run.stdout)
    count = len(ALGORITHMS)
    return Answers(
        dict(zip(ALGORITHMS, said["verified"][:count], strict=True)),
        dict(zip(ALGORITHMS, said["verified"][count:], strict=True)),
        dict(zip(ALGORITHMS, said["signed"], strict=True)),
        dict(zip(asymmetric, said["set"], strict=True)),
    )


def _fetch_library() -> None:
    if (FOLDER / "node_modules" / "jose" / "package.json").exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        missing("node", "no npm beside it")
    FOLDER.mkdir(parents=True, exist_ok=True)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(FOLDER)]
    command = [npm, "install", *options, f"jose@{VERSION}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        pytest.skip("the package registry does not hand out jose")
    if done.returncode != 0:
        pytest.skip("the package registry does not hand out jose")


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_that_we_issue_is_accepted_by_the_other(alg: str, answers: Answers) -> None:
    assert answers.verified[alg] == {"sub": "alice", "header": header(key_for(alg))}
    assert answers.refused[alg] == {"error": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_token_that_the_other_signed_is_accepted(alg: str, answers: Answers) -> None:
    token = answers.signed[alg].encode()
    assert isinstance(verifier(ring_for(alg)).verify(token, NOW), Identity)
    head, _, rest = token.partition(b".")
    other = head + b"." + rest.replace(b".", b"A.", 1)
    assert isinstance(verifier(ring_for(alg)).verify(other, NOW), Invalid)


@pytest.mark.parametrize("alg", [alg for alg in ALGORITHMS if not alg.startswith("HS")])
def test_the_other_finds_our_keys_in_the_published_set(alg: str, answers: Answers) -> None:
    assert answers.found[alg] == key_for(alg).kid
