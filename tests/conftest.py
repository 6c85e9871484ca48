"""What holds for the whole suite: a missing program is never silent, and statements can be asked for by name."""

import os
import re
from collections import Counter
from collections.abc import Generator

import pytest

from tests.programs import KNOWN
from tests.redaction import leaks

_NAMED = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, KNOWN))})(?![\w-])", re.IGNORECASE)
_not_run: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--item", help="run the tests of one statement only, as in --item 77; see tests/test_checklists.py"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--item")
    if wanted is not None:
        sorted_out: dict[bool, list[pytest.Item]] = {True: [], False: []}
        for item in items:
            sorted_out[any(wanted in map(str, mark.args) for mark in item.iter_markers("item"))].append(item)
        items[:] = sorted_out[True]
        config.hook.pytest_deselected(items=sorted_out[False])


def _program(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """The program whose absence skipped this test, if that is what happened."""
    if not report.skipped or hasattr(report, "wasxfail") or not isinstance(report.longrepr, tuple):
        return None
    named = _NAMED.search(report.longrepr[2])
    return named[1].lower() if named else None


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if _program(report) and os.environ.get("REQUIRE_ALL") == "1":
        assert isinstance(report.longrepr, tuple)
        report.outcome = "failed"
        report.longrepr = f"REQUIRE_ALL=1 allows no missing program, and this one is: {report.longrepr[2]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _judge(report)
    if report.when == "teardown":
        _redact(report)
    return report


def _redact(report: pytest.TestReport) -> None:
    """Fail a test whose process has logged a secret; by its end all that it wrote is there."""
    logged = "\n".join(text for title, text in report.sections if title.startswith("Captured std"))
    if found := leaks(logged):
        report.outcome = "failed"
        report.longrepr = "\n".join(("a log has secrets in it:", *found))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _judge(report)
    return report


def _count(report: pytest.TestReport | pytest.CollectReport) -> None:
    if program := _program(report):
        _not_run[program] += 1


pytest_runtest_logreport = _count
pytest_collectreport = _count


def pytest_unconfigure(config: pytest.Config) -> None:
    """After everything else pytest prints, so that it is the last thing seen."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if _not_run and reporter is not None:
        counts = ", ".join(f"{name} ({n} {'test' if n == 1 else 'tests'})" for name, n in sorted(_not_run.items()))
        reporter.write_line(f"not run: {counts}; `make system-deps` installs them")
