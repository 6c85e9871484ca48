"""The settings of the documentation, held against what the providers publish and issue."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.app.issuers import place
from gateway.config.load import load
from gateway.config.trusted import trusted_issuers
from gateway.outbound.client import Answer, Failed
from gateway.outbound.jwks import KeyFetcher
from gateway.tokens.trusted import Verifiers
from gateway.tokens.verify import Identity, Invalid
from tests.tokens.forge import NOW, ring_for, verifier
from tests.tokens.providers import OTHER_AUDIENCE, RECORDED, Recorded

PAGE = (Path(__file__).parents[2] / "docs" / "identity-providers.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SETTINGS = {re.findall(r"^  (\w+):$", code, re.MULTILINE)[0]: code for code in BLOCKS}


class Web:
    """The provider's web server."""

    def __init__(self, recorded: Recorded) -> None:
        base = str(recorded.discovery["issuer"]).rstrip("/")
        self._pages = {
            f"{base}/.well-known/openid-configuration": recorded.discovery,
            str(recorded.discovery["jwks_uri"]): recorded.jwks,
        }

    async def get(
        self,
        url: str,
        *,
        timeout: float,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        decompress: bool = False,
    ) -> Answer | Failed:
        found = self._pages.get(url)
        return Answer(404, {}, b"") if found is None else Answer(200, {}, json.dumps(found).encode())


async def front(name: str, folder: Path) -> Verifiers:
    """Return what judges tokens by the documented settings, with the keys fetched as they are published."""
    path = folder / "gateway.yaml"
    path.write_text(f"version: 1\n{SETTINGS[name]}")
    config = load(path, {})
    (issuer,) = trusted_issuers(config)
    fetcher = KeyFetcher(
        place(name, config.trusted_issuers[name]),
        issuer.keys,
        Web(RECORDED[name]),
        monotonic=lambda: 0.0,
        renew=lambda: None,
    )
    await fetcher.refresh()
    assert fetcher.failures == 0
    return Verifiers(verifier(ring_for("ES256")), [issuer], {})


def test_every_provider_of_the_documentation_is_recorded() -> None:
    assert SETTINGS.keys() == RECORDED.keys()


@pytest.mark.parametrize("name", RECORDED)
async def test_its_tokens_are_read_with_the_documented_settings(name: str, tmp_path: Path) -> None:
    recorded = RECORDED[name]
    who = (await front(name, tmp_path)).verify(recorded.token(), NOW)
    assert isinstance(who, Identity), who
    assert who.roles == recorded.roles
    assert who.subject == f"{name}:{recorded.claims['sub']}"


@pytest.mark.parametrize("name", RECORDED)
async def test_its_other_tokens_are_not_accepted(name: str, tmp_path: Path) -> None:
    recorded, judge = RECORDED[name], await front(name, tmp_path)
    for changes, reason in (
        (OTHER_AUDIENCE.get(name, {"aud": "another"}), "audience"),
        ({"exp": NOW - 60}, "expired"),
        ({"iss": str(recorded.claims["iss"]) + "/"}, "another issuer's"),
        ({"cnf": {"jkt": "x"}}, "bound"),
    ):
        found = judge.verify(recorded.token(**changes), NOW)
        assert isinstance(found, Invalid)
        # Without an issuer of theirs it is judged as one of ours, and is none by its type or its key.
        assert found.reason in ({reason} if reason != "another issuer's" else {"typ", "kid"}), (changes, found)
