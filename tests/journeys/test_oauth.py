"""A program that knows OAuth 2.0 and not this gateway: authlib's client, led by the metadata alone, over TLS."""

import json
import secrets
import ssl
import warnings
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import httpx
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.oauth2.rfc7523 import PrivateKeyJWT

from gateway.tokens.signing import generate_key
from tests.journeys.house import Gateway, configuration, free_port, running
from tests.proxy.certificates import Authority

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have a successor of httpx
    from authlib.integrations.httpx_client import OAuth2Client

METADATA = "/.well-known/oauth-authorization-server"


class Site(NamedTuple):
    """A gateway that speaks TLS, and what a program has to know of it."""

    gateway: Gateway
    url: str
    trust: ssl.SSLContext
    secret: str
    key: str
    metadata: dict[str, Any]

    def client(self, name: str, secret: str | None = None, method: str = "client_secret_basic") -> OAuth2Client:
        return OAuth2Client(
            name,
            secret,
            token_endpoint_auth_method=method,
            token_endpoint=self.metadata["token_endpoint"],
            verify=self.trust,
            trust_env=False,
        )

    def login(self) -> dict[str, Any]:
        answer = httpx.post(
            f"{self.url}/auth/login",
            json={"username": "alice", "password": "demo"},
            verify=self.trust,
            trust_env=False,
        )
        assert answer.status_code == 200
        return dict(answer.json())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("oauth")
    authority = Authority(folder)
    pair = authority.issue("localhost")
    secret = secrets.token_hex(32)
    robot = generate_key("RS256")
    (folder / "robot.jwk").write_text(json.dumps(robot.jwk()))
    text = configuration(
        folder / "gateway",
        upstreams={"nobody": "http://127.0.0.1:9"},
        routes="  - {path: /nobody, to: nobody}",
        server=f"  tls: [{{certificate_file: {pair.certificate}, key_file: {pair.key}}}]\n  public_url: https://localhost:PORT",
    )
    text += f"""clients:
  reports: {{secret_hash: "sha256:{sha256(secret.encode()).hexdigest()}", roles: [user], scopes: [a, b]}}
  robot: {{keys: [{{file: {folder / "robot.jwk"}, alg: RS256}}], roles: [user]}}
"""
    port = free_port()
    with running(folder / "gateway", text.replace("PORT", str(port)), port=port) as gateway:
        url = f"https://localhost:{port}"
        trust = ssl.create_default_context(cafile=authority.file)
        metadata = httpx.get(url + METADATA, verify=trust, trust_env=False).json()
        yield Site(gateway, url, trust, secret, robot.serialised().decode(), metadata)
        assert gateway.faults() == []


def test_the_metadata_is_that_of_its_issuer(site: Site) -> None:
    """RFC 8414 section 3.3: a client must not use metadata of another issuer than the one it asked."""
    assert site.metadata["issuer"] == site.url


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_program_gets_a_token_by_its_secret(site: Site, method: str) -> None:
    assert method in site.metadata["token_endpoint_auth_methods_supported"]
    with site.client("reports", site.secret, method) as client:
        token = client.fetch_token(grant_type="client_credentials", scope="a")
        assert token["scope"] == "a"
        asked = site.metadata["introspection_endpoint"]
        told = client.introspect_token(asked, token=token["access_token"]).json()
        assert (told["active"], told["sub"], told["scope"]) == (True, "client:reports", "a")
        assert client.revoke_token(site.metadata["revocation_endpoint"], token=token["access_token"]).status_code == 200
        told = client.introspect_token(asked, token=token["access_token"]).json()
    assert told == {"active": False}


def test_a_program_gets_a_token_by_its_signature(site: Site) -> None:
    assert site.metadata["token_endpoint_auth_signing_alg_values_supported"] == ["RS256"]
    with site.client("robot", site.key, "private_key_jwt") as client:
        client.register_client_auth_method(PrivateKeyJWT(site.metadata["token_endpoint"], alg="RS256"))
        for _ in range(2):  # each with an assertion of its own
            assert client.fetch_token(grant_type="client_credentials")["token_type"] == "Bearer"


def test_a_wrong_secret_is_the_error_that_libraries_know(site: Site) -> None:
    with site.client("reports", "wrong") as client, pytest.raises(OAuthError) as error:
        client.fetch_token(grant_type="client_credentials")
    assert error.value.error == "invalid_client"


def test_a_session_is_refreshed_as_the_public_client(site: Site) -> None:
    assert "none" in site.metadata["token_endpoint_auth_methods_supported"]
    begun = site.login()
    with site.client("gateway", method="none") as client:
        renewed = client.refresh_token(site.metadata["token_endpoint"], refresh_token=begun["refresh_token"])
        assert renewed["session_id"] == begun["session_id"]
        assert renewed["refresh_token"] != begun["refresh_token"]
        with pytest.raises(OAuthError) as error:
            client.refresh_token(site.metadata["token_endpoint"], refresh_token="gwr_nonsense")
    assert error.value.error == "invalid_grant"


def test_a_session_is_given_back_by_the_public_client(site: Site) -> None:
    begun = site.login()
    with site.client("gateway", method="none") as client:
        renewed = client.refresh_token(site.metadata["token_endpoint"], refresh_token=begun["refresh_token"])
        place = site.metadata["revocation_endpoint"]
        answer = client.revoke_token(place, token=renewed["refresh_token"], token_type_hint="refresh_token")
        assert (answer.status_code, answer.content) == (200, b"")
        with pytest.raises(OAuthError) as error:
            client.refresh_token(site.metadata["token_endpoint"], refresh_token=renewed["refresh_token"])
    assert error.value.error == "invalid_grant"
    seen = httpx.get(
        f"{site.url}/auth/session",
        headers={"Authorization": f"Bearer {renewed['access_token']}"},
        verify=site.trust,
        trust_env=False,
    )
    assert (seen.status_code, seen.json()["code"]) == (401, "token_revoked")
