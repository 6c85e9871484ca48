"""What is allowed and still worth a second look: said by `gateway check`, and once at the start."""

from collections.abc import Iterator, Mapping

from gateway.config.htpasswd import strangers
from gateway.config.models import Config
from gateway.users.file import UserRecord, caution

_MOST_NAMED = 10
"""Of a kind; a file that was taken over from another server may be full of what cannot be used here."""


def cautions(config: Config, users: Mapping[str, UserRecord]) -> list[str]:
    """Return one sentence with its remedy for everything in *config* and *users* that may not be meant."""
    return [*_server(config), *_tokens(config), *_limits(config), *_upstreams(config), *_users(config, users)]


def _server(config: Config) -> Iterator[str]:
    server, derived = config.server, config.effective
    if derived.embedded and not server.listen.loopback:
        yield (
            f"store: the embedded store serves this gateway alone, and it listens on {server.listen}; "
            "a second gateway would know nothing of its logins and revocations"
        )
    if server.insecure_http and not derived.secure and not server.listen.loopback:
        yield "server.insecure_http: passwords and tokens cross the network in clear"
    if not server.admin.listen.loopback and server.admin.token is None:
        yield f"server.admin: /metrics is open to everybody who reaches {server.admin.listen}; /admin is closed"


def _tokens(config: Config) -> Iterator[str]:
    keys = config.tokens.keys
    if keys.files and keys.model_fields_set & {"store", "rotate", "publish_ahead", "seal"}:
        yield (
            "tokens.keys: keys from files are kept, turned and sealed by whoever writes them; store, rotate and seal "
            "do nothing"
        )
    if not config.effective.embedded and not config.effective.keys_in_store and not keys.files:
        yield (
            "tokens.keys.store: each data directory has keys of its own, so gateways that share the store and no "
            "directory refuse each other's tokens; remove it to keep the keys in the store"
        )
    if not config.effective.embedded and config.tokens.issuer is None and config.server.public_url is None:
        yield (
            f"tokens.issuer: it is {config.effective.issuer}, after server.listen; gateways that share the store and "
            "listen elsewhere refuse each other's tokens; set server.public_url, or the issuer"
        )
    for name, issuer in config.trusted_issuers.items():
        where = f"trusted_issuers.{name}"
        if issuer.fetched and not issuer.place.startswith("https://"):
            yield f"{where}: its keys are fetched without TLS; whoever is in between can sign tokens"
        if config.login is not None and issuer.subject_prefix is None:
            yield (
                f"{where}: a subject of theirs can have the name of one of ours; set subject_prefix, or see to it that "
                "every upstream looks at X-User-Issuer"
            )


def _limits(config: Config) -> Iterator[str]:
    own = [rule for route in config.routes for rule in route.method_rules.values() if rule is not None]
    used = {name for written in (config.defaults, *config.routes, *own) for name in written.limit}
    for name in config.limits:
        if name not in used:
            yield f"limits.{name}: no route names it, so it limits nobody"


def _upstreams(config: Config) -> Iterator[str]:
    used = {route.to for route in config.routes}
    for name, upstream in config.upstreams.items():
        if name not in used:
            yield f"upstreams.{name}: no route leads there"
        if upstream.tls is not None and upstream.tls.insecure_skip_verify:
            yield f"upstreams.{name}.tls: certificates are not verified, so anybody in between can read and change"


def _users(config: Config, users: Mapping[str, UserRecord]) -> Iterator[str]:
    verify = None if config.login is None else config.login.verify
    if verify is not None and verify.users_file is not None and not users:
        yield f"{verify.users_file}: nobody can log in; make a password hash with: gateway users hash"
    if verify is not None and verify.callout is not None and verify.callout.insecure_http:
        yield "login.verify.callout.insecure_http: passwords go to the users' service in clear"
    demo = [name for name, record in users.items() if record.demo]
    if demo:
        yield f"demo users ({', '.join(demo)}) have passwords that everybody knows; they are for this machine only"
    reasons = [reason for name, record in users.items() if (reason := caution(name, record)) is not None]
    yield from _first(reasons, "users have hashes that no password matches")
    if verify is not None and verify.htpasswd is not None:
        yield from _first(strangers(verify.htpasswd, users), "members of groups are nobody")


def _first(reasons: list[str], others: str) -> Iterator[str]:
    yield from reasons[:_MOST_NAMED]
    if more := len(reasons[_MOST_NAMED:]):
        yield f"{more} more {others}"
