"""Every numbered statement about safety has a test that says so.

A statement is a letter and a number (A1 to G9: what a gateway must refuse), a number alone (the checklist of login,
tokens and sessions), or a few words (a fault that it must survive). A test names those it shows by a mark:

    @pytest.mark.item(1, "E3")
    def test_alg_none_in_any_spelling_is_refused(...): ...

`pytest --item E3` runs the tests of a statement. A statement without a test fails here, and so does a mark that names
none. 134 (LDAP) and 149 (logins at a foreign provider) are about what the gateway does not have.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def _numbers(first: int, last: int, letter: str = "") -> frozenset[str]:
    return frozenset(f"{letter}{number}" for number in range(first, last + 1))


STATEMENTS: dict[str, frozenset[str]] = {
    "HTTP/1 framing": _numbers(1, 24, "A"),
    "target, host, path": _numbers(1, 25, "B"),
    "headers and identity": _numbers(1, 18, "C"),
    "upgrade and WebSocket": _numbers(1, 9, "D"),
    "tokens and keys, as others got them wrong": _numbers(1, 20, "E"),
    "refresh, revocation, login, as others got them wrong": _numbers(1, 13, "F"),
    "answers of upstreams": _numbers(1, 9, "G"),
    "the form of a token": _numbers(1, 30),
    "the claims of a token": _numbers(31, 55),
    "credentials and headers": _numbers(56, 75),
    "refresh and sessions": _numbers(76, 98),
    "revocation": _numbers(99, 114),
    "login and passwords": _numbers(115, 135) - {"134"},
    "cookies and forgery": _numbers(136, 155) - {"149"},
    "errors, logs, admin": _numbers(156, 171),
    "faults of the store": frozenset(
        (
            "store is down at the start",
            "store dies",
            "store is frozen",
            "store is slow",
            "store is full",
            "store may forget",
            "store refuses the password",
            "permission is taken away",
            "busy script",
            "script cache is lost",
            "no replicas",
            "too many clients",
            "ambiguous write",
            "failover",
        )
    ),
    "faults of keys and their servers": frozenset(("key turns under load", "key server is down")),
    "faults of the process": frozenset(
        (
            "clock is wrong",
            "clock steps",
            "invalid reload",
            "reload under load",
            "SIGTERM with streams",
            "SIGKILL",
            "file descriptors run out",
            "disk full for logs",
            "log reader blocked",
            "event loop stalls",
            "memory",
        )
    ),
    "faults of upstreams and clients": frozenset(
        (
            "upstream refuses",
            "upstream is slow or frozen",
            "upstream resets in its answer",
            "half-open connection",
            "upstream trickles",
            "upstream answers early",
            "client sends its head slowly",
            "client sends its body slowly",
            "client reads slowly",
            "client leaves in its upload",
            "client leaves in its download",
            "name changes or is lost",
            "upstream sends a bad head",
            "upstream floods with 1xx",
            "upstream switches unasked",
        )
    ),
}

KNOWN = frozenset[str]().union(*STATEMENTS.values())
_NUMBERED = re.compile(r"test((?:_[a-g]?[0-9]+)+)_")
"""A name that begins as a statement is called."""


Test = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(source: str) -> Iterator[Test]:
    """Yield every function and class of *source*."""
    yield from (node for node in ast.walk(ast.parse(source)) if isinstance(node, Test))


def marked(test: Test) -> Iterator[str]:
    """Yield the statements that *test* says it shows."""
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.item":
            if not test.name.lower().startswith("test"):
                raise ValueError(f"{test.name} is marked and is no test")
            yield from (str(ast.literal_eval(argument)) for argument in mark.args)


@pytest.fixture(scope="module")
def tests() -> tuple[Test, ...]:
    return tuple(test for path in TESTS.rglob("*.py") for test in definitions(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def shown(tests: tuple[Test, ...]) -> frozenset[str]:
    return frozenset(name for test in tests for name in marked(test))


@pytest.mark.parametrize("family", STATEMENTS)
def test_every_statement_has_a_test(family: str, shown: frozenset[str]) -> None:
    assert sorted(STATEMENTS[family] - shown) == []


def test_every_mark_is_of_a_statement(shown: frozenset[str]) -> None:
    assert sorted(shown - KNOWN) == []


def test_no_name_does_what_a_mark_is_for(tests: tuple[Test, ...]) -> None:
    """It would look as if the statement were shown, and would not be counted."""
    fronts = {test.name: front[1].upper().split("_") for test in tests if (front := _NUMBERED.match(test.name))}
    assert [name for name, numbers in fronts.items() if not KNOWN.isdisjoint(numbers)] == []


def test_marks_are_read_on_functions_and_classes_and_nowhere_else() -> None:
    source = "@pytest.mark.item('E3', 17)\nasync def test_y(): ...\n\n@pytest.mark.item(2)\nclass TestA: ...\n"
    assert sorted(name for test in definitions(source) for name in marked(test)) == ["17", "2", "E3"]
    (helper,) = definitions("@pytest.mark.item(1)\ndef helper(): ...")
    with pytest.raises(ValueError, match="no test"):
        list(marked(helper))
