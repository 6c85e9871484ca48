"""Parts of a configuration in files of their own stand as if they were written in one, and faults name their file."""

from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.config.models import Config
from gateway.config.routes import route_table
from gateway.errors import ConfigError

MAIN = """\
version: 1
include: [parts/*.yaml]
roles: {user: {}}
upstreams: {app: "http://127.0.0.1:1"}
routes:
  - {path: /main, to: app, auth: public}
"""
ORDERS = """\
upstreams: {orders: "http://127.0.0.1:2"}
roles: {clerk: {includes: [user]}}
routes:
  - {path: /orders/**, to: orders, roles: [clerk]}
"""


def written(folder: Path, main: str = MAIN, **parts: str) -> Path:
    (folder / "parts").mkdir(exist_ok=True)
    for name, text in parts.items():
        (folder / "parts" / f"{name}.yaml").write_text(text)
    (folder / "gateway.yaml").write_text(main)
    return folder / "gateway.yaml"


def loaded(folder: Path, main: str = MAIN, **parts: str) -> Config:
    return load(written(folder, main, **parts), {})


def refused(folder: Path, main: str = MAIN, **parts: str) -> str:
    with pytest.raises(ConfigError) as error:
        loaded(folder, main, **parts)
    return str(error.value).replace(f"{folder}/", "")


def test_parts_are_put_together_in_the_order_of_their_names(tmp_path: Path) -> None:
    config = loaded(
        tmp_path, b=ORDERS, a="routes:\n  - {path: /a, to: app, auth: public}\ntelemetry: {log_query: true}\n"
    )
    assert [route.path for route in config.routes] == ["/main", "/a", "/orders/**"]
    assert list(config.upstreams) == ["app", "orders"]
    assert list(config.roles) == ["user", "clerk"]
    assert config.telemetry.log_query
    assert [config.place("routes", at) for at in range(3)] == ["gateway.yaml:6", "a.yaml:2", "b.yaml:4"]
    assert {route.place for route in route_table(config).routes} >= {"b.yaml:4"}


def test_a_fault_names_the_part_and_its_line(tmp_path: Path) -> None:
    assert refused(tmp_path, b=ORDERS.replace("to: orders", "to: odrers")) == (
        'parts/b.yaml:4:28: routes[1].to: no upstream is called "odrers"\n'
        "    - {path: /orders/**, to: odrers, roles: [clerk]}\n"
        "                             ^\n"
        '    did you mean "orders"?'
    )
    assert refused(tmp_path, b="routes: [\n").startswith("parts/b.yaml:")
    assert refused(tmp_path, b="- a\n").startswith("parts/b.yaml:")


def test_what_is_there_twice_is_a_fault_with_both_places(tmp_path: Path) -> None:
    said = refused(tmp_path, a='upstreams:\n  app: "http://127.0.0.1:3"\n', b="version: 1\n")
    assert said.startswith("parts/a.yaml:2:3: upstreams.app: this is there already, at gateway.yaml:4\n")
    telemetry = "telemetry: {log_query: true}\n"
    said = refused(tmp_path, MAIN + telemetry, a=telemetry, b="version: 1\n")
    assert said.startswith("parts/a.yaml:1:1: telemetry: this section is there already, at gateway.yaml:7\n")
    same = "routes:\n  - {path: /main, to: app}\n"
    assert "matches the same requests at gateway.yaml:6" in refused(tmp_path, a=same, b="version: 1\n")
    other = same.replace("/main", "/same")
    assert "parts/b.yaml:2:12: routes[2].path: this matches the same requests at a.yaml:2" in refused(
        tmp_path, a=other, b=other
    )


def test_parts_do_not_include_and_stay_below(tmp_path: Path) -> None:
    assert "a part cannot include others" in refused(tmp_path, a="include: [b.yaml]\n")
    for path in ("/etc/x.yaml", "../x.yaml", "parts/../../x.yaml"):
        said = refused(tmp_path, MAIN.replace("parts/*.yaml", path))
        assert said.startswith("gateway.yaml:2:11: include[0]: parts are below the directory of this file\n")
    assert "there is no such file" in refused(tmp_path, MAIN.replace("parts/*.yaml", "nowhere.yaml"))
    assert "no file is called so" in refused(tmp_path, MAIN.replace("parts/*.yaml", "nowhere/*.yaml"))
    assert "write [parts/a.yaml]" in refused(tmp_path, MAIN.replace("[parts/*.yaml]", "parts/a.yaml"))


def test_every_part_is_watched_and_so_is_the_directory_for_new_ones(tmp_path: Path) -> None:
    seen: set[Path] = set()
    load(written(tmp_path, b=ORDERS), {}, seen)
    assert seen == {tmp_path / "gateway.yaml", tmp_path / "parts", tmp_path / "parts" / "b.yaml"}
