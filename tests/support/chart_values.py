"""Values for the chart, drawn from its own schema: everything that it lets through should work.

Where Kubernetes, not the schema, knows what makes sense (a toleration, say) they are drawn from
examples.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from helm import CHART

Values = dict[str, Any]

LABELS = [{}, {"team": "network"}, {"example.org/owner": "network", "tier": "1"}]
CIDRS = [["0.0.0.0/0"], ["10.0.0.0/16", "10.1.0.0/16"], ["fd00::/8"]]
EXAMPLES: dict[str, list[Any]] = {
    "daemonSet.namespace": ["kube-system", "default"],
    "policy.spec": [
        {},
        {"mode": "Apply", "bounds": {"warmIPTarget": {"min": 2, "max": 16}}},
        {"objective": {"goal": "FastStart"}, "demand": {"window": "168h"}},
    ],
    "serviceAccount.annotations": [
        {},
        {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/ippolicy-operator"},
    ],
    "resources": [{}, {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}],
    "nodeSelector": [{}, {"kubernetes.io/os": "linux", "pool": "system"}],
    "tolerations": [[], [{"operator": "Exists"}], [{"key": "dedicated", "value": "system"}]],
    "affinity": [
        {},
        {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "pool", "operator": "Exists"}]}
                    ]
                }
            }
        },
    ],
    "topologySpreadConstraints": [
        [],
        [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule",
            }
        ],
    ],
    "podLabels": LABELS,
    "podAnnotations": LABELS,
    "service.annotations": LABELS,
    "serviceMonitor.labels": LABELS,
    "podMonitor.labels": LABELS,
    "prometheusRule.labels": LABELS,
    "dashboards.labels": LABELS,
    "dashboards.annotations": LABELS,
    "extraEnv": [
        [],
        [{"name": "AWS_REGION", "value": "eu-central-1"}],
        [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
    ],
    "extraVolumes": [[{"name": "scratch", "emptyDir": {}}]],
    "extraVolumeMounts": [[], [{"name": "scratch", "mountPath": "/scratch"}]],
    "webhook.from": [[], [{"ipBlock": {"cidr": "10.0.0.0/16"}}]],
    "webhook.certManager.issuerRef": [{}, {"name": "mine", "kind": "ClusterIssuer"}],
    "networkPolicy.metricsFrom": [
        [],
        [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
    ],
    "networkPolicy.apiServerCIDRs": CIDRS,
    "networkPolicy.nodeCIDRs": CIDRS,
    "networkPolicy.awsCIDRs": CIDRS,
    "networkPolicy.extraEgress": [
        [],
        [{"to": [{"ipBlock": {"cidr": "10.0.0.9/32"}}], "ports": [{"port": 9090}]}],
    ],
}


def chart_values() -> st.SearchStrategy[Values]:
    """Values that the schema lets through and that do not contradict each other."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    del schema["properties"]["global"]
    return _group(schema, "").map(_completed).filter(lambda values: not _contradictory(values))


def _completed(values: Values) -> Values:
    """With the volume that mounts need."""
    if "extraVolumeMounts" in values:
        values["extraVolumes"] = EXAMPLES["extraVolumes"][0]
    return values


def _contradictory(values: Values) -> bool:
    on = {
        name for name, value in values.items() if isinstance(value, dict) and value.get("enabled")
    }
    service = values.get("service", {}).get("enabled", True)
    return (
        {"serviceMonitor", "podMonitor"} <= on
        or ("serviceMonitor" in on and not service)
        or ("networkPolicy" in on and bool(values.get("hostNetwork")))
        # The resources of cert-manager are not known to the tests' API servers.
        or bool(values.get("webhook", {}).get("certManager", {}).get("enabled"))
    )


def _any(schema: dict[str, Any], path: str) -> st.SearchStrategy[Any]:
    drawn: st.SearchStrategy[Any]
    match schema:
        case _ if path in EXAMPLES:
            drawn = st.sampled_from(EXAMPLES[path])
        case {"enum": values}:
            drawn = st.sampled_from(values)
        case {"type": [*kinds]}:
            drawn = st.one_of(*(_any({**schema, "type": kind}, path) for kind in kinds))
        case {"type": "object"}:
            drawn = _group(schema, f"{path}.")
        case {"type": "array", "items": items}:
            whole = items.get("required", [])
            one = _group(items, path, whole) if items["type"] == "object" else _any(items, path)
            same = json.dumps if schema.get("uniqueItems") else None
            drawn = st.lists(one, max_size=2, unique_by=same)
        case {"type": "boolean"}:
            drawn = st.booleans()
        case {"type": "integer"}:
            drawn = st.integers(schema.get("minimum"), schema.get("maximum", 100))
        case {"type": "string", "pattern": pattern}:
            text = st.from_regex(pattern.replace("^", r"\A").replace("$", r"\Z"))
            drawn = text.filter(lambda made: len(made) <= schema.get("maxLength", 63))
        case _:
            drawn = st.text("abc -=", min_size=schema.get("minLength", 0), max_size=9)
    return drawn


def _group(
    schema: dict[str, Any], above: str, needed: Sequence[str] = ()
) -> st.SearchStrategy[Values]:
    """The needed ones of an object's values, and some of the others."""
    every = {name: _any(one, f"{above}{name}") for name, one in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: every[name] for name in needed},
        optional={name: one for name, one in every.items() if name not in needed},
    )
