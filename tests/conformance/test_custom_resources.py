"""Custom resources: served by their definition, pruned, defaulted and checked by its schema."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from kubeapi import MERGE, STRATEGIC, KubeAPI, managers, until

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 9},
                "mode": {"type": "string", "enum": ["Off", "On"], "default": "Off"},
                "window": {"type": "string", "pattern": "^[0-9]+h$"},
                "nested": {
                    "type": "object",
                    "default": {},
                    "properties": {"depth": {"type": "integer", "default": 3}},
                },
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "items": {
                    "type": "array",
                    "maxItems": 3,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "value": {"type": "integer"}},
                    },
                },
                "share": {"x-kubernetes-int-or-string": True},
            },
        },
        "status": {
            "type": "object",
            "properties": {
                "seen": {"type": "integer"},
                "conditions": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                    "items": {
                        "type": "object",
                        "required": ["type"],
                        "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                    },
                },
            },
        },
    },
}


@dataclass(frozen=True)
class Things:
    """A custom resource made for one test."""

    api: KubeAPI
    group: str

    @property
    def collection(self) -> str:
        return f"/apis/{self.group}/v1/things"

    def body(self, **spec: Any) -> dict[str, Any]:
        head = {"apiVersion": f"{self.group}/v1", "kind": "Thing", "metadata": {"name": "a"}}
        return {**head, "spec": spec}

    def create(self, **spec: Any) -> Any:
        return self.api.call("POST", self.collection, self.body(**spec))


@pytest.fixture
def things(kube_api: KubeAPI) -> Iterator[Things]:
    """A cluster-scoped kind `Thing` in a group of its own."""
    made = Things(kube_api, f"{secrets.token_hex(4)}.example.com")
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{made.group}"},
        "spec": {
            "group": made.group,
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing", "shortNames": ["thg"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": SCHEMA},
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                        {
                            "name": "Ready",
                            "type": "string",
                            "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
                        },
                    ],
                }
            ],
        },
    }
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert kube_api.call("POST", root, definition).code == 201
    until(lambda: kube_api.call("GET", made.collection).code == 200)
    yield made
    kube_api.call("DELETE", f"{root}/things.{made.group}")


def test_a_definition_is_established_and_discovered(kube_api: KubeAPI, things: Things) -> None:
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    status = kube_api.call("GET", f"{root}/things.{things.group}").body["status"]
    states = {c["type"]: c["status"] for c in status["conditions"]}
    assert (states["Established"], states["NamesAccepted"]) == ("True", "True")
    assert status["storedVersions"] == ["v1"]
    found = until(lambda: kube_api.call("GET", f"/apis/{things.group}/v1").body.get("resources"))
    assert [entry["name"] for entry in found] == ["things", "things/status"]
    assert found[0]["shortNames"] == ["thg"]
    assert found[0]["namespaced"] is False


def test_defaults_are_filled_in(things: Things) -> None:
    made = things.create(size=1)
    assert made.body["spec"] == {"size": 1, "mode": "Off", "nested": {"depth": 3}}
    assert made.body["metadata"]["generation"] == 1


def test_unknown_fields_are_dropped_with_a_warning(things: Things) -> None:
    made = things.create(size=1, nonsense=2, free={"kept": {"deep": 1}}, labels={"a": "b"})
    assert "nonsense" not in made.body["spec"]
    assert made.body["spec"]["free"] == {"kept": {"deep": 1}}
    assert made.body["spec"]["labels"] == {"a": "b"}
    assert made.headers["Warning"] == '299 - "unknown field \\"spec.nonsense\\""'


def test_unknown_fields_are_refused_where_asked(things: Things) -> None:
    body = things.body(size=1, nonsense=2)
    reply = things.api.call("POST", things.collection, body, fieldValidation="Strict")
    assert (reply.code, reply.body["reason"]) == (400, "BadRequest")
    assert 'strict decoding error: unknown field "spec.nonsense"' in reply.message


@pytest.mark.parametrize(
    ("spec", "cause", "message"),
    [
        ({}, "FieldValueRequired", "spec.size: Required value"),
        (
            {"size": 0},
            "FieldValueInvalid",
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (
            {"size": 10},
            "FieldValueInvalid",
            "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9",
        ),
        (
            {"size": "x"},
            "FieldValueTypeInvalid",
            'spec.size: Invalid value: "string": spec.size in body must be of type integer:'
            ' "string"',
        ),
        (
            {"size": 1, "mode": "Maybe"},
            "FieldValueNotSupported",
            'spec.mode: Unsupported value: "Maybe": supported values: "Off", "On"',
        ),
        (
            {"size": 1, "window": "1d"},
            "FieldValueInvalid",
            "spec.window: Invalid value: \"1d\": spec.window in body should match '^[0-9]+h$'",
        ),
        (
            {"size": 1, "items": [{"name": "a"}, {"name": "a"}]},
            "FieldValueDuplicate",
            'spec.items[1]: Duplicate value: {"name":"a"}',
        ),
        (
            {"size": 1, "items": [{"name": n} for n in "abcd"]},
            "FieldValueTooMany",
            "spec.items: Too many: 4: must have at most 3 items",
        ),
        (
            {"size": 1, "share": 1.5},
            "FieldValueTypeInvalid",
            'spec.share: Invalid value: "number": spec.share in body must be of type'
            ' integer,string: "number"',
        ),
    ],
)
def test_what_the_schema_forbids_is_invalid(
    things: Things, spec: dict[str, Any], cause: str, message: str
) -> None:
    reply = things.create(**spec)
    assert (reply.code, reply.body["reason"]) == (422, "Invalid")
    assert reply.message == f'Thing.{things.group} "a" is invalid: {message}'
    assert reply.body["details"]["kind"] == "Thing"
    assert [item["reason"] for item in reply.body["details"]["causes"]] == [cause]


def test_status_is_apart_and_generation_counts_the_spec(things: Things) -> None:
    api, path = things.api, f"{things.collection}/a"
    made = api.call("POST", things.collection, {**things.body(size=1), "status": {"seen": 1}})
    assert "status" not in made.body
    both = {"spec": {"size": 2}, "status": {"seen": 1}, "metadata": {"labels": {"x": "y"}}}
    status = api.call("PATCH", f"{path}/status", both, content_type=MERGE).body
    assert (status["spec"]["size"], status["status"]) == (1, {"seen": 1})
    assert "labels" not in status["metadata"]
    assert status["metadata"]["generation"] == 1
    main = api.call("PATCH", path, {**both, "status": {"seen": 5}}, content_type=MERGE).body
    assert (main["spec"]["size"], main["status"]) == (2, {"seen": 1})
    assert main["metadata"]["generation"] == 2


def test_an_update_must_state_its_version(things: Things) -> None:
    things.create(size=1)
    reply = things.api.call("PUT", f"{things.collection}/a", things.body(size=2))
    assert (reply.code, reply.body["reason"]) == (422, "Invalid")
    assert "metadata.resourceVersion: Invalid value: 0: must be specified" in reply.message


def test_strategic_patches_are_for_built_in_kinds(things: Things) -> None:
    things.create(size=1)
    path = f"{things.collection}/a"
    reply = things.api.call("PATCH", path, {"spec": {"size": 2}}, content_type=STRATEGIC)
    assert (reply.code, reply.body["reason"]) == (415, "UnsupportedMediaType")


def test_lists_in_the_schema_are_merged_by_their_keys(things: Things) -> None:
    path = f"{things.collection}/a"
    one = things.body(size=1, items=[{"name": "x", "value": 1}])
    two = things.body(items=[{"name": "y", "value": 2}])
    assert things.api.apply(path, one, "one").code == 201
    body = things.api.apply(path, two, "two").body
    assert body["spec"]["items"] == [{"name": "x", "value": 1}, {"name": "y", "value": 2}]
    entry = {".": {}, "f:name": {}, "f:value": {}}
    assert managers(body)["two", "Apply"] == {"f:spec": {"f:items": {'k:{"name":"y"}': entry}}}
    assert managers(body)["one", "Apply"]["f:spec"]["f:size"] == {}


def test_the_creator_of_a_custom_resource_owns_its_spec(things: Things) -> None:
    body = things.create(size=1, labels={"a": "b"}).body
    assert managers(body)["conformance", "Update"] == {
        "f:spec": {
            ".": {},
            "f:labels": {".": {}, "f:a": {}},
            "f:mode": {},
            "f:nested": {".": {}, "f:depth": {}},
            "f:size": {},
        }
    }


def test_printer_columns_make_the_table(things: Things) -> None:
    things.create(size=4)
    condition = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    path = f"{things.collection}/a/status"
    assert things.api.call("PATCH", path, condition, content_type=MERGE).code == 200
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = things.api.call("GET", things.collection, headers=accept).body
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size", "Ready"]
    assert table["rows"][0]["cells"] == ["a", 4, "True"]


def test_a_schema_can_change_while_objects_are_there(things: Things) -> None:
    things.create(size=9)
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    path = f"{root}/things.{things.group}"
    place = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/maximum"
    change = [{"op": "replace", "path": place, "value": 20}]
    kind = "application/json-patch+json"
    assert things.api.call("PATCH", path, change, content_type=kind).code == 200
    wider = {"spec": {"size": 15}}
    until(
        lambda: (
            things.api.call("PATCH", f"{things.collection}/a", wider, content_type=MERGE).code
            == 200
        )
    )


def test_objects_go_with_their_definition(things: Things) -> None:
    things.create(size=1)
    root = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    things.api.call("DELETE", f"{root}/things.{things.group}")
    until(lambda: things.api.call("GET", things.collection).code == 404)
