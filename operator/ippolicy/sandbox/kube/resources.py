"""The kinds the embedded API serves, and how each behaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ippolicy.sandbox.kube import shapes
from ippolicy.sandbox.kube.objects import Json, Object
from ippolicy.sandbox.kube.shapes import Shape

_VERBS = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
)
_ALWAYS_SELECTABLE = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, eq=False)
class Kind:
    """One served resource.

    `storage` is what two groups share that serve the same objects (events). `generation` says
    whether metadata.generation counts changes of the desired state, `unconditional` whether an
    update may leave out resourceVersion, `graceful` whether a delete waits for a grace period.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    has_status: bool = False
    subresources: tuple[str, ...] = ()
    generation: bool = False
    unconditional: bool = True
    create_on_update: bool = False
    graceful: bool = False
    custom: bool = False
    selectable: tuple[str, ...] = ()
    storage: str = ""
    columns: tuple[Object, ...] = ()
    schema: Object = field(default_factory=dict)
    shape: Shape = shapes.DEFAULT
    blank: Object = field(default_factory=dict)

    @property
    def api_version(self) -> str:
        """`v1`, or `group/version`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> str:
        """What the store files the objects under."""
        return self.storage or f"{self.group}/{self.plural}"

    @property
    def gvr(self) -> str:
        """The resource as the API's own messages write it."""
        return f"{self.api_version if self.group else '/v1'}, Resource={self.plural}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a fieldSelector may name."""
        return _ALWAYS_SELECTABLE + self.selectable

    def discovery(self) -> Iterator[Object]:
        """The APIResource entries of this kind and its subresources."""
        entry: Object = {
            "name": self.plural,
            "singularName": self.singular or self.kind.lower(),
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": list(_VERBS),
        }
        if self.short_names:
            entry["shortNames"] = list(self.short_names)
        if self.categories:
            entry["categories"] = list(self.categories)
        yield entry
        for name in ("status",) * self.has_status + self.subresources:
            yield {
                "name": f"{self.plural}/{name}",
                "singularName": "",
                "namespaced": self.namespaced,
                "kind": self.kind,
                "verbs": ["create"] if name == "binding" else ["get", "patch", "update"],
            }


def _built_in(group: str, version: str, kind: str, plural: str, **facts: Json) -> Kind:
    return Kind(
        group,
        version,
        kind,
        plural,
        shape=shapes.built_in(kind),
        blank=shapes.blank(kind),
        **facts,
    )


_POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
_EVENT_FIELDS = (
    *(
        f"involvedObject.{name}"
        for name in (
            "kind",
            "namespace",
            "name",
            "uid",
            "apiVersion",
            "resourceVersion",
            "fieldPath",
        )
    ),
    "reason",
    "reportingComponent",
    "source",
    "type",
)
_EVENTS = "/events"

PODS = _built_in(
    "",
    "v1",
    "Pod",
    "pods",
    short_names=("po",),
    categories=("all",),
    has_status=True,
    subresources=("binding",),
    generation=True,
    graceful=True,
    selectable=_POD_FIELDS,
)
NODES = _built_in(
    "",
    "v1",
    "Node",
    "nodes",
    namespaced=False,
    short_names=("no",),
    has_status=True,
    selectable=("spec.unschedulable",),
)
NAMESPACES = _built_in(
    "",
    "v1",
    "Namespace",
    "namespaces",
    namespaced=False,
    short_names=("ns",),
    has_status=True,
    subresources=("finalize",),
    selectable=("status.phase",),
)
DAEMON_SETS = _built_in(
    "apps",
    "v1",
    "DaemonSet",
    "daemonsets",
    short_names=("ds",),
    categories=("all",),
    has_status=True,
    generation=True,
)
CONTROLLER_REVISIONS = _built_in("apps", "v1", "ControllerRevision", "controllerrevisions")
CRDS = _built_in(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    has_status=True,
    generation=True,
    unconditional=False,
)
SERVICES = _built_in("", "v1", "Service", "services", short_names=("svc",), has_status=True)
MUTATING_WEBHOOKS = _built_in(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    namespaced=False,
    categories=("api-extensions",),
    generation=True,
    unconditional=False,
)
_OTHERS = (
    _built_in("", "v1", "ConfigMap", "configmaps", short_names=("cm",)),
    _built_in("", "v1", "Secret", "secrets", selectable=("type",)),
    _built_in("", "v1", "ServiceAccount", "serviceaccounts", short_names=("sa",)),
    SERVICES,
    MUTATING_WEBHOOKS,
    _built_in(
        "",
        "v1",
        "Event",
        "events",
        short_names=("ev",),
        storage=_EVENTS,
        selectable=_EVENT_FIELDS,
        create_on_update=True,
    ),
    _built_in(
        "events.k8s.io",
        "v1",
        "Event",
        "events",
        short_names=("ev",),
        storage=_EVENTS,
        create_on_update=True,
    ),
    _built_in(
        "apps",
        "v1",
        "Deployment",
        "deployments",
        short_names=("deploy",),
        categories=("all",),
        has_status=True,
        generation=True,
    ),
    _built_in(
        "coordination.k8s.io",
        "v1",
        "Lease",
        "leases",
        unconditional=False,
        create_on_update=True,
    ),
)
BUILT_IN = (PODS, NODES, NAMESPACES, DAEMON_SETS, CONTROLLER_REVISIONS, CRDS, *_OTHERS)


def from_definition(definition: Object) -> Iterator[Kind]:
    """The kinds that a CustomResourceDefinition serves, one a version."""
    spec = definition["spec"]
    names = spec["names"]
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        schema = version.get("schema", {}).get("openAPIV3Schema", {})
        yield Kind(
            spec["group"],
            version["name"],
            names["kind"],
            names["plural"],
            namespaced=spec["scope"] == "Namespaced",
            singular=names.get("singular", names["kind"].lower()),
            short_names=tuple(names.get("shortNames", ())),
            categories=tuple(names.get("categories", ())),
            has_status="status" in version.get("subresources", {}),
            generation=True,
            unconditional=False,
            custom=True,
            selectable=tuple(
                path["jsonPath"].removeprefix(".") for path in version.get("selectableFields", ())
            ),
            columns=tuple(version.get("additionalPrinterColumns", ())),
            schema=schema,
            shape=shapes.from_schema(schema),
            blank={},
        )


class Registry:
    """The kinds served at this moment."""

    def __init__(self, kinds: Iterable[Kind] = BUILT_IN) -> None:
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in kinds}

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind at a path of the API, or None."""
        return self._kinds.get((group, version, plural))

    def named(self, api_version: str, kind: str) -> Kind | None:
        """The kind that an object's or owner reference's apiVersion and kind name, or None."""
        for served in self._kinds.values():
            if served.kind == kind and served.api_version == api_version:
                return served
        return None

    def all(self) -> tuple[Kind, ...]:
        """All kinds, built-in ones first."""
        return tuple(self._kinds.values())

    def versions(self) -> dict[str, list[str]]:
        """The served versions of each group, the core group being the empty name."""
        found: dict[str, list[str]] = {}
        for kind in self._kinds.values():
            versions = found.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        return found

    def define(self, definition: Object) -> None:
        """Serve what a CustomResourceDefinition says, in place of what it said before."""
        self.undefine(definition)
        for kind in from_definition(definition):
            self._kinds[kind.group, kind.version, kind.plural] = kind

    def undefine(self, definition: Object) -> None:
        """Stop serving a CustomResourceDefinition's resources."""
        spec = definition["spec"]
        gone = (spec["group"], spec["names"]["plural"])
        self._kinds = {k: v for k, v in self._kinds.items() if (k[0], k[2]) != gone}
