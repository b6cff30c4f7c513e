"""values.yaml is read with its comments; schema and tables say what it and the types say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic.alias_generators import to_camel
from readme import BEGIN, END, with_tables
from schema import OF_THE_POD, settings_schema, values_schema
from values import ChartError, leaves, read

from ippolicy.settings import PREFIX, Settings

CHART = Path(__file__).parents[2] / "charts/ippolicy-operator"
SMALL = """\
# A file.

# How many.
# @kind replicas
count: 2

part:
  # First line,
  # second line.
  name: ""
"""


def schema_of(text: str) -> Any:
    return values_schema(read(text), rule_groups=())


def shipped_schema() -> Any:
    return json.loads((CHART / "values.schema.json").read_text())


def objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Every schema with properties, at any depth."""
    inner = [one for child in schema.get("properties", {}).values() for one in objects(child)]
    return [schema, *inner] if "properties" in schema else inner


def test_the_comment_above_a_key_is_its_description() -> None:
    found = {value.name: value for value in leaves(read(SMALL))}
    assert list(found) == ["count", "part.name"]
    assert found["count"].about == "How many."
    assert found["count"].kind == "replicas"
    assert found["part.name"].about == "First line, second line."
    assert found["part.name"].default == ""


def test_a_value_takes_what_its_kind_or_else_its_default_tells() -> None:
    schema = schema_of(SMALL)
    count = schema["properties"]["count"]
    assert count == {
        "description": "How many.",
        "default": 2,
        "type": "integer",
        "minimum": 0,
        "maximum": 10,
    }
    assert schema["properties"]["part"]["properties"]["name"]["type"] == "string"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("count: 2\n", "count has no comment: say what it does"),
        ("part:\n  # A thing.\n  a: 1\n  b: 2\n", "part.b has no comment"),
        ("# A thing.\nthings: {}\n", "things does not tell its kind: add a line `@kind`"),
        ("# A thing.\n# @kind thing\nthing: 1\n", "thing has @kind thing: no such kind"),
        ("- 1\n", "values.yaml holds no map"),
    ],
)
def test_a_value_that_says_too_little_is_refused(text: str, says: str) -> None:
    with pytest.raises(ChartError, match=re.escape(says)):
        schema_of(text)


def test_no_level_of_the_schema_lets_an_unknown_key_through() -> None:
    schema = shipped_schema()
    free = schema["properties"]["extraEnv"]  # what Kubernetes itself checks
    assert "additionalProperties" not in free["items"]
    assert all(one["additionalProperties"] is False for one in objects(schema))


def test_every_value_is_needed_so_that_null_takes_none_away() -> None:
    schema = schema_of(SMALL)
    assert schema["required"] == ["count", "part"]
    assert schema["properties"]["part"]["required"] == ["name"]


def test_every_setting_of_the_operator_is_a_value() -> None:
    properties = settings_schema()["properties"]
    fields = {n: f for n, f in Settings.model_fields.items() if n not in OF_THE_POD}
    assert list(properties) == [to_camel(name) for name in fields]
    for name, field in fields.items():
        assert properties[to_camel(name)]["default"] == field.default
        assert properties[to_camel(name)]["description"] == field.description


def test_the_port_that_probes_know_cannot_be_any_port() -> None:
    assert settings_schema()["properties"]["httpPort"]["minimum"] == 1


def test_the_spec_of_a_policy_is_held_to_the_types() -> None:
    spec = shipped_schema()["properties"]["policy"]["properties"]["spec"]
    assert spec["properties"]["mode"]["enum"] == ["Off", "Recommend", "Apply"]
    assert (
        spec["properties"]["bounds"]["properties"]["warmIPTarget"]["additionalProperties"] is False
    )
    assert "x-kubernetes" not in json.dumps(spec)


def test_groups_of_rules_that_the_chart_ships_have_a_switch_each() -> None:
    values = read((CHART / "values.yaml").read_text())
    schema = values_schema(values, rule_groups=["subnets"])
    groups = schema["properties"]["prometheusRule"]["properties"]["groups"]
    assert groups["properties"] == {"subnets": {"type": "boolean"}}
    assert groups["additionalProperties"] is False


def test_the_readme_tells_of_every_value_and_setting() -> None:
    readme = (CHART / "README.md").read_text()
    for value in leaves(read((CHART / "values.yaml").read_text())):
        assert f"| `{value.name}` |" in readme
    for name in set(Settings.model_fields) - set(OF_THE_POD):
        assert f"| `{to_camel(name)}` | `{PREFIX}{name.upper()}` |" in readme


def test_what_is_written_around_the_tables_stays() -> None:
    once = with_tables(f"# Title\n\n{BEGIN}\nwritten before\n{END}\n\nThe end.\n", read(SMALL))
    assert once.startswith(f"# Title\n\n{BEGIN}\n\n## Values\n")
    assert once.endswith(f"{END}\n\nThe end.\n")
    assert "written before" not in once
    assert with_tables(once, read(SMALL)) == once


def test_a_readme_without_a_place_for_the_tables_is_refused() -> None:
    with pytest.raises(ChartError, match="no place for its tables"):
        with_tables("# Title\n", read(SMALL))
