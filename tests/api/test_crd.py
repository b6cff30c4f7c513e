"""The CRD is generated, whole, structural, and says the same as the types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ippolicy.api import PolicySpec
from ippolicy.api.crd import custom_resource_definition, main, render
from ippolicy.api.rules import VALIDATIONS, camel_case

CRD_FILE = Path(__file__).parents[2] / "deploy/crd/ippolicies.yaml"
SCHEMA = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
FORBIDDEN = {"$ref", "$defs", "title", "anyOf", "allOf", "oneOf", "const", "propertyNames"}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema node with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


SPEC_NODES = dict(nodes(SCHEMA["properties"]["spec"], "spec"))
FIELDS = {
    path: node
    for part in ("spec", "status")
    for path, node in nodes(SCHEMA["properties"][part], part)
    if not path.endswith(("[]", "{}"))
}


def test_the_shipped_crd_is_the_generated_one() -> None:
    assert CRD_FILE.read_text() == render()


def test_the_same_types_give_the_same_text() -> None:
    assert render() == render()


def test_the_text_has_no_anchors_and_reads_back_as_it_was() -> None:
    assert yaml.safe_load(render()) == custom_resource_definition()
    assert not re.search(r"[&*]id\d", render())


def test_every_field_is_typed_and_described() -> None:
    assert len(FIELDS) > 90
    for path, field in FIELDS.items():
        assert field["type"], path
        assert re.fullmatch(r"(aws-node|[A-Z/]).*[.]", field["description"]), path


def test_the_schema_is_structural() -> None:
    for path, node in nodes(SCHEMA):
        assert not FORBIDDEN & node.keys(), path
        assert node.get("additionalProperties") is not False, path


def test_an_empty_spec_is_defaulted_at_every_level() -> None:
    whole = PolicySpec().to_raw()

    def defaulted(node: dict[str, Any]) -> Any:
        if "default" not in node or "properties" not in node:
            return node.get("default")
        children = {name: defaulted(child) for name, child in node["properties"].items()}
        return {name: value for name, value in children.items() if value is not None}

    assert SCHEMA["properties"]["spec"]["default"] == whole
    assert defaulted(SCHEMA["properties"]["spec"]) == whole


def test_only_what_may_be_left_out_altogether_has_no_default() -> None:
    without = {
        path
        for path, node in SPEC_NODES.items()
        if "default" not in node and not path.endswith(("[]", "{}"))
        if not path.startswith(
            ("spec.demand.prometheus.", "spec.change.windows[].", "spec.groups[].")
        )
    }
    assert without == {
        "spec.demand.prometheus",
        "spec.objective.maxDelayedStarts",
        "spec.objective.maxEC2CallsPerMinute",
        "spec.subnets.quota",
    }


def test_of_a_bound_of_a_group_each_end_has_its_default_and_the_bound_none() -> None:
    path = "spec.groups[].bounds.warmIPTarget"
    assert "default" not in SPEC_NODES[path]
    assert SPEC_NODES[f"{path}.min"]["default"] == 1
    assert SPEC_NODES[f"{path}.max"]["default"] == 32


def test_everything_that_cel_walks_is_bounded() -> None:
    for path, node in SPEC_NODES.items():
        if node["type"] == "string" and "enum" not in node:
            assert "maxLength" in node, path
        if node["type"] == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path
        if node["type"] == "integer":
            assert "maximum" in node, path


def test_every_rule_tells_a_fix_in_one_line() -> None:
    rules = [rule for _, node in nodes(SCHEMA) for rule in node.get(VALIDATIONS, ())]
    assert len(rules) >= 15
    for rule in rules:
        assert "must" in rule["message"]
        assert "\n" not in rule["message"]
        assert len(rule["message"]) <= 200


def test_the_columns_are_those_a_user_looks_for() -> None:
    columns = custom_resource_definition()["spec"]["versions"][0]["additionalPrinterColumns"]
    shown = [column["name"] for column in columns if not column.get("priority")]
    assert shown == ["Mode", "Min", "Warm", "Held", "Saves", "Subnet-left", "Ready", "Age"]
    fields = set(FIELDS)
    for column in columns:
        path = re.sub(r"\[\?.*?\]", "[]", column["jsonPath"]).removeprefix(".")
        known = path.startswith("metadata.") or path in fields
        assert known, column


def test_conditions_are_a_map_by_type() -> None:
    conditions = SCHEMA["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mode", "mode"),
        ("warm_ip_target", "warmIPTarget"),
        ("max_ec2_calls_per_minute", "maxEC2CallsPerMinute"),
        ("min_evidence", "minEvidence"),
    ],
)
def test_names_are_written_in_the_manner_of_kubernetes(name: str, shown: str) -> None:
    assert camel_case(name) == shown


def test_check_is_silent_on_the_generated_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "crd.yaml").write_text(printed)
    assert main(["--check", str(tmp_path / "crd.yaml")]) == 0


def test_check_names_a_stale_or_missing_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "crd.yaml"
    assert main(["--check", str(stale)]) == 1
    stale.write_text(render() + "# edited\n")
    assert main(["--check", str(stale)]) == 1
    assert f"{stale} is stale: run" in capsys.readouterr().err


def test_unknown_arguments_show_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--write"]) == 2
    assert "usage:" in capsys.readouterr().err
