"""Every command that the pages show is run: in `test_docs.py` where a block begins with `# run`, or here."""

import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from gateway import __version__
from gateway.cli import cli
from gateway.telemetry.access_log import TextLines
from gateway.telemetry.record import Record
from gateway.tokens.clients import digest
from tests.bench.__main__ import _parser as bench_options
from tests.journeys.house import ROOT, USERS, configuration, outside, running
from tests.journeys.tour import Step, commands, walk
from tests.programs import require
from tests.sessions.test_topologies import ACL
from tests.test_docs import WITH_LINKS, Block, blocks

PAGES = {Path(name).name: text for name, text in WITH_LINKS.items()}

ELSEWHERE = {
    "make image": "tests/container/test_image.py",
    "make compose-secrets": "tests/test_compose.py",
}
"""The first command of each block that needs a machine of its own, and who runs it."""
HERE = (
    ".venv/bin/python -m tests.bench",
    "curl https://api.",
    "gateway keys",
    "curl http://127.0.0.1:9901",
    "grep -nE",
)
"""How the others begin; the tests below run them."""


def unmarked() -> list[Block]:
    return [
        block
        for page in PAGES
        if page != "README.md"  # its tour is walked in `test_readme.py`
        for block in blocks(page, "sh")
        if not block.code.startswith("# run\n")
    ]


@pytest.mark.parametrize("block", unmarked(), ids=str)
def test_a_block_of_commands_is_run(block: Block) -> None:
    first = block.code.partition("\n")[0].partition("  #")[0].strip()
    assert first in ELSEWHERE or first.startswith(HERE), "begin it with `# run`, or run it in this file"
    if first in ELSEWHERE:
        assert (ROOT / ELSEWHERE[first]).exists()


def block_of(page: str, language: str, beginning: str) -> Block:
    """Return the one block that begins so."""
    (found,) = (block for block in blocks(page, language) if block.code.startswith(beginning))
    return found


# --- the words of commands ---


class Line(NamedTuple):
    """A command line of `gateway`, and where it is shown."""

    page: str
    words: tuple[str, ...]


def lines() -> Iterator[Line]:
    """Yield every command line of the pages, in blocks and in text."""
    for page, text in PAGES.items():
        for block in re.findall(r"^```(?:sh|text)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            joined = block.replace("\\\n", " ")
            for shown in re.findall(r"(?:^|\| |\$ |\$\()(gateway [a-z][^\n|#;)>]*)", joined, re.MULTILINE):
                yield Line(page, tuple(shown.replace('"', "").split()[1:]))
        for shown in re.findall(r"`(gateway [a-z][^`\n]*)`", text):
            yield Line(page, tuple(shown.replace('"', "").split()[1:]))


PLACEHOLDERS = {"SHELL": "bash"}
"""What stands for a word out of a list."""


@pytest.mark.parametrize("line", sorted(set(lines())), ids=lambda line: f"{line.page}: {' '.join(line.words)}")
def test_the_command_line_takes_what_the_pages_show(line: Line) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in line.words]
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, line
        command = found
    if isinstance(command, click.Group):
        return  # a group is named as such: `gateway keys`
    try:
        command.make_context("gateway", words)
    except click.MissingParameter:
        assert "`" in PAGES[line.page], "text may name a verb without its arguments"


def test_every_target_of_make_that_is_shown_is_one() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for text in PAGES.values() for name in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE)}
    assert named <= targets
    assert len(named) >= 5


def test_the_options_of_the_benchmark_are_its_own() -> None:
    words = block_of("benchmarks.md", "sh", ".venv/bin/python -m tests.bench").code.split()[3:]
    words[words.index("--python") + 1] = sys.executable
    assert bench_options().parse_args(words).full


def test_the_image_that_is_shown_is_the_one_that_is_made() -> None:
    shown = re.findall(r"^  (jwt-gateway:\S+)$", block_of("operation.md", "sh", "make image").code, re.MULTILINE)
    assert shown == [f"jwt-gateway:{__version__}"]


def test_the_rights_of_the_stores_user_are_those_that_are_tried() -> None:
    (shown,) = re.findall(r"^ACL SETUSER gateway (.*?)^```", PAGES["operation.md"], re.MULTILINE | re.DOTALL)
    assert shown.replace("PASSWORD", "right").split() == ACL.split()


# --- the commands themselves ---


def walked(code: str, folder: Path, **environ: str) -> list[Step]:
    """Run *code* as somebody at a shell would, and return the steps; all must succeed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {**outside(), "PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(folder)}
    steps = walk(list(commands(code)), folder, own | environ)
    assert [(step.command.text, step.output) for step in steps if step.exit_status] == []
    return steps


def test_keys_are_listed_made_turned_and_taken_back(tmp_path: Path) -> None:
    code = block_of("operation.md", "sh", "gateway keys list").code
    (tmp_path / "gateway.yaml").write_text("version: 1\ntokens: {keys: {alg: ES256}}\n")
    data = {"GATEWAY_DATA_DIR": str(tmp_path / "data")}
    walked("gateway keys generate", tmp_path, **data)  # the first one, as at a gateway's first start
    for line in code.splitlines():
        state = "current" if "--compromised" in line else "next"
        listed = walked("gateway keys list", tmp_path, **data)[0].output
        of_state = re.search(rf"^(\S+) +ES256 {state} ", listed, re.MULTILINE)
        walked(line if of_state is None else line.replace("KID", of_state[1]), tmp_path, **data)


def test_programs_get_tokens_and_operators_revoke(tmp_path: Path) -> None:
    require("curl")
    secret, token = secrets.token_hex(32), secrets.token_hex(32)
    (tmp_path / "admin.token").write_text(token)
    text = configuration(
        tmp_path,
        upstreams={"app": "http://127.0.0.1:9"},
        routes="  - {path: /**, to: app}",
        server="  admin: {token_file: admin.token}",
    )
    (tmp_path / "admin.token").chmod(0o600)
    text += f"clients: {{reports: {{secret_hash: '{digest(secret)}', scopes: ['orders:read']}}}}\n"
    with running(tmp_path, text) as gateway:
        asked = block_of("clients.md", "sh", "curl https://api.example.com/auth/token").code
        (got,) = walked(asked.replace("https://api.example.com", gateway.url), tmp_path, SECRET=secret)
        assert re.search(r'"scope": ?"orders:read"', got.output), got
        ordered = block_of("operation.md", "sh", "curl http://127.0.0.1:9901/admin").code
        (done,) = walked(ordered.replace("127.0.0.1:9901", gateway.admin_url.partition("//")[2]), tmp_path)
        assert re.search(r'"kind": ?"user"', done.output), done


def test_a_reload_says_what_is_shown(tmp_path: Path) -> None:
    route = "  - {path: /api/**, to: app, roles: [%s]}"
    before = configuration(tmp_path, upstreams={"app": "http://127.0.0.1:9"}, routes=route % "user")
    before = before.replace("  drain:", "  watch: false\n  drain:")
    shown = block_of("operation.md", "text", "$ gateway reload\n").code.partition("\n")[2]
    with running(tmp_path, before) as gateway:
        after = before.replace("[user]}\n", "[admin]}\n").replace("upstreams:\n", "upstreams:\n  orders: http://a\n")
        (tmp_path / "gateway.yaml").write_text(after)
        (step,) = walked("gateway reload", tmp_path, GATEWAY_DATA_DIR=str(gateway.folder / "data"))
        assert step.output.strip() == re.sub(r"gateway \d+", f"gateway {gateway.pid}", shown).strip()


def test_the_review_finds_what_is_dangerous(tmp_path: Path) -> None:
    shutil.copy(ROOT / "gateway.yaml", tmp_path)
    (tmp_path / "users.yaml").write_text(USERS)
    (step,) = walked(block_of("security.md", "sh", "grep -nE").code, tmp_path)
    assert "auth: public" in step.output
    assert "demo: true" in step.output


def test_the_access_log_looks_as_shown() -> None:
    today = time.localtime()

    def at(second: int) -> float:
        return time.mktime((today.tm_year, today.tm_mon, today.tm_mday, 14, 2, second, 0, 0, -1))

    unreachable = ("upstream_unreachable", "connect_refused")

    def record(second: int, path: str, status: int, spent: tuple[float, float], *words: str) -> Record:
        return Record(at(second), b"", 0, 0, *spent, "", b"GET", b"", path.encode(), status, *words)

    records = (
        record(11, "/api/hello", 200, (0.0018, 0.0015), "/api/**", "api", "", "alice", "", ""),
        record(12, "/api/hello", 401, (0.0, 0.0), "/api/**", "", "", "", "token_missing", ""),
        record(15, "/shop/cart", 502, (0.0004, 0.0), "/shop/**", "shop", "http://shop:8000", "ana", *unreachable),
    )
    form = TextLines(colour=False)
    shown = block_of("operation.md", "text", "14:02:11").code
    assert b"".join(form.line(each, b"") for each in records).decode() == shown


def test_the_header_for_the_debug_role_looks_as_shown() -> None:
    """The form is that of `tests/app/test_decisions.py`, which sees it on the wire."""
    lines_ = block_of("operation.md", "text", "X-Gateway-Decision").code.splitlines()
    for line in lines_:
        name, _, value = line.partition(": ")
        verdict, *members = value.split("; ")
        assert (name, verdict in ("refused", "allowed")) == ("X-Gateway-Decision", True)
        assert all(
            re.fullmatch(r'(?:code|rule|at|wanted|got|met|shadow|route|written)=("[^"]*"|\w+)', m) for m in members
        )
