"""From the file to frozen values, or to the list of everything that is wrong with it.

In this order: read the YAML, fill in the environment, read the files that hold secrets, check every value by itself,
then check what values mean together. Faults of all steps are reported at once; a key, an entry or a section that is
broken is left out of the later steps, so that one mistake is not reported twice and hides no other.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from gateway.config import checks
from gateway.config.document import BROKEN, Document, Loc, contents, read
from gateway.config.draft import Draft
from gateway.config.explain import note_all
from gateway.config.faults import FaultyFile, Wrong
from gateway.config.including import include
from gateway.config.interpolation import expander, file_bytes
from gateway.config.mending import left_of, mended
from gateway.config.models import Config
from gateway.config.users import user_faults
from gateway.config.values import Secret
from gateway.tokens.weak import weakness

# What the environment gives when the file is silent. No more: Kubernetes sets names like GATEWAY_PORT itself.
_FROM_ENVIRONMENT: dict[Loc, str] = {
    ("server", "listen"): "GATEWAY_LISTEN",
    ("server", "admin", "listen"): "GATEWAY_ADMIN_LISTEN",
    ("store", "url"): "GATEWAY_STORE_URL",
}


class _SecretField(NamedTuple):
    section: Loc
    key: str
    least: int
    """Bytes; 0 takes anything."""


_SECRETS = (
    _SecretField(("server",), "secret", 32),
    _SecretField(("server", "admin"), "token", 16),
    _SecretField(("store",), "password", 0),
    _SecretField(("store",), "sentinel_password", 0),
    _SecretField(("login", "verify", "database"), "password", 0),
    _SecretField(("login", "verify", "callout"), "token", 16),
)


def load(path: Path, environ: Mapping[str, str], seen: set[Path] | None = None) -> Config:
    """Return the configuration in *path*, with *environ* filled in and relative paths taken from its directory.

    The files that were read, or should have been, are added to *seen*, whatever becomes of them.

    Raises:
        ConfigError: the file cannot be used; the message lists every fault with its line and what to write instead.
    """
    seen = set() if seen is None else seen
    seen.add(path)
    document = _document(path, environ, seen)
    faults = list(document.faults)
    config = None
    if isinstance(document.data, dict):
        draft = _draft(document, path.parent)
        config = draft.config
        checks.check(draft)
        faults = [*document.faults, *user_faults(draft)]
    if faults or config is None:
        raise FaultyFile(faults)
    return config.written(document)


def data_dir_of(path: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the data directory that a file names which may have faults elsewhere; None when that cannot be told."""
    document = read(str(path), contents(path), expand=expander(environ, path.parent))
    written = document.data.get("server", {}) if isinstance(document.data, dict) else {}
    named = written.get("data_dir") if isinstance(written, dict) else None
    if isinstance(named, str):
        return path.parent / named
    return Path(environ["GATEWAY_DATA_DIR"]) if named is None and environ.get("GATEWAY_DATA_DIR") else None


def _document(path: Path, environ: Mapping[str, str], seen: set[Path]) -> Document:
    expand = expander(environ, path.parent, seen.add)
    document = read(str(path), contents(path), expand=expand, may_be_empty=_may_be_empty)
    document.files = seen
    if isinstance(document.data, dict):

        def part(file: Path) -> Document:
            seen.add(file)
            return read(str(file), contents(file), expand=expand, may_be_empty=_may_be_empty)

        include(document, path.parent, part, seen.add)
        _borrow(document, environ)
        for field in _SECRETS:
            _fill_in_secret(document, field, path.parent)
    elif document.data is None and not document.faults:
        document.fault((), "the file is empty", "it begins with version: 1")
    elif not document.faults:
        document.fault((), "keys with values are needed at the top, beginning with version: 1")
    return document


def _may_be_empty(loc: Loc) -> bool:
    """Say whether a key with nothing behind it is complete: ``user:`` as a role, ``GET:`` as a method of a route."""
    return (len(loc) == 2 and loc[0] == "roles") or (len(loc) == 4 and loc[0] == "routes" and loc[2] == "methods")


def _borrow(document: Document, environ: Mapping[str, str]) -> None:
    for loc, name in _FROM_ENVIRONMENT.items():
        section = _section(document, loc[:-1], make=name in environ)
        if name in environ and section is not None and loc[-1] not in section:
            section[str(loc[-1])] = environ[name]
            document.borrowed[loc] = name


def _section(document: Document, loc: Loc, *, make: bool = False) -> dict[str, object] | None:
    """Return the mapping at *loc*, made when it is missing; None when something else is there."""
    here = document.data
    for step in loc:
        if not isinstance(here, dict):
            return None
        if step not in here and make:
            here[step] = {}
        here = here.get(step)
    return here if isinstance(here, dict) else None


def _fill_in_secret(document: Document, field: _SecretField, directory: Path) -> None:
    """Read ``x_file`` into ``x``, and see that the secret is one."""
    section = _section(document, field.section)
    if section is None:
        return
    file_key = f"{field.key}_file"
    at: Loc = (*field.section, field.key if field.key in section else file_key)
    try:
        if field.key in section and file_key in section:
            raise Wrong(f"{field.key} and {file_key} are both there", "remove one of them")
        if isinstance(file := section.get(file_key), str):
            path = directory / file
            section[field.key] = _strong(Secret(file_bytes(path)), field, f" (read from {path})", str(path))
        elif isinstance(text := section.get(field.key), str) and text:
            section[field.key] = _strong(Secret(text.encode()), field, "", "FILE")
    except Wrong as wrong:
        document.fault(at, wrong.reason, wrong.hint, at_key=wrong.hint == "remove one of them")
        section[field.key] = BROKEN


def _strong(secret: Secret, field: _SecretField, source: str, file: str) -> Secret:
    if not secret.value:
        raise Wrong(f"the secret is empty{source}")
    if field.key == "password" and not _is_utf8(secret.value):
        raise Wrong(f"the password is not UTF-8{source}")
    if field.least and (reason := weakness(secret.value, field.least)):
        raise Wrong(f"{reason}{source}", f"make one with: openssl rand -hex {max(field.least, 16)} > {file}")
    return secret


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _draft(document: Document, directory: Path) -> Draft:
    """Validate the document; of a faulty one, return what is left without the faulty sections, entries and keys."""
    data = document.data
    assert isinstance(data, dict)

    def validate(value: object) -> Config:
        return Config.model_validate(value, context={"directory": directory})

    try:
        config = validate(data)
        return Draft(document, config, tuple(range(len(config.routes))), frozenset(), frozenset())
    except ValidationError as invalid:
        locs: list[Loc] = [error["loc"] for error in note_all(document, Config, invalid)]
    config, indexes = left_of(data, locs, validate)
    return Draft(document, config, indexes, mended(locs), frozenset(str(loc[0]) for loc in locs))
