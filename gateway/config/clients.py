"""The section `clients`: programs that get tokens for themselves, and how they prove who they are."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from gateway.config.entries import Words
from gateway.config.faults import Wrong, meant
from gateway.config.findings import Finding
from gateway.config.foreign import foreign_keys
from gateway.config.model import ListOf, Model, distinct
from gateway.config.values import FilePath, Text
from gateway.errors import ConfigError
from gateway.tokens.clients import DIGEST, Client, digest
from gateway.tokens.jwks import ForeignKeys
from gateway.tokens.subject import Brought, permissions_of
from gateway.tokens.weak import weakness
from gateway.users.passwords import cost_of

LEAST_SECRET = 32
"""Characters of a secret in a file; `openssl rand -hex 32` gives 64."""


def client_name(value: str) -> str:
    """Return *value* when it can be a `client_id` that means the same in a URL, a header and a log."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value) is None:
        raise Wrong(f'"{value}" is no name for a client: at most 64 letters, digits, "-", "_" and "."')
    return value


def _stored(value: str) -> str:
    if re.fullmatch(DIGEST + "[0-9A-Fa-f]{64}", value):
        return value
    cost = cost_of(value)
    if cost is None:
        raise Wrong(
            "this is no stored form of a secret",
            'write "sha256:" and the digest: printf %s "$SECRET" | sha256sum; or a hash of argon2id',
        )
    if cost.absurd:
        raise Wrong("checking this hash would cost more than a login ever may")
    return value


class ClientKeyConfig(Model):
    """The public half of a key the client signs with, PEM or JWK."""

    file: FilePath
    alg: Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
    kid: Annotated[Text, Field(max_length=255)] | None = None
    """Absent: the key for every assertion of this algorithm."""


class ClientConfig(Model):
    """A program; its name is its `client_id`."""

    secret_hash: Annotated[
        tuple[Annotated[Text, AfterValidator(_stored)], ...],
        AfterValidator(distinct),
        BeforeValidator(
            lambda value: [value] if isinstance(value, str) else value, json_schema_input_type=str | list[str]
        ),
    ] = ()
    """sha256:… of a generated secret, or argon2id; two while a secret is being replaced."""
    secret_file: FilePath | None = None
    """The secret itself, in a file that nobody else can read."""
    keys: ListOf[ClientKeyConfig] = ()
    """For private_key_jwt: nothing secret is kept here."""
    roles: Words = ()
    permissions: Words = ()
    scopes: Words = ()
    """Those it may ask for; it gets all of them when it names none."""
    tenant: Text | None = None


def own_findings(clients: Iterable[str], own: str | None) -> Iterator[Finding]:
    """Yield what is wrong with *clients* beside *own*, the gateway's own client, None without logins."""
    for name in clients:
        if own is None:
            yield Finding((name,), "clients get their tokens below login.base_path", "add the section login:", True)
        if name == own:
            yield Finding((name,), "this is login.client_id, the client of the people who log in", at_key=True)


def findings(clients: Mapping[str, ClientConfig], roles: Iterable[str], whole: Container[str]) -> Iterator[Finding]:
    """Yield what is wrong with *clients*; all but those in *whole* lost keys."""
    known = tuple(roles)
    for name, client in clients.items():
        if name in whole and not (client.secret_hash or client.secret_file or client.keys):
            hint = "write secret_hash, secret_file or keys"
            yield Finding((name,), "it cannot prove who it is", hint, True)
        for at, role in enumerate(client.roles):
            if role not in known:
                hint = meant(role, known) or f"add {role}: {{}} to roles:"
                yield Finding((name, "roles", at), f'no role is called "{role}"', hint)


def registered(clients: Mapping[str, ClientConfig], brought: Brought) -> dict[str, Client]:
    """Return the programs of the file by their names, with the files they name read.

    *brought* is what their roles bring along.

    Raises:
        ConfigError: a file cannot be used.
    """
    return {name: _registered(name, written, brought) for name, written in clients.items()}


def _registered(name: str, written: ClientConfig, brought: Brought) -> Client:
    where = f"clients.{name}"
    secrets = written.secret_hash
    if written.secret_file is not None:
        secrets = (*secrets, _digest_of_file(f"{where}.secret_file", written.secret_file))
    keys = foreign_keys(where, written.keys)
    return Client(
        name,
        secrets,
        ForeignKeys(keys) if keys else None,
        written.roles,
        tuple(sorted(permissions_of(written.roles, brought).union(written.permissions))),
        written.scopes,
        written.tenant,
    )


def _digest_of_file(where: str, path: FilePath) -> str:
    try:
        secret = path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: {path}: {error}") from error
    if (why := weakness(secret.encode(), LEAST_SECRET)) is not None:
        raise ConfigError(f"{where}: {path}: {why}; make one with: openssl rand -hex 32")
    return digest(secret)
