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
    assert group.objective is None
    assert group.bounds is None


def test_a_group_may_have_its_own_objective_and_bounds() -> None:
    bounds = {"warmIPTarget": {"min": 1, "max": 4}, "minimumIPTarget": {"min": 0, "max": 0}}
    raw = {**POOL, "objective": {"maxDelayedStarts": "5%"}, "bounds": bounds}
    (group,) = READ.validate_python([raw])
    assert group.objective.max_delayed_starts.fraction == 0.05
    assert group.to_raw() == raw


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
    "share": ([{**POOL, "objective": {"maxDelayedStarts": "101%"}}], "from 0% to 100%"),
    "no objective": ([{**POOL, "objective": {}}], "Field required"),
    "calls": ([{**POOL, "objective": {"maxEC2CallsPerMinute": 5}}], "Extra inputs"),
    "order": ([{**POOL, "bounds": {"minimumIPTarget": {"min": 2, "max": 1}}}], "at most max"),
    "no spare": ([{**POOL, "bounds": {"warmIPTarget": {"min": 0, "max": 1}}}], "at least 1"),
    "half a range": ([{**POOL, "bounds": {"warmIPTarget": {"min": 1}}}], "Field required"),
    "text": ([{**POOL, "bounds": {"warmIPTarget": {"min": "1", "max": 2}}}], "valid integer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(case: str) -> None:
    raw, says = REFUSED[case]
    with pytest.raises(ValidationError, match=says):
        READ.validate_python(raw)


def test_the_schema_has_every_rule() -> None:
    schema = structural(NodeGroup)
    assert schema["required"] == ["name", "nodeSelector"]
    selector, bounds = (schema["properties"][name] for name in ("nodeSelector", "bounds"))
    assert selector["maxProperties"] == 10
    (rule,) = selector["x-kubernetes-validations"]
    assert rule["rule"].startswith("size(self) >= 1")
    warm = bounds["properties"]["warmIPTarget"]["x-kubernetes-validations"]
    assert {each["rule"] for each in warm} == {"self.min <= self.max", "self.min >= 1"}
