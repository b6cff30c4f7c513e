"""How values of a kind merge: which lists are keyed, which values are taken whole.

Server-side apply (`keys`, `atomic`) and strategic merge patch (`merge_key`) follow different
tags of the Kubernetes types; one tree carries both. For built-in kinds only what departs from the
default is written down: maps merge by key, lists are taken whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ippolicy.sandbox.kube.objects import Json, Object, encode

ListType = Literal["atomic", "map", "set"]


@dataclass(frozen=True, eq=False)
class Shape:
    """How one value merges, and its children; `open` says undeclared fields count as declared."""

    fields: Mapping[str, Shape] = field(default_factory=dict)
    open: bool = True
    values: Shape | None = None
    items: Shape | None = None
    list_type: ListType = "atomic"
    keys: tuple[str, ...] = ()
    key_defaults: Mapping[str, Json] = field(default_factory=dict)
    atomic: bool = False
    merge_key: str = ""
    merge_set: bool = False
    retain_keys: bool = False

    def child(self, name: str) -> Shape:
        """The shape of a map's value."""
        return self.fields.get(name) or self.values or DEFAULT

    def item(self) -> Shape:
        """The shape of a list's items."""
        return self.items or DEFAULT

    def names(self, name: str) -> bool:
        """Whether a key is a declared field, as against a key of a free map."""
        return self.open or name in self.fields

    def element(self, item: Json) -> str:
        """The FieldsV1 path element of an item of a keyed list or a set."""
        if self.list_type == "set":
            return "v:" + encode(item).decode()
        pairs = {key: item.get(key, self.key_defaults.get(key)) for key in sorted(self.keys)}
        return "k:" + encode({k: v for k, v in pairs.items() if v is not None}).decode()


DEFAULT = Shape()
UNTYPED = Shape(open=False)
ATOMIC = Shape(atomic=True)


def _keyed(
    *keys: str, merge: str = "", items: Shape = DEFAULT, defaults: Mapping[str, Json] | None = None
) -> Shape:
    return Shape(
        list_type="map",
        keys=keys,
        items=items,
        merge_key=merge or keys[0],
        key_defaults=defaults or {},
    )


def _struct(**fields: Shape) -> Shape:
    return Shape(fields=fields)


_SET = Shape(list_type="set", merge_set=True)
METADATA = _struct(finalizers=_SET, ownerReferences=_keyed("uid", items=ATOMIC))
_VALUE_FROM = _struct(
    configMapKeyRef=ATOMIC, secretKeyRef=ATOMIC, fieldRef=ATOMIC, resourceFieldRef=ATOMIC
)
_TCP = {"protocol": "TCP"}
_CONTAINER = _struct(
    env=_keyed("name", items=_struct(valueFrom=_VALUE_FROM)),
    ports=_keyed("containerPort", "protocol", defaults=_TCP),
    volumeMounts=_keyed("mountPath"),
    volumeDevices=_keyed("devicePath"),
    resources=_struct(claims=_keyed("name")),
)
_CONTAINERS = _keyed("name", items=_CONTAINER)
_NODE_AFFINITY = _struct(requiredDuringSchedulingIgnoredDuringExecution=ATOMIC)
_POD_SPEC = _struct(
    containers=_CONTAINERS,
    initContainers=_CONTAINERS,
    ephemeralContainers=_CONTAINERS,
    volumes=Shape(
        list_type="map",
        keys=("name",),
        merge_key="name",
        items=Shape(retain_keys=True, fields={"secretRef": ATOMIC}),
    ),
    imagePullSecrets=_keyed("name", items=ATOMIC),
    hostAliases=_keyed("ip"),
    topologySpreadConstraints=_keyed("topologyKey", "whenUnsatisfiable"),
    schedulingGates=_keyed("name"),
    resourceClaims=_keyed("name"),
    nodeSelector=ATOMIC,
    affinity=_struct(nodeAffinity=_NODE_AFFINITY),
)
_CONDITIONS = _struct(conditions=_keyed("type"))
_POD_STATUS = _struct(
    conditions=_keyed("type"),
    podIPs=_keyed("ip"),
    hostIPs=Shape(list_type="atomic", merge_key="ip"),
)
_TEMPLATE = _struct(metadata=METADATA, spec=_POD_SPEC)
_WORKLOAD_SPEC = _struct(selector=ATOMIC, template=_TEMPLATE)

_BUILT_IN = {
    "Pod": _struct(metadata=METADATA, spec=_POD_SPEC, status=_POD_STATUS),
    "DaemonSet": _struct(metadata=METADATA, spec=_WORKLOAD_SPEC, status=_CONDITIONS),
    "Deployment": _struct(metadata=METADATA, spec=_WORKLOAD_SPEC, status=_CONDITIONS),
    "ControllerRevision": _struct(metadata=METADATA, data=UNTYPED),
    "Node": _struct(
        metadata=METADATA,
        spec=_struct(podCIDRs=_SET),
        status=_struct(conditions=_keyed("type"), addresses=_keyed("type")),
    ),
    "Namespace": _struct(metadata=METADATA, status=_CONDITIONS),
    "Event": _struct(metadata=METADATA, involvedObject=ATOMIC, related=ATOMIC),
    "ServiceAccount": _struct(metadata=METADATA, secrets=_keyed("name", items=ATOMIC)),
    "Service": _struct(
        metadata=METADATA,
        spec=_struct(
            selector=ATOMIC, ports=_keyed("port", "protocol", merge="port", defaults=_TCP)
        ),
        status=_CONDITIONS,
    ),
    "CustomResourceDefinition": _struct(metadata=METADATA, status=_CONDITIONS),
    "MutatingWebhookConfiguration": _struct(
        metadata=METADATA,
        webhooks=_keyed("name", items=_struct(namespaceSelector=ATOMIC, objectSelector=ATOMIC)),
    ),
}
_PLAIN = _struct(metadata=METADATA)

# What a new object of the Go type already has, so that its creator does not own these as such.
_BLANK_TEMPLATE: Object = {"metadata": {}, "spec": {"containers": None}}
_BLANKS: dict[str, Object] = {
    "Pod": {"spec": {"containers": None}, "status": {}},
    "DaemonSet": {
        "spec": {"selector": None, "template": _BLANK_TEMPLATE, "updateStrategy": {}},
        "status": {},
    },
    "Deployment": {
        "spec": {"selector": None, "template": _BLANK_TEMPLATE, "strategy": {}},
        "status": {},
    },
    "Node": {"spec": {}, "status": {"daemonEndpoints": {"kubeletEndpoint": {}}, "nodeInfo": {}}},
    "Namespace": {"spec": {}, "status": {}},
    "Lease": {"spec": {}},
    "Event": {"involvedObject": {}, "source": {}},
    "CustomResourceDefinition": {"spec": {"names": {}}, "status": {}},
}


def built_in(kind: str) -> Shape:
    """The shape of a built-in kind."""
    return _BUILT_IN.get(kind, _PLAIN)


def blank(kind: str) -> Object:
    """The empty object that a create of a built-in kind is compared with."""
    return {"metadata": {}, **_BLANKS.get(kind, {})}


def from_schema(schema: Mapping[str, Json]) -> Shape:
    """The shape of a custom resource from its structural OpenAPI schema."""
    top = _from_schema(schema)
    return Shape(
        fields={
            **top.fields,
            "metadata": METADATA,
            "apiVersion": DEFAULT,
            "kind": DEFAULT,
        },
        open=False,
        values=top.values,
    )


def _from_schema(schema: Mapping[str, Json]) -> Shape:
    if schema.get("type") == "array":
        list_type = schema.get("x-kubernetes-list-type", "atomic")
        items = schema.get("items", {})
        keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
        defaults = {
            key: spec["default"]
            for key, spec in items.get("properties", {}).items()
            if key in keys and "default" in spec
        }
        return Shape(
            list_type=list_type, keys=keys, key_defaults=defaults, items=_from_schema(items)
        )
    extra = schema.get("additionalProperties")
    return Shape(
        fields={name: _from_schema(sub) for name, sub in schema.get("properties", {}).items()},
        open=False,
        values=_from_schema(extra) if isinstance(extra, dict) else UNTYPED,
        atomic=schema.get("x-kubernetes-map-type") == "atomic",
    )
