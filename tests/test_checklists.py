"""Every numbered statement about safety has a test that names it.

A statement is a letter and a number (A1 to G9: what a gateway must refuse), a number alone (the checklist of login,
tokens and sessions), or a few words (a fault that it must survive). A test names the ones it shows at the front of its
name, as in `test_a4_only_chunked_once` or `test_b3_b8_encoded_separators`, or, where that reads badly, by a mark:

    @pytest.mark.item("E3", 1)
    def test_alg_none_in_any_spelling_is_refused(...): ...
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
_NAMED = re.compile(r"test((?:_[a-g]?[0-9]+)+)_")

STATEMENTS: dict[str, frozenset[str]] = {
    "HTTP/1 framing": frozenset(f"A{number}" for number in range(1, 25)),
    "target, host, path": frozenset(f"B{number}" for number in range(1, 26)),
    "headers and identity": frozenset(f"C{number}" for number in range(1, 19)),
    "upgrade and WebSocket": frozenset(f"D{number}" for number in range(1, 10)),
    "answers of upstreams": frozenset(f"G{number}" for number in range(1, 10)),
    "errors, logs, admin": frozenset(str(number) for number in range(156, 172)),
    "faults of the process": frozenset(
        (
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


def named(source: str) -> Iterator[str]:
    """Yield the statements that the tests in *source* name."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        front = _NAMED.match(node.name)
        if front is not None:
            yield from front[1].upper().split("_")[1:]
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.item":
                yield from (str(ast.literal_eval(argument)) for argument in mark.args)


@pytest.fixture(scope="module")
def found() -> frozenset[str]:
    return frozenset(name for path in TESTS.rglob("test_*.py") for name in named(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("family", STATEMENTS)
def test_every_statement_has_a_test(family: str, found: frozenset[str]) -> None:
    assert sorted(STATEMENTS[family] - found) == []


def test_names_and_marks_are_both_read() -> None:
    source = "def test_a1_b22_x(): ...\n\n@pytest.mark.item('E3', 17)\nasync def test_y(): ...\n\ndef test_abc(): ...\n"
    assert sorted(named(source)) == ["17", "A1", "B22", "E3"]
