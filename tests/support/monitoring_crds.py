"""The three resources of the Prometheus operator that the chart makes objects of.

Each is as narrow as what the chart uses: a field that is misspelt, or of the wrong kind, is refused
by the API server.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

GROUP = "monitoring.coreos.com"
TEXT: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w|y))+$"}


def _object(required: tuple[str, ...], **properties: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_SELECTOR = _object(("matchLabels",), matchLabels=TEXTS)
_ENDPOINT = _object(("port",), port=TEXT, path=TEXT, interval=DURATION, scrapeTimeout=DURATION)
_RULE = _object(
    ("expr",),
    alert=TEXT,
    record=TEXT,
    expr=TEXT,
    labels=TEXTS,
    annotations=TEXTS,
    keep_firing_for=DURATION,
    **{"for": DURATION},
)
_GROUP = _object(("name", "rules"), name=TEXT, interval=DURATION, rules=_list(_RULE))
_SPECS = {
    "ServiceMonitor": _object(
        ("selector", "endpoints"), selector=_SELECTOR, endpoints=_list(_ENDPOINT)
    ),
    "PodMonitor": _object(
        ("selector", "podMetricsEndpoints"),
        selector=_SELECTOR,
        podMetricsEndpoints=_list(_ENDPOINT),
    ),
    "PrometheusRule": _object(("groups",), groups=_list(_GROUP)),
}


def monitoring_crds() -> dict[str, Any]:
    """A List of the CustomResourceDefinitions."""
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [_crd(kind, spec) for kind, spec in _SPECS.items()],
    }


def _crd(kind: str, spec: Schema) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _object(("spec",), spec=spec)},
                }
            ],
        },
    }
