"""Groups of the user's own, and what is refused about them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

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
    "more": ([{**POOL, "bounds": {}}], "Extra inputs"),
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
