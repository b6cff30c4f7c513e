"""Groups of the user's own, and what is refused about them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from ippolicy.api import PolicySpec
from ippolicy.api.crd import structural
from ippolicy.api.groups import MAX_GROUPS, Groups, NodeGroup

READ: TypeAdapter[Any] = TypeAdapter(Groups)
POOL = {"name": "batch", "nodeSelector": {"pool": "batch"}}


def test_a_group_needs_a_name_and_labels_alone() -> None:
    (group,) = READ.validate_python([POOL])
    assert (group.name, group.node_selector) == ("batch", {"pool": "batch"})


REFUSED: dict[str, tuple[list[Any], str]] = {
    "no name": ([{"nodeSelector": {"a": "b"}}], "Field required"),
    "no labels": ([{"name": "a"}], "Field required"),
    "empty labels": ([{"name": "a", "nodeSelector": {}}], "at least one label"),
    "empty key": ([{"name": "a", "nodeSelector": {"": "b"}}], "1 to 317 characters"),
    "many labels": ([{"name": "a", "nodeSelector": {str(n): "" for n in range(11)}}], "at most 10"),
    "odd value": ([{"name": "a", "nodeSelector": {"a": "b c"}}], "value of a label"),
    "odd name": ([{**POOL, "name": "-a"}], "fit for a label"),
    "long name": ([{**POOL, "name": "a" * 64}], "at most 63"),
    "name twice": ([POOL, POOL], "a name of its own"),
    "too many": ([{**POOL, "name": f"g{n}"} for n in range(MAX_GROUPS + 1)], "at most 50"),
    "more": ([{**POOL, "taints": {}}], "Extra inputs"),
    "bounds the wrong way": (
        [{**POOL, "bounds": {"warmIPTarget": {"min": 9, "max": 8}}}],
        "min must be at most max",
    ),
    "bounds of a trap": ([{**POOL, "bounds": {"warmIPTarget": {"min": 0}}}], "at least 1"),
    "more bounds": ([{**POOL, "bounds": {"warmENITarget": {}}}], "Extra inputs"),
    "no share": ([{**POOL, "objective": {"maxDelayedStarts": "101%"}}], "share from 0% to 100%"),
    "no calls": ([{**POOL, "objective": {"maxEC2CallsPerMinute": 0}}], "greater than or equal"),
    "no goal": ([{**POOL, "objective": {"goal": "Fast"}}], "Input should be"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(case: str) -> None:
    raw, says = REFUSED[case]
    with pytest.raises(ValidationError, match=says):
        READ.validate_python(raw)


def test_the_schema_has_every_rule() -> None:
    schema = structural(NodeGroup)
    assert schema["required"] == ["name", "nodeSelector"]
    selector = schema["properties"]["nodeSelector"]
    assert selector["maxProperties"] == 10
    (rule,) = selector["x-kubernetes-validations"]
    assert rule["rule"].startswith("size(self) >= 1")


def test_a_group_has_no_wishes_unless_they_are_given() -> None:
    schema = structural(NodeGroup)["properties"]
    assert "default" not in schema["objective"]
    assert "default" not in schema["bounds"]
    assert not any("default" in one for one in schema["objective"]["properties"].values())
    assert not any("default" in one for one in schema["bounds"]["properties"].values())


def spec(*groups: dict[str, Any], **bounds: dict[str, int]) -> PolicySpec:
    """A spec with those groups, and bounds of its own."""
    return PolicySpec.model_validate({"groups": groups, "bounds": bounds})


def bounded(name: str, **bounds: dict[str, int]) -> dict[str, Any]:
    return {**POOL, "name": name, "bounds": bounds}


def test_what_all_keep_is_where_the_bounds_of_all_overlap() -> None:
    found = spec(
        bounded("a", warmIPTarget={"min": 3, "max": 20}),
        bounded("b", warmIPTarget={"min": 1, "max": 9}, minimumIPTarget={"min": 5, "max": 9}),
        warmIPTarget={"min": 2, "max": 12},
    )
    common = found.common_bounds
    assert (common.warm_ip_target.min, common.warm_ip_target.max) == (3, 9)
    assert (common.minimum_ip_target.min, common.minimum_ip_target.max) == (5, 9)
    assert common.warm_prefix_target == found.bounds.warm_prefix_target
    assert not any(found.apart(name) for name in ("warm_ip_target", "minimum_ip_target"))
    assert found.bounds_of("nobody's") == found.bounds


def test_groups_are_named_whose_bounds_the_common_ones_do_not_keep() -> None:
    found = spec(
        bounded("a", warmIPTarget={"min": 9, "max": 20}),
        bounded("b", warmIPTarget={"min": 1, "max": 30}),
        warmIPTarget={"min": 2, "max": 8},
    )
    assert found.common_bounds == found.bounds
    assert found.apart("warm_ip_target") == ("a",)
    assert found.apart("minimum_ip_target") == ()
