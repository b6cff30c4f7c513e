"""Patches, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from ippolicy.sandbox.kube.patch import json_patch, merge_patch, strategic_patch
from ippolicy.sandbox.kube.refusals import Refused
from ippolicy.sandbox.kube.shapes import built_in

POD = built_in("Pod")


@pytest.mark.parametrize(
    ("value", "change", "expected"),
    [
        ({"a": 1}, {"a": None}, {}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({}, {"a": {"b": None}}, {"a": {}}),
    ],
)
def test_merge_patches(value: Any, change: Any, expected: Any) -> None:
    assert merge_patch(value, change) == expected


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/l/1", "value": 9}], {"l": [1, 9, 2], "a~/b": 0}),
        ([{"op": "add", "path": "/l/-", "value": 9}], {"l": [1, 2, 9], "a~/b": 0}),
        ([{"op": "remove", "path": "/l/0"}], {"l": [2], "a~/b": 0}),
        ([{"op": "replace", "path": "/a~0~1b", "value": 5}], {"l": [1, 2], "a~/b": 5}),
        ([{"op": "move", "from": "/l/0", "path": "/x"}], {"l": [2], "a~/b": 0, "x": 1}),
        ([{"op": "copy", "from": "/l", "path": "/x"}], {"l": [1, 2], "a~/b": 0, "x": [1, 2]}),
        ([{"op": "replace", "path": "/l/1", "value": 7}], {"l": [1, 7], "a~/b": 0}),
    ],
)
def test_json_patches(operations: Any, expected: Any) -> None:
    assert json_patch({"l": [1, 2], "a~/b": 0}, operations) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/nowhere"},
        {"op": "replace", "path": "/nowhere", "value": 1},
        {"op": "add", "path": "/l/7", "value": 1},
        {"op": "test", "path": "/l/0", "value": 2},
        {"op": "add", "path": "/deep/er", "value": 1},
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused_whole(operation: Any) -> None:
    value = {"l": [1, 2]}
    with pytest.raises(Refused) as caught:
        json_patch(value, [{"op": "add", "path": "/x", "value": 1}, operation])
    assert caught.value.code == 422
    assert value == {"l": [1, 2]}


def strategic(value: Any, change: Any) -> Any:
    return strategic_patch({"spec": value}, {"spec": change}, POD)["spec"]


@pytest.mark.parametrize(
    ("value", "change", "expected"),
    [
        (
            {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]},
            {"containers": [{"name": "a", "image": "2"}]},
            {"containers": [{"name": "a", "image": "2"}, {"name": "b"}]},
        ),
        (
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"containers": [{"name": "a", "$patch": "delete"}]},
            {"containers": [{"name": "b"}]},
        ),
        (
            {"containers": [{"name": "a"}]},
            {"containers": [{"$patch": "replace"}, {"name": "c"}]},
            {"containers": [{"name": "c"}]},
        ),
        (
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]},
            {"containers": [{"name": "b"}, {"name": "a"}]},
        ),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, "replaced"),
        ({"nodeSelector": {"a": "b"}}, {"nodeSelector": {"$patch": "replace", "c": "d"}}, None),
        (
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            {
                "volumes": [
                    {"name": "v", "hostPath": {"path": "/"}, "$retainKeys": ["name", "hostPath"]}
                ]
            },
            {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
        ),
    ],
)
def test_strategic_patches(value: Any, change: Any, expected: Any) -> None:
    if expected == "replaced":
        expected = change
    elif expected is None:
        expected = {"nodeSelector": {"c": "d"}}
    assert strategic(value, change) == expected


def test_primitives_are_merged_and_deleted_in_sets() -> None:
    value = {"metadata": {"finalizers": ["a", "b"]}}
    added = strategic_patch(value, {"metadata": {"finalizers": ["b", "c"]}}, POD)
    assert added["metadata"]["finalizers"] == ["a", "b", "c"]
    gone = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert strategic_patch(added, gone, POD)["metadata"]["finalizers"] == ["b", "c"]
