"""What common providers publish and issue, as their own documentation and servers show it, with our keys put in.

Of each: the document that names the place of the keys, the set of keys there, and an access token's header and claims.
Members that the gateway does not read are kept, because real documents have them.
"""

from typing import Any, NamedTuple

from gateway.tokens.signing import SigningKey
from tests.tokens.forge import NOW, key_for, signed

KEY, ENCRYPTION = key_for("RS256", 31), key_for("RS256", 32)


class Recorded(NamedTuple):
    """One provider."""

    discovery: dict[str, object]
    keys: list[dict[str, object]]
    header: dict[str, object]
    claims: dict[str, object]
    roles: frozenset[str]
    """Of ours, that the claims stand for with the settings of the documentation."""

    @property
    def jwks(self) -> dict[str, object]:
        return {"keys": self.keys}

    def token(self, **changes: object) -> bytes:
        return signed(KEY, self.header, {**self.claims, **changes})


def public(key: SigningKey, kid: str, **members: object) -> dict[str, object]:
    """Return the public part of *key* with the members its publisher adds; one that is None is left out."""
    jwk: dict[str, object] = {**(key.jwk() or {}), "kid": kid, **members}
    return {name: value for name, value in jwk.items() if value is not None}


_CERTIFICATE = {"x5c": ["MIICmzCCAYMCBgGCxample"], "x5t": "xZ8dkPDSUTqxlVtJGTVzSDhyfKs"}
_TIMES = {"iat": NOW - 10, "exp": NOW + 290}


def _keycloak() -> Recorded:
    realm = "https://id.example.com/realms/shop"
    connect = f"{realm}/protocol/openid-connect"
    kid = "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE"
    return Recorded(
        {
            "issuer": realm,
            "authorization_endpoint": f"{connect}/auth",
            "token_endpoint": f"{connect}/token",
            "introspection_endpoint": f"{connect}/token/introspect",
            "jwks_uri": f"{connect}/certs",
            "grant_types_supported": ["authorization_code", "implicit", "refresh_token", "password"],
            "id_token_signing_alg_values_supported": ["PS384", "RS384", "EdDSA", "ES384", "HS256", "RS256"],
            "mtls_endpoint_aliases": {"token_endpoint": f"{connect}/token"},
            "authorization_response_iss_parameter_supported": True,
        },
        [
            public(ENCRYPTION, "enc", alg="RSA-OAEP", use="enc", **_CERTIFICATE),
            public(KEY, kid, use="sig", **_CERTIFICATE, **{"x5t#S256": "ZL4f4HqlC0mZ0sDdMb6T1Y7XyAm1dG0sn0n3lbWLiaQ"}),
        ],
        {"alg": "RS256", "typ": "JWT", "kid": kid},
        {
            **_TIMES,
            "auth_time": NOW - 10,
            "jti": "onrtac:8e6b7a8c-0d1f-4c5b-9a54-2d7a1b7f6b0e",
            "iss": realm,
            "aud": ["orders", "account"],
            "sub": "f:0f3ad9a7:alice",
            "typ": "Bearer",
            "azp": "web",
            "sid": "6f1a6a0e-2f3e-4a1d-8f0a-0b8f5d9c1e2a",
            "acr": "1",
            "allowed-origins": ["https://shop.example.com"],
            "realm_access": {"roles": ["default-roles-shop", "offline_access", "ORDERS_ADMIN"]},
            "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
            "scope": "email profile",
            "email_verified": True,
            "preferred_username": "alice",
        },
        frozenset({"admin"}),
    )


def _auth0() -> Recorded:
    tenant, kid = "https://shop.eu.auth0.com/", "NjVBRjY5MDlCMUIwNzU4RTA2QzZFMDQ4QzQ2MDAyQjVDNjk1RTM2Qg"
    return Recorded(
        {
            "issuer": tenant,
            "authorization_endpoint": f"{tenant}authorize",
            "token_endpoint": f"{tenant}oauth/token",
            "userinfo_endpoint": f"{tenant}userinfo",
            "jwks_uri": f"{tenant}.well-known/jwks.json",
            "id_token_signing_alg_values_supported": ["HS256", "RS256", "PS256"],
            "request_uri_parameter_supported": False,
        },
        [public(KEY, kid, use="sig", **_CERTIFICATE)],
        {"alg": "RS256", "typ": "at+jwt", "kid": kid},
        {
            **_TIMES,
            "https://example.com/roles": ["member", "newsletter"],
            "iss": tenant,
            "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
            "aud": ["https://orders.example.com", "https://shop.eu.auth0.com/userinfo"],
            "scope": "openid profile read:orders",
            "azp": "my_client_id",
            "permissions": ["read:orders"],
        },
        frozenset({"user"}),
    )


def _entra() -> Recorded:
    tenant = "72f988bf-86f1-41af-91ab-2d7cd011db47"
    base, kid = f"https://login.microsoftonline.com/{tenant}", "nOo3ZDrODXEK1jKWhXslHR_KXEg"
    issuer = f"{base}/v2.0"
    return Recorded(
        {
            "token_endpoint": f"{base}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{base}/discovery/v2.0/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
            "issuer": issuer,
            "request_uri_parameter_supported": False,
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "tenant_region_scope": "WW",
            "cloud_instance_name": "microsoftonline.com",
        },
        [
            public(
                KEY, kid, alg=None, use="sig", issuer=issuer, cloud_instance_name="microsoftonline.com", **_CERTIFICATE
            )
        ],
        {"typ": "JWT", "alg": "RS256", "kid": kid},
        {
            "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "iss": issuer,
            **_TIMES,
            "nbf": NOW - 10,
            "aio": "AXQAi/8IAAAAFm+E/QTG+gFnVxLjWdw8K+61AGrSOuMMF6ebaMj7XO3IbmD3fGmrOyD+w==",
            "azp": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
            "azpacr": "0",
            "name": "Alice",
            "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
            "preferred_username": "alice@example.com",
            "rh": "I",
            "roles": ["Orders.Admin"],
            "scp": "access_as_user",
            "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
            "tid": tenant,
            "uti": "fqiBqXLPj0eQa82S-IYFAA",
            "ver": "2.0",
        },
        frozenset({"admin"}),
    )


def _cognito() -> Recorded:
    pool = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEf123"
    kid = "KPiFzmZ3tzTl07B2YcCyVFsqdXqlXC2Z5IJuLQCXzXk="
    return Recorded(
        {
            "authorization_endpoint": "https://shop.auth.eu-west-1.amazoncognito.com/oauth2/authorize",
            "id_token_signing_alg_values_supported": ["RS256"],
            "issuer": pool,
            "jwks_uri": f"{pool}/.well-known/jwks.json",
            "response_types_supported": ["code", "token"],
            "subject_types_supported": ["public"],
        },
        [public(ENCRYPTION, "another=", use="sig"), public(KEY, kid, use="sig")],
        {"kid": kid, "alg": "RS256"},
        {
            "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
            "cognito:groups": ["admins", "testers"],
            "iss": pool,
            "version": 2,
            "client_id": "1example23456789",
            "origin_jti": "aaaaaaaa-bbbb-cccc-dddd-example",
            "event_id": "bbbbbbbb-cccc-dddd-eeee-example",
            "token_use": "access",
            "scope": "aws.cognito.signin.user.admin",
            "auth_time": NOW - 10,
            **_TIMES,
            "jti": "cccccccc-dddd-eeee-aaaa-example",
            "username": "alice",
        },
        frozenset({"admin"}),
    )


def _google() -> Recorded:
    kid = "5aaff47c21d06e266cce395b2145c7c6d4730ea5"
    return Recorded(
        {
            "issuer": "https://accounts.google.com",
            "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
            "token_endpoint": "https://oauth2.googleapis.com/token",
            "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
            "id_token_signing_alg_values_supported": ["RS256"],
        },
        [public(ENCRYPTION, "other", use="sig"), public(KEY, kid, use="sig")],
        {"alg": "RS256", "kid": kid, "typ": "JWT"},
        {
            "iss": "https://accounts.google.com",
            "azp": "1234987819200.apps.googleusercontent.com",
            "aud": "1234987819200.apps.googleusercontent.com",
            "sub": "10769150350006150715113082367",
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "hd": "example.com",
            "email": "jsmith@example.com",
            "email_verified": True,
            **_TIMES,
            "nonce": "0394852-3190485-2490358",
        },
        frozenset(),
    )


RECORDED = {
    "keycloak": _keycloak(),
    "auth0": _auth0(),
    "entra": _entra(),
    "cognito": _cognito(),
    "google": _google(),
}

OTHER_AUDIENCE: dict[str, dict[str, Any]] = {"cognito": {"client_id": "another"}}
"""The claims of a token for somebody else's service, where that is not `aud`."""
