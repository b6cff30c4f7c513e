"""The CustomResourceDefinition, generated from the types.

python -m ippolicy.api.crd > deploy/crd/ippolicies.yaml
python -m ippolicy.api.crd --check deploy/crd/ippolicies.yaml     # exit 1 when stale
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ippolicy.api.objective import Bounds
from ippolicy.api.rules import VALIDATIONS, Part
from ippolicy.api.spec import GROUP, KIND, PLURAL, VERSION, PolicySpec
from ippolicy.api.status import PolicyStatus
from ippolicy.api.validate import NAME_MESSAGE, NAME_RULE

HEADER = "# Generated from the types by `python -m ippolicy.api.crd`; edit operator/ippolicy/api.\n"

_READY = '.status.conditions[?(@.type=="Ready")]'
_COLUMNS = (
    ("Mode", "string", ".spec.mode", 0),
    ("Min", "integer", ".status.recommendation.targets.minimumIP", 0),
    ("Warm", "integer", ".status.recommendation.targets.warmIP", 0),
    ("Held", "integer", ".status.totals.held", 0),
    ("Saves", "integer", ".status.recommendation.saves", 0),
    ("Subnet-left", "string", ".status.subnetLeft", 0),
    ("Ready", "string", f"{_READY}.status", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Reason", "string", f"{_READY}.reason", 1),
    ("Recommended", "string", ".status.recommendation.text", 1),
    ("Nodes", "integer", ".status.totals.nodes", 1),
    ("Pods", "integer", ".status.totals.pods", 1),
    ("Assigned", "integer", ".status.totals.assigned", 1),
    ("Observed", "string", ".status.recommendation.observed", 1),
)
_KEPT = (
    "type",
    "description",
    "enum",
    "format",
    "pattern",
    "maxLength",
    "minimum",
    "maximum",
    "maxItems",
    "maxProperties",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    VALIDATIONS,
)


class _Plain(yaml.SafeDumper):
    """YAML without anchors: a reader should find each default where it counts."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def custom_resource_definition() -> dict[str, Any]:
    """The CustomResourceDefinition as plain data, in the order it is written in."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["ipp"],
                "categories": ["all-ippolicy"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
                    "schema": {"openAPIV3Schema": _resource_schema()},
                }
            ],
        },
    }


def render() -> str:
    """The CustomResourceDefinition as YAML text, the same for the same types."""
    body = yaml.dump(
        custom_resource_definition(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100
    )
    return f"{HEADER}{body}"


def structural(part: type[Part]) -> dict[str, Any]:
    """The structural schema of a type: no references, a description on every field, no unions."""
    raw = part.model_json_schema(by_alias=True)
    return _structural(raw, raw.get("$defs", {}))


def _resource_schema() -> dict[str, Any]:
    spec = structural(PolicySpec)
    _set_defaults(spec, PolicySpec().to_raw())
    _set_ends(spec["properties"]["groups"]["items"]["properties"]["bounds"])
    status = structural(PolicyStatus)
    status["properties"]["conditions"] |= {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }
    return {
        "type": "object",
        "description": "An IPPolicy says what the warm pools of the Amazon VPC CNI are to achieve,"
        " and within which limits.",
        VALIDATIONS: [{"rule": NAME_RULE, "message": NAME_MESSAGE}],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }


def _structural(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    node = _resolve(node, definitions)
    schema = {key: node[key] for key in _KEPT if key in node}
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if "properties" in node:
        properties = node["properties"]
        schema["properties"] = {k: _structural(v, definitions) for k, v in properties.items()}
    if isinstance(node.get("additionalProperties"), Mapping):
        schema["additionalProperties"] = _structural(node["additionalProperties"], definitions)
    if "items" in node:
        schema["items"] = _structural(node["items"], definitions)
    if "required" in node:
        schema["required"] = node["required"]
    return schema


def _resolve(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """`node` without references and without the branch that only says it may be left out."""
    resolved = dict(node)
    if "anyOf" in resolved:
        (present,) = (branch for branch in resolved.pop("anyOf") if branch != {"type": "null"})
        resolved = {**_resolve(present, definitions), **resolved}
    if "$ref" in resolved:
        target = definitions[resolved.pop("$ref").removeprefix("#/$defs/")]
        resolved = {**_resolve(target, definitions), **resolved}
    return resolved


def _set_defaults(schema: dict[str, Any], default: Any) -> None:
    """The whole default at every level: CEL rules are held to each level's default by itself."""
    schema["default"] = default
    for name, child in schema.get("properties", {}).items():
        if name in default:
            _set_defaults(child, default[name])


def _set_ends(bounds: dict[str, Any]) -> None:
    """A bound that a group leaves out is the policy's; of one that it gives, each end that is left
    out has its default."""
    for name, ends in Bounds().to_raw().items():
        for end, default in ends.items():
            bounds["properties"][name]["properties"][end]["default"] = default


def _column(name: str, kind: str, path: str, priority: int) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": path}
    return column | ({"priority": priority} if priority else {})


def main(arguments: Sequence[str]) -> int:
    """Print the CRD, or with `--check FILE` say whether the file is up to date (exit 1 if not)."""
    text = render()
    if len(arguments) == 2 and arguments[0] == "--check":
        path = Path(arguments[1])
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return 0
        sys.stderr.write(f"{path} is stale: run `python -m ippolicy.api.crd > {path}`\n")
        return 1
    if arguments:
        sys.stderr.write("usage: python -m ippolicy.api.crd [--check FILE]\n")
        return 2
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
