"""What cannot change while the gateway runs: what was opened, started or derived with it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.config.addresses import Address
from gateway.config.document import Loc
from gateway.config.models import Config


class _Fixed(NamedTuple):
    loc: Loc
    value: Callable[[Config], object]
    why: str


_FIXED = (
    _Fixed(("server", "listen"), lambda config: config.server.listen, "the listener is open"),
    _Fixed(("server", "admin", "listen"), lambda config: config.server.admin.listen, "the listener is open"),
    _Fixed(("server", "tls"), lambda config: bool(config.server.tls), "the listener speaks TLS or it does not"),
    _Fixed(("server", "data_dir"), lambda config: config.server.data_dir, "keys and sessions are there"),
    _Fixed(("server", "secret"), lambda config: config.server.secret, "every session depends on it"),
    _Fixed(("tokens", "issuer"), lambda config: config.effective.issuer, "every session belongs to it"),
    _Fixed(("store",), lambda config: config.store, "sessions are there"),
    _Fixed(("tokens", "keys", "alg"), lambda config: config.tokens.keys.alg, "keys were made with it"),
    _Fixed(("tokens", "keys", "store"), lambda config: config.tokens.keys.store, "keys are there"),
    _Fixed(("tokens", "keys", "rotate"), lambda config: config.tokens.keys.rotate, "keys turn by it"),
    _Fixed(("tokens", "keys", "publish_ahead"), lambda config: config.tokens.keys.publish_ahead, "keys turn by it"),
    _Fixed(("tokens", "keys", "seal"), lambda config: config.tokens.keys.seal, "keys are kept so"),
    _Fixed(("tokens", "keys", "store"), lambda config: config.tokens.keys.store, "keys are kept there"),
    _Fixed(("tokens", "keys", "files"), lambda config: bool(config.tokens.keys.files), "keys are made, or given"),
    _Fixed(
        ("login", "hash_threads"),
        lambda config: config.login.hash_threads if config.login else None,
        "the threads are there",
    ),
)


def fixed_changes(old: Config, new: Config) -> Iterator[tuple[Loc, str]]:
    """Yield where *new* changes what cannot change, and the reason for people."""
    for loc, value, why in _FIXED:
        was, is_ = value(old), value(new)
        follows = loc == ("tokens", "issuer") and old.server.listen != new.server.listen
        if was != is_ and not follows:
            shown = f": {_text(was)} → {_text(is_)}" if isinstance(was, str | int | float | bool | Address) else ""
            yield loc, f"this cannot change by a reload, because {why}{shown}"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
