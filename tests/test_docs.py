"""What the documentation says is so: its files are checked, its commands are run, its tables are those of the program.

Markdown is read line by line: a fence is a block of code, and a table is known by its header.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx
import pytest
import yaml
from click.testing import CliRunner

from gateway.cli import cli
from gateway.config.limits import RATE_NONE_PATTERN
from gateway.config.schema import schema
from gateway.config.users import UserConfig
from gateway.config.values import DURATION_NONE_PATTERN, DURATION_PATTERN, SIZE_PATTERN
from gateway.errors import CODES
from gateway.telemetry.access_log import JsonLines
from gateway.telemetry.record import Record
from gateway.tokens.verify import REASONS
from tests.journeys.house import ROOT, Gateway, outside, running
from tests.journeys.test_user_stores import BCRYPT
from tests.journeys.tour import commands, here, walk
from tests.programs import require

PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
WITH_LINKS = {**{f"docs/{name}": text for name, text in PAGES.items()}, "README.md": (ROOT / "README.md").read_text()}
MODULES = [path.read_text() for path in sorted((ROOT / "gateway").rglob("*.py"))]
SOURCE = "\n".join(MODULES)


class Block(NamedTuple):
    """A fenced block of code."""

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str, *languages: str) -> list[Block]:
    """Return the blocks of *page* in one of *languages*."""
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    return [
        Block(page, PAGES[page].count("\n", 0, each.start()) + 1, each[1], each[2])
        for each in found
        if each[1] in languages
    ]


def all_blocks(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page, *languages)]


def table(page: str, *header: str) -> list[list[str]]:
    """Return the rows of every table of *page* with this *header*."""
    rows: list[list[str]] = []
    is_ours = False
    for line in PAGES[page].splitlines():
        if not line.startswith("|"):
            is_ours = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if is_ours and not set(cells[0]) <= set("-: "):
            assert len(cells) == len(header), f"{page}: {line}"
            rows.append(cells)
        is_ours = is_ours or cells == list(header)
    assert rows, f"{page} has no table with the header {header}"
    return rows


def names(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


# --- links ---


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#{1,6} +(.*?)\s*$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", WITH_LINKS)
def test_every_relative_link_leads_somewhere(page: str) -> None:
    here_ = ROOT / page
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", WITH_LINKS[page]):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (here_.parent / path).resolve() if path else here_
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    assert broken == []


# --- configurations ---


def _files(node: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, key) of every file that a configuration names."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _files(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from _files(value, key)
    elif isinstance(node, str) and (key == "file" or key.endswith("_file")):
        yield node, key


def _supply(folder: Path, text: str) -> str:
    """Make the files that the configuration *text* names below *folder*; return it with its full paths led there."""
    for name, key in _files(yaml.safe_load(text)):
        target = folder / name.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        named = {"htpasswd": f"ana:{BCRYPT}\n", "groups": "admin: ana\n"}.get(target.name, secrets.token_hex(32))
        target.write_text("users: {}\n" if name.endswith(".yaml") else named)
        target.chmod(0o600)
        assert key != "file" or name.endswith((".yaml", ".pem", "htpasswd")), f"what is {name}?"
        if name.startswith("/"):
            text = re.sub(rf"(?<=[\s:]){re.escape(name)}(?=[\s,}}])", str(target), text)
    return text


def checked(folder: Path, text: str) -> tuple[int, str]:
    """Return the exit status of `gateway check`, and what it says."""
    (folder / "gateway.yaml").write_text(text)
    unset = {name: None for name in os.environ if name.startswith("GATEWAY_")}
    done = CliRunner().invoke(cli, ["check", "-c", str(folder / "gateway.yaml")], env=unset)
    return done.exit_code, done.output


def _is_whole(code: str) -> bool:
    return code.startswith("version: 1\n")


def _is_users(code: str) -> bool:
    return code.startswith("# users.yaml\n")


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_every_configuration_passes_the_check_without_a_caution(block: Block, tmp_path: Path) -> None:
    if _is_users(block.code):
        (tmp_path / "users.yaml").write_text(block.code)
        roles = {role for user in yaml.safe_load(block.code)["users"].values() for role in user["roles"]}
        text = (
            f"version: 1\nlogin: {{verify: {{file: users.yaml}}}}\nroles: {{{', '.join(f'{r}: {{}}' for r in roles)}}}"
        )
    else:
        text = block.code if _is_whole(block.code) else f"version: 1\n{block.code}"
        if not _is_whole(text) or not {"login", "trusted_issuers"} & yaml.safe_load(text).keys():
            text += "\nlogin: {verify: {file: users.yaml}}\n"  # a part of a file, and somebody can log in by the rest
        text = _supply(tmp_path, text)
        data = yaml.safe_load(text)
        if "login" in data and "file" in data["login"]["verify"]:
            _give_a_user(tmp_path / data["login"]["verify"]["file"], data.get("roles", {}))
    status, said = checked(tmp_path, text)
    assert (status, "caution" in said) == (0, False), said


def _give_a_user(path: Path, roles: Mapping[str, object]) -> None:
    """Write the users file of the pages, with somebody who has every one of *roles*."""
    example = yaml.safe_load(next(block.code for block in all_blocks("yaml") if _is_users(block.code)))
    user = next(iter(example["users"].values())) | {"roles": list(roles)}
    path.write_text(yaml.safe_dump({"users": {"ana": user}}))


def test_the_explanation_that_is_shown_is_the_one_that_is_given(tmp_path: Path) -> None:
    (shown,) = (block for block in blocks("operation.md", "text") if block.code.startswith("$ gateway explain"))
    above = [block.code for block in blocks("operation.md", "yaml") if block.line < shown.line][-1]
    user = "{password: demo, demo: true, roles: [user], tenant: acme, claims: {plan: free}}"
    (tmp_path / "users.yaml").write_text(f"users:\n  ana: {user}\n")
    (tmp_path / "gateway.yaml").write_text(above)
    command, _, output = shown.code.partition("\n")
    done = CliRunner().invoke(cli, [*command.split()[2:], "-c", str(tmp_path / "gateway.yaml")])
    assert done.output == output


def test_the_cookbook_is_complete() -> None:
    whole = [block for block in blocks("configuration.md", "yaml") if _is_whole(block.code)]
    assert len(whole) >= 6
    headings = PAGES["configuration.md"].partition("\n## Cookbook\n")[2].count("\n### ")
    assert len(whole) == headings


# --- keys ---


class Key(NamedTuple):
    """One key that can be written."""

    path: str
    forms: tuple[Mapping[str, Any], ...]
    """What can stand there, as JSON Schema has it; mappings with keys of their own are left out."""
    default: object
    required: bool
    has_keys: bool
    """It can also be a mapping with keys of its own."""


SCHEMA: dict[str, Any] = json.loads(schema())
SAME = {"defaults": "routes[]", "routes[].timeouts": "upstreams.NAME.timeouts"}
"""Sections with keys that are explained elsewhere."""
ALONE = {"routes[].methods", "routes[].any_of", "routes[].shadow", "rules.NAME"}
"""Keys whose own keys are explained elsewhere."""
ELSEWHERE = {"routes[].body": "`server.limits.body`"}
"""Defaults that are another key's value."""


def _resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = SCHEMA["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    return found


def _forms(node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the alternatives of *node*; that everything can be `${…}` goes without saying."""
    node = _resolved(node)
    if choices := node.get("anyOf", node.get("oneOf")):
        return [form for each in choices for form in _forms(each)]
    return [] if node.get("pattern") == r"\$\{" else [node]


def keys(node: Mapping[str, Any], path: str = "") -> Iterator[Key]:
    """Yield every key below the mapping *node*."""
    for name, child in node["properties"].items():
        yield from _key(child, f"{path}.{name}".lstrip("."), required=name in node.get("required", []))


def _key(node: Mapping[str, Any], path: str, *, required: bool) -> Iterator[Key]:
    if path in SAME:
        return
    if path in ALONE:
        forms = [form for form in _forms(node) if "properties" not in form]
        yield Key(path, tuple(forms), node.get("default"), required, len(forms) < len(_forms(node)))
        return
    plain: list[Mapping[str, Any]] = []
    deeper: list[Key] = []
    for form in _forms(node):
        if "properties" in form:
            deeper += keys(form, path)
        elif form.get("type") == "array" and any("properties" in item for item in _forms(form["items"])):
            deeper += _key(form["items"], f"{path}[]", required=True)
        elif isinstance(more := form.get("additionalProperties"), dict) and any(
            "properties" in f for f in _forms(more)
        ):
            deeper += _key(more, f"{path}.NAME", required=True)
        else:
            plain.append(form)
    if plain:
        default = node.get("default", _resolved(node).get("default"))
        yield Key(path, tuple(plain), default, required, bool(deeper))
    yield from deeper


def _wanted_words(form: Mapping[str, Any]) -> list[str]:
    """Return what the type column must say about *form*."""
    if "enum" in form or "const" in form:
        values = form.get("enum", [form.get("const")])
        if values == [False]:
            return ["false"]
        return ["none"] if values == ["none"] else [f"`{value}`" for value in values if value != "1"]
    match form.get("type"):
        case "boolean":
            return ["true", "false"]
        case "integer":
            return ["number"]
        case "array":
            items = [word for item in _forms(form["items"]) for word in _wanted_words(item) if word.startswith("`")]
            return ["list", *items]
        case "object":
            return ["mapping"]
    patterns = {
        DURATION_PATTERN: "duration",
        DURATION_NONE_PATTERN: "duration or none",
        SIZE_PATTERN: "size",
        RATE_NONE_PATTERN: "rate or none",
    }
    return [patterns.get(form.get("pattern", ""), "")]


def _written(default: object) -> str:
    match default:
        case bool():
            return f"`{str(default).lower()}`"
        case list():
            return f"`[{', '.join(map(str, default))}]`"
        case _:
            return f"`{default}`"


def _faults(key: Key, kind: str, default: str) -> Iterator[str]:
    words = [word for form in key.forms for word in _wanted_words(form)] + (["mapping"] if key.has_keys else [])
    if missing := [word for word in words if word not in kind]:
        yield f"{key.path}: the type says {kind!r} and not {missing}"
    units = {"duration", "size", "number", "true", "list", "mapping"}
    if extra := {unit for unit in units if re.search(rf"\b{unit}\b", kind) and not any(unit in w for w in words)}:
        yield f"{key.path}: the type says {extra}, which it is not"
    if "none" in kind.split() and not any("none" in word for word in words):
        yield f"{key.path}: none is not possible"
    if key.default is not None:
        wanted = ELSEWHERE.get(key.path, _written(key.default))
        if default != wanted:
            yield f"{key.path}: the default says {default!r}, and it is {wanted}"
    elif (default == "required") != key.required or not default:
        yield f"{key.path}: the default says {default!r}; it is {'' if key.required else 'not '}required"


def test_every_key_is_explained_with_its_type_and_default_and_none_is_invented() -> None:
    rows = table("configuration.md", "Key", "Type", "Default", "What it does")
    said = {names(cells[0])[0]: cells[1:] for cells in rows}
    assert len(said) == len(rows), "a key is there twice"
    users = {f"users.NAME.{name}" for name in UserConfig.model_fields}
    real = {key.path: key for key in keys(SCHEMA)}
    assert (real.keys() - said.keys(), said.keys() - real.keys()) == (set(), users), "(not explained, not a key)"
    faults = [fault for path, key in real.items() for fault in _faults(key, said[path][0], said[path][1])]
    assert faults == []
    assert [path for path, cells in said.items() if not cells[2]] == []


def test_what_is_explained_in_one_place_for_two_is_the_same() -> None:
    routes = SCHEMA["$defs"]["RouteConfig"]["properties"]
    assert SCHEMA["$defs"]["DefaultsConfig"]["properties"].keys() < routes.keys()
    assert SCHEMA["$defs"]["RuleConfig"]["properties"].keys() < SCHEMA["$defs"]["DefaultsConfig"]["properties"].keys()
    assert routes["timeouts"]["$ref"] == SCHEMA["$defs"]["UpstreamConfig"]["properties"]["timeouts"]["$ref"]
    order = [names(row[0])[0] for row in table("configuration.md", "Key", "Type", "Default", "What it does")]
    rules = [f"routes[].{name}" for name in SCHEMA["$defs"]["RuleConfig"]["properties"]]
    start = order.index("routes[].auth")
    assert set(order[start : start + len(rules)]) == set(rules), "a method takes the keys from `auth` to `body`"
    defaults = {f"routes[].{name}" for name in SCHEMA["$defs"]["DefaultsConfig"]["properties"]} - SAME.keys()
    assert {path for path in order[start:] if re.fullmatch(r"routes\[\]\.\w+", path)} == defaults


# --- errors, metrics, logs, commands ---


def test_every_error_code_is_explained_with_its_status_and_whose_it_is() -> None:
    rows = table("clients.md", "Code", "Status", "Whose", "When", "What a client does")
    said = {names(code)[0]: (int(status), whose) for code, status, whose, *_ in rows}
    assert said == {code.name: (code.status, code.source.value) for code in CODES.values()}
    assert all(when and then for *_, when, then in rows)


def test_a_code_is_called_reserved_as_long_as_nothing_refuses_with_it() -> None:
    used = "\n".join(module for module in MODULES if "CODES: dict" not in module)
    unused = {code for code in CODES if f'"{code}"' not in used}
    rows = table("clients.md", "Code", "Status", "Whose", "When", "What a client does")
    assert {names(row[0])[0] for row in rows if row[3] == "Reserved."} == unused


def test_every_code_that_other_pages_name_is_one() -> None:
    codes = "|".join(sorted({code.partition("_")[0] for code in CODES}))
    for page, text in PAGES.items():
        for status, name in re.findall(rf"\b([45]\d\d) `((?:{codes})_\w+|overloaded)`", text):
            assert (name in CODES, str(CODES[name].status)) == (True, status), f"{page}: {status} {name}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The demo that the pages talk to."""
    with running(tmp_path_factory.mktemp("demo"), demo=True) as gateway:
        yield gateway
        assert gateway.faults() == []


class Family(NamedTuple):
    """One metric."""

    kind: str
    labels: frozenset[str] | None
    """None when it had no sample."""


def _exposed(text: str) -> dict[str, Family]:
    """Return the metrics of an exposition by name."""
    found = {}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        samples = re.findall(rf"^{name}(?:_bucket|_sum|_count)?(?:{{(.*)}})? \S+$", text, re.MULTILINE)
        labels = {label for sample in samples for label in re.findall(r'(\w+)="', sample)} - {"le"}
        # A number that only grows is a counter to its reader, however it is declared.
        found[name] = Family("counter" if name.endswith("_total") else kind, frozenset(labels) if samples else None)
    return found


def test_every_metric_is_explained_and_none_is_invented(demo: Gateway) -> None:
    with demo.client() as client:
        client.get("/public/hello")
        client.get("/nowhere")
    text = httpx.get(f"{demo.admin_url}/metrics", trust_env=False).text
    exposed = _exposed(text)
    by_event = {f"gateway_{event}_total" for event in re.findall(r'metrics\.count\(\s*"(\w+)"', SOURCE)}
    said = {
        names(name)[0]: Family(kind, frozenset(names(labels)))
        for name, kind, labels, _ in table("operation.md", "Name", "Type", "Labels", "Meaning")
    }
    real = exposed.keys() | by_event
    assert (real - said.keys(), said.keys() - real) == (set(), set()), "(not explained, not a metric)"
    for name, family in exposed.items():
        assert said[name].kind == family.kind, name
        assert family.labels is None or said[name].labels == family.labels, name
    for name in by_event:
        assert said[name] == Family("counter", frozenset({"result"}))


def test_every_metric_that_other_text_names_is_one() -> None:
    known = {names(row[0])[0] for row in table("operation.md", "Name", "Type", "Labels", "Meaning")}
    named = {name for text in PAGES.values() for name in re.findall(r"\bgateway_[a-z_]+\b", text)}
    assert named - known - {"gateway_secret"} == set()


def test_every_event_is_explained_and_none_is_invented() -> None:
    told = set(re.findall(r'(?:event|events\.\w+|audit|\bsay)\(\s*"(\w+)"', SOURCE))
    said = {name for row in table("operation.md", "Event", "Level", "What happened") for name in names(row[0])}
    assert (told - said, said - told) == (set(), set()), "(not explained, not an event)"


def test_every_member_of_the_access_log_is_explained() -> None:
    record = Record(1.0, b"id", 1, 1, 1.0, 0.5, "::1", b"GET", b"host", b"/", 500, "r", "u", "t", "s", "c", "why")
    form = JsonLines()
    line = json.loads(form.line(record, form.common(record)))
    said = [name for row in table("operation.md", "Member", "What") for name in names(row[0])]
    assert sorted(said) == sorted(line)


def test_every_reason_to_refuse_a_token_is_explained() -> None:
    said = {name for row in table("operation.md", "Reason", "The token") for name in names(row[0])}
    assert (set(REASONS) - said, said - REASONS) == (set(), set()), "(not explained, not a reason)"


def test_every_reason_for_a_missing_answer_is_one() -> None:
    for row in table("operation.md", "Reason", "What happened"):
        for name in names(row[0]):
            assert f'"{name}"' in SOURCE, name


def _verbs(command: click.Command, above: str = "") -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield above.strip()
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from _verbs(found, f"{above} {name}")


def test_every_command_is_explained_and_none_is_invented() -> None:
    real = set(_verbs(cli))
    said = {re.sub(r"^gateway | [-A-Z].*", "", names(row[0])[0]) for row in table("operation.md", "Command", "Does")}
    assert (real - said, said - real) == (set(), set()), "(not explained, not a command)"
    for page, text in PAGES.items():
        for command in re.findall(r"`gateway ((?:[a-z]+ ?)+)", text):
            assert any(f"{command.strip()} ".startswith(f"{verb} ") for verb in real), f"{page}: gateway {command}"


def test_every_variable_that_is_named_is_read() -> None:
    named = {name for text in PAGES.values() for name in re.findall(r"\bGATEWAY_[A-Z_]+", text)}
    assert {name for name in named if f'"{name}"' not in SOURCE} == set()


# --- examples ---


@pytest.mark.parametrize("page", [name for name in PAGES if "\n# run\n" in PAGES[name]])
def test_the_commands_of_a_page_do_what_they_promise(page: str, demo: Gateway, tmp_path: Path) -> None:
    """All of them in one shell, beside a copy of the demo's configuration."""
    require("curl")
    shutil.copy(ROOT / "gateway.yaml", tmp_path)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    addresses = {"127.0.0.1:8080": f"127.0.0.1:{demo.port}", "127.0.0.1:9901": f"127.0.0.1:{demo.admin_port}"}
    marked = [block.code for block in blocks(page, "sh") if block.code.startswith("# run\n")]
    asked = [command for code in marked for command in commands(here(code, addresses))]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if asked:
        steps = walk(asked, tmp_path, {**outside(), "PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)})
        assert [(step.command.text, step.exit_status, step.output) for step in steps if not step.kept_its_promise] == []


@pytest.mark.parametrize("block", [each for each in all_blocks("python") if each.code.startswith("# run\n")], ids=str)
def test_a_python_example_works(block: Block, demo: Gateway) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block.code],
        env={**outside(), "GATEWAY": demo.url},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", all_blocks("js"), ids=str)
def test_a_javascript_example_works(block: Block, demo: Gateway, tmp_path: Path) -> None:
    """One that begins with `// run` is run; of others, which need a browser, the grammar is checked."""
    node = require("node")
    (tmp_path / "example.mjs").write_text(block.code)
    options = [] if block.code.startswith("// run\n") else ["--check"]
    done = subprocess.run(
        [node, *options, "example.mjs"],
        cwd=tmp_path,
        env={**outside(), "GATEWAY": demo.url},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, "Assertion" in done.stderr) == (0, "", False), done.stderr


@pytest.mark.parametrize("block", all_blocks("json"), ids=str)
def test_a_json_example_is_json(block: Block) -> None:
    assert json.loads(block.code)
