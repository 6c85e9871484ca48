"""The schema for editors is the one of the program, and agrees with it about the examples."""

import json

import pytest

from gateway.config.schema import schema
from tests.config.files import ROOT


def test_the_committed_schema_is_up_to_date() -> None:
    committed = (ROOT / "config" / "gateway.schema.json").read_text()
    assert committed == schema(), "run: gateway schema > config/gateway.schema.json"


def test_the_schema_refuses_unknown_keys_everywhere() -> None:
    made = json.loads(schema())
    for name, model in [("gateway.yaml", made), *made["$defs"].items()]:
        if "properties" in model and name != "PlansConfig":  # whose keys are names of one's own
            assert model["additionalProperties"] is False, name


def test_null_is_never_possible() -> None:
    assert '"null"' not in schema()


@pytest.mark.parametrize(
    ("section", "key", "default"),
    [
        ("TokensConfig", "access_ttl", "10m"),
        ("LimitsConfig", "body", "1MiB"),
        ("TimeoutsConfig", "total", "none"),
        ("AdminConfig", "listen", "127.0.0.1:9901"),
    ],
)
def test_defaults_are_shown_as_they_would_be_written(section: str, key: str, default: str) -> None:
    assert json.loads(schema())["$defs"][section]["properties"][key]["default"] == default


def test_short_forms_are_known_to_editors() -> None:
    made = json.loads(schema())
    assert {"type": "string"} in made["properties"]["upstreams"]["additionalProperties"]["anyOf"]
    assert made["$defs"]["TokensConfig"]["properties"]["audience"]["anyOf"][0] == {"type": "string"}
