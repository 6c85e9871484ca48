"""A row of somebody's table of users becomes a person.

Three columns are needed: `sub`, `username`, `password`. These may be there as well: `roles`, `permissions`, `scopes` (a
JSON list, words separated by spaces or commas, or an array), `tenant`, `claims` (JSON), `disabled`. Columns with other
names count for nothing.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.tokens.claims import is_text, names
from gateway.tokens.claims import scopes as read_scopes
from gateway.tokens.subject import Subject

_SPACES = re.compile(r"[\s,]+")


@dataclass(frozen=True, slots=True)
class Person:
    """One row."""

    subject: Subject
    password: str = field(repr=False)
    disabled: bool = False


class BadRow(Exception):
    """The row cannot be a person; the message names the column."""


def person(row: Mapping[str, object]) -> Person:
    """Return the person in *row*.

    Raises:
        BadRow: a column is missing or holds what no token can carry. A fault of the table, not of whoever logs in.
    """
    tenant = row.get("tenant")
    subject = Subject(
        sub=_text(row, "sub"),
        username=_text(row, "username"),
        roles=_words(row, "roles"),
        permissions=_words(row, "permissions"),
        scopes=_scopes(row),
        tenant=None if tenant in (None, "") else _text(row, "tenant"),
        claims=_claims(row),
    )
    password = row.get("password")
    # A NULL is somebody without a password (they log in elsewhere): nothing matches the empty hash.
    return Person(subject, password if isinstance(password, str) else "", bool(row.get("disabled")))


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    text = str(value) if value is not None else ""
    if not is_text(text):
        raise BadRow(name)
    return text


def _words(row: Mapping[str, object], name: str) -> tuple[str, ...]:
    words = _list(row, name)
    if names(words) is None:
        raise BadRow(name)
    return tuple(dict.fromkeys(words))


def _scopes(row: Mapping[str, object]) -> tuple[str, ...]:
    words = _list(row, "scopes")
    if not words:
        return ()
    if read_scopes(" ".join(words)) is None:
        raise BadRow("scopes")
    return tuple(dict.fromkeys(words))


def _list(row: Mapping[str, object], name: str) -> list[str]:
    value = row.get(name)
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _json(value, name)
    if isinstance(value, str):
        return [word for word in _SPACES.split(value) if word]
    if value is None:
        return []
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise BadRow(name)
    return list(value)


def _claims(row: Mapping[str, object]) -> Mapping[str, object]:
    value = row.get("claims")
    if isinstance(value, str) and value:
        value = _json(value, "claims")
    if not value:
        return {}
    if not isinstance(value, Mapping):
        raise BadRow("claims")
    return dict(value)


def _json(text: str, name: str) -> object:
    try:
        found: object = json.loads(text)
    except ValueError as error:
        raise BadRow(name) from error
    return found
