"""An htpasswd file and its groups file, as Apache and nginx read them, become records of users.

What is wrong is told by line, and no line is ever quoted: there is a hash on each. A hash of a kind that we do not
verify (`{SHA}`, `$apr1$`, crypt) is nothing wrong, and matches nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from gateway.config.document import MAX_BYTES, contents
from gateway.config.faults import Fault, FaultyFile, Source
from gateway.config.rule_checks import unknown_role
from gateway.config.verify import HtpasswdConfig
from gateway.errors import ConfigError
from gateway.users.file import UserRecord, fault, normal_name

_LOCKS = "!*"
"""Before a hash: nobody logs in by it, as in shadow(5)."""

Say = Callable[[int, str, str], None]
"""Told the line, what is wrong with it, and what to do."""


def htpasswd_users(written: HtpasswdConfig, roles: Iterable[str]) -> Mapping[str, UserRecord]:
    """Return the people of *written* by their names; *roles* are those of the configuration.

    Raises:
        ConfigError: a file cannot be used; every fault is listed with its line.
    """
    records, faults = read_htpasswd(written, tuple(roles))
    if faults:
        raise FaultyFile(faults)
    return records


def read_htpasswd(written: HtpasswdConfig, known: tuple[str, ...]) -> tuple[Mapping[str, UserRecord], list[Fault]]:
    """Return the people of *written*, and everything that is wrong; *known* are the roles there are.

    Raises:
        ConfigError: a file cannot be read.
    """
    faults: list[Fault] = []
    say = _teller(written.file, faults)
    hashes = _hashes(written.file, say)
    if not hashes and not faults:
        # An aborted rewrite leaves an empty file, and taking that for the truth would end everybody's session.
        say(1, "nobody is in the file", "make the first user with: htpasswd -B; ! before a hash disables one")
    spelt = {normal_name(name): name for name in hashes}
    roles: dict[str, tuple[str, ...]] = dict.fromkeys(hashes, written.roles)
    if written.groups_file is not None:
        for group, members in _groups(written.groups_file, known, _teller(written.groups_file, faults)):
            for member in members:
                name = spelt.get(normal_name(member))
                if name is not None and group not in roles[name]:
                    roles[name] = (*roles[name], group)
    return {name: _record(encoded, roles[name]) for name, encoded in hashes.items()}, faults


def strangers(written: HtpasswdConfig, users: Iterable[str]) -> list[str]:
    """Return a sentence for each member of a group of *written* who is none of *users*, and so gets nothing by it."""
    if written.groups_file is None:
        return []
    there = {normal_name(name) for name in users}
    try:
        lines = [*_lines(written.groups_file, "", lambda _line, _reason, _hint: None)]
    except ConfigError:  # it went only now; the next reload says so
        return []
    return [
        f"{written.groups_file}:{number}: {member!r} of {group!r} is nobody in {written.file}"
        for number, group, members in lines
        for member in members.split()
        if normal_name(member) not in there
    ]


def _record(encoded: str, roles: tuple[str, ...]) -> UserRecord:
    return UserRecord(encoded.lstrip(_LOCKS), roles=roles, disabled=encoded.startswith(tuple(_LOCKS)))


def _hashes(path: Path, say: Say) -> dict[str, str]:
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    for number, name, rest in _lines(path, "name:hash", say):
        # Some keep a comment behind another colon, as in passwd(5).
        encoded = rest.partition(":")[0].strip()
        if (reason := fault(name, _record(encoded, ()), any_hash=True)) is not None:
            say(number, reason, "")
        elif (first := lines.setdefault(normal_name(name), number)) != number:
            say(number, f"user {name!r} is there twice, first on line {first}; case does not matter", "remove one")
        else:
            found[name] = encoded
    return found


def _groups(path: Path, known: tuple[str, ...], say: Say) -> Iterator[tuple[str, list[str]]]:
    for number, group, members in _lines(path, "role: name name", say):
        if group not in known:
            say(number, *unknown_role(group, known))
        else:
            yield group, members.split()


def _lines(path: Path, form: str, say: Say) -> Iterator[tuple[int, str, str]]:
    """Yield number, name and rest of every line of *path* that says something."""
    raw = contents(path)
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path}: the file has {len(raw)} bytes; {MAX_BYTES} are read at most")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: the file is not UTF-8") from error
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, rest = line.removesuffix("\r").partition(":")
        if colon:
            yield number, name, rest
        else:
            say(number, "there is no colon", f"a line is {form}")


def _teller(path: Path, faults: list[Fault]) -> Say:
    source = Source(str(path), ())
    return lambda line, reason, hint: faults.append(Fault(source, line, 1, "", reason, hint))
