"""The JSON Schema of gateway.yaml, for editors; made from the models, so that it never lags behind the program."""

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from gateway.config.addresses import Address
from gateway.config.models import Config
from gateway.config.values import DURATION_NONE_PATTERN, DURATION_PATTERN, SIZE_PATTERN, duration_text, size_text


def schema() -> str:
    """Return the schema as it is kept in config/gateway.schema.json."""
    made = _as_written(Config.model_json_schema(schema_generator=_Generator))
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "gateway.yaml"}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


class _Generator(GenerateJsonSchema):
    """Shows defaults as they would be written."""

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Address) else super().encode_default(dft)


# Every value can be written as "${NAME}", whatever it stands for.
_FILLED_IN = {"type": "string", "pattern": r"\$\{"}
_DEFAULTS = {DURATION_PATTERN: duration_text, DURATION_NONE_PATTERN: duration_text, SIZE_PATTERN: size_text}


def _as_written(node: Any) -> Any:
    """Return the schema of what stands in the file, made from *node*, the schema of what pydantic makes of it."""
    if isinstance(node, list):
        return [_as_written(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: value if key in ("default", "enum", "const") else _as_written(value) for key, value in node.items()}
    if isinstance(made.get("title"), str):  # the name of a key or class, said again
        del made["title"]
    if "default" in made and (text := _DEFAULTS.get(made.get("pattern", ""))):
        made["default"] = text(made["default"])
    if "anyOf" in made:
        made = _without_null(made)
    if "$ref" in made or made.get("default", ...) in (None, {}, []):
        made.pop("default", None)
    if made.get("type") == "array" and "minLength" in made:
        made["minItems"] = made.pop("minLength")
    if made.get("type") in ("integer", "boolean", "number") or "enum" in made:
        outer = {key: made.pop(key) for key in ("description", "default") if key in made}
        return {**outer, "anyOf": [made, _FILLED_IN]}
    return made


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    """A key without a value is a fault, so null is never one of the choices."""
    choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return choices[0] | rest if len(choices) == 1 else {**rest, "anyOf": choices}
