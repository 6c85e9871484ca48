"""The kinds of value a configuration file holds: durations, sizes, counts, words, paths, secrets.

Each is a pydantic annotation that reads what people write and says what to write instead. A unit is never guessed, and
"none" is a word, not a magic number.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
)
from pydantic import ValidationInfo as Info

from gateway.config.faults import Wrong
from gateway.paths import steps

_DURATIONS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,3})?(?:ms|[smhdw]))+")
_DURATION_PART = re.compile(r"([0-9.]+)(ms|[smhdw])")
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,9})(B|KiB|MiB|GiB|TiB)")


def kind_of(value: object) -> str:
    """Return what *value* is, for a sentence about what it should be."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return f'"{value}"' if len(value) <= 60 else "a long text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def switch(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    """Read what may be settings, true for the defaults, or false for none of it."""
    match value:
        case True | "true":
            return handler({})
        case False | "false":
            return None
        case dict() | BaseModel():
            return handler(value)
        case _:
            raise Wrong(f"true, false or settings are needed, not {kind_of(value)}")


def _duration(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Wrong("a duration needs its unit", f"write {value}s")
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return sum(float(number) * _DURATIONS[unit] for number, unit in _DURATION_PART.findall(value))
    if isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
        raise Wrong("a duration needs its unit", f"write {value}s")
    raise Wrong(f"a duration is needed, not {kind_of(value)}", "write it like 250ms, 30s, 10m, 12h or 14d")


def duration_text(seconds: float | None) -> str:
    """Return *seconds* as people write it: ``10m``."""
    if seconds is None:
        return "none"
    milliseconds = round(seconds * 1000)
    for unit in ("d", "h", "m", "s"):
        if milliseconds and milliseconds % (_DURATIONS[unit] * 1000) == 0:
            return f"{milliseconds // (_DURATIONS[unit] * 1000):.0f}{unit}"
    return f"{milliseconds}ms" if milliseconds else "0s"


def size_text(size: int) -> str:
    """Return *size* as people write it: ``1MiB``."""
    for unit in ("GiB", "MiB", "KiB"):
        if size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]}{unit}"
    return f"{size}B"


def _longer_than_nothing(seconds: float) -> float:
    if seconds <= 0:
        raise Wrong("the duration must be longer than nothing")
    return seconds


def _size(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        raise Wrong("a size needs its unit", f"write {value}B")
    if isinstance(value, str):
        if size := _SIZE.fullmatch(value):
            return int(size[1]) * _SIZES[size[2]]
        if re.fullmatch(r"[0-9]+", value):
            raise Wrong("a size needs its unit", f"write {value}B")
        if decimal := re.fullmatch(r"([0-9]+) ?([kKmMgG])(?:[bB]|ib|iB)?", value):
            raise Wrong(f"a size is needed, not {kind_of(value)}", f"write {decimal[1]}{decimal[2].upper()}iB")
    raise Wrong(f"a size is needed, not {kind_of(value)}", "write it like 512B, 64KiB, 1MiB or 2GiB")


def _count(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):  # out of ${NAME}
        return int(value)
    raise Wrong(f"a whole number is needed, not {kind_of(value)}")


def _or_none(read: Callable[[object], object]) -> Callable[[object], object]:
    def read_or_none(value: object) -> object:
        if value is None:
            raise Wrong("no value is written here", "write none, or remove the key")
        return None if value == "none" else read(value)

    return read_or_none


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in ("true", "false"):  # out of ${NAME}
            return value == "true"
        if value.lower() in ("on", "yes", "y"):
            raise Wrong(f'"{value}" is plain text in YAML 1.2', "write true")
        if value.lower() in ("off", "no", "n"):
            raise Wrong(f'"{value}" is plain text in YAML 1.2', "write false")
    raise Wrong(f"true or false is needed, not {kind_of(value)}")


def text(value: object) -> str:
    if isinstance(value, bool | int | float):
        written = str(value).lower() if isinstance(value, bool) else str(value)
        raise Wrong(f"text is needed, not {kind_of(value)}", f'put quotes around it: "{written}"')
    if not isinstance(value, str):
        raise Wrong(f"text is needed, not {kind_of(value)}")
    if not value or value != value.strip():
        raise Wrong("the text is empty" if not value.strip() else "the text begins or ends with a space")
    if not value.isprintable():
        raise Wrong("the text has control characters")
    return value


def _path(value: object, info: Info) -> Path:
    """Return the path, taken from the directory of the file that names it."""
    base = (info.context or {}).get("directory", Path())
    return Path(base, text(value))


class Secret:
    """Bytes that are never shown."""

    __slots__ = ("value",)

    def __init__(self, value: bytes) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, bool | int | float):
        raise Wrong("a secret is text", "put quotes around it, or better: write it to a file and name that")
    if not isinstance(value, str) or not value:
        raise Wrong("the secret is empty" if value == "" else "a secret is text")
    return Secret(value.encode())


def schema_of(kind: str, example: str, pattern: str | None = None) -> WithJsonSchema:
    schema: dict[str, object] = {"type": "string", "description": f"{kind}, like {example}"}
    return WithJsonSchema(schema | ({"pattern": pattern} if pattern else {}))


# An editor's schema lets ${...} pass everywhere; the program sees what it stands for.
DURATION_PATTERN = r"^(([0-9]+(\.[0-9]{1,3})?(ms|[smhdw]))+|.*\$\{.*)$"
DURATION_NONE_PATTERN = r"^(none|([0-9]+(\.[0-9]{1,3})?(ms|[smhdw]))+|.*\$\{.*)$"
SIZE_PATTERN = r"^([0-9]+(B|KiB|MiB|GiB|TiB)|.*\$\{.*)$"

_AS_DURATION = PlainSerializer(duration_text, return_type=str, when_used="json")
_AS_SIZE = PlainSerializer(size_text, return_type=str, when_used="json")

Duration = Annotated[
    float,
    AfterValidator(_longer_than_nothing),
    BeforeValidator(_duration),
    _AS_DURATION,
    schema_of("A duration", "10m", DURATION_PATTERN),
]
DurationOrZero = Annotated[
    float, BeforeValidator(_duration), _AS_DURATION, schema_of("A duration", "10m or 0s", DURATION_PATTERN)
]
DurationOrNone = Annotated[
    float | None,
    BeforeValidator(_or_none(lambda value: _longer_than_nothing(_duration(value)))),
    _AS_DURATION,
    schema_of("A duration or none", "10m", DURATION_NONE_PATTERN),
]
Size = Annotated[int, BeforeValidator(_size), Field(ge=1), _AS_SIZE, schema_of("A size", "1MiB", SIZE_PATTERN)]
Count = Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(_count)]
CountOrZero = Annotated[int, Field(ge=0, le=1_000_000), BeforeValidator(_count)]
CountOrNone = Annotated[
    Annotated[int, Field(ge=1, le=1_000_000)] | None,
    BeforeValidator(_or_none(_count)),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "none"}]}),
]
Percent = Annotated[int, Field(ge=1, le=100), BeforeValidator(_count)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Text = Annotated[str, BeforeValidator(text)]
FilePath = Annotated[
    Path,
    PlainValidator(_path),
    PlainSerializer(str),
    schema_of("A path, relative to the directory of this file", "keys/signing.pem"),
]
SecretText = Annotated[
    Secret,
    PlainValidator(_secret),
    PlainSerializer(repr),
    WithJsonSchema({"type": "string", "description": 'A secret; better "${NAME}", best a *_file'}),
]


def _claim_path(value: str) -> str:
    try:
        steps(value)
    except ValueError as error:
        raise Wrong(
            str(error), "write it like realm_access.roles; quote names with dots: '\"https://x/roles\"'"
        ) from error
    return value


ClaimPath = Annotated[Text, AfterValidator(_claim_path)]
"""Where a claim is: names with dots between, those with dots in them quoted."""
