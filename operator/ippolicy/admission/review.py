"""What is read of an AdmissionReview (admission.k8s.io/v1) and of the pod in it; the rest is not
even decoded. Field names are those of the wire."""

from __future__ import annotations

from typing import Any

import msgspec

from ippolicy.kube import UNREADABLE

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"


class EnvVar(msgspec.Struct, frozen=True):
    """One env entry as it stands in a pod."""

    name: str = ""
    value: str | None = None
    valueFrom: dict[str, Any] | None = None  # noqa: N815  (as on the wire)


class Container(msgspec.Struct, frozen=True):
    """One container; `envFrom` has more env that only the kubelet can look up."""

    name: str = ""
    env: tuple[EnvVar, ...] | None = None
    envFrom: tuple[Any, ...] | None = None  # noqa: N815  (as on the wire)


class FieldTerm(msgspec.Struct, frozen=True):
    """One requirement on a field of the node."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] | None = None


class NodeTerm(msgspec.Struct, frozen=True):
    """One of the alternatives of a node affinity."""

    matchFields: tuple[FieldTerm, ...] | None = None  # noqa: N815  (as on the wire)


class NodeSelector(msgspec.Struct, frozen=True):
    """The nodes that a pod may run on: those that one of the terms selects."""

    nodeSelectorTerms: tuple[NodeTerm, ...] | None = None  # noqa: N815  (as on the wire)


class NodeAffinity(
    msgspec.Struct,
    frozen=True,
    rename={"required": "requiredDuringSchedulingIgnoredDuringExecution"},
):
    """The part of a node affinity that must hold."""

    required: NodeSelector | None = None


class Affinity(msgspec.Struct, frozen=True):
    """An affinity, as far as it is about the node itself."""

    nodeAffinity: NodeAffinity | None = None  # noqa: N815  (as on the wire)


class PodSpec(msgspec.Struct, frozen=True):
    """Where a pod is to run, and its containers."""

    nodeName: str = ""  # noqa: N815  (as on the wire)
    affinity: Affinity | None = None
    containers: tuple[Container, ...] | None = None


class OwnerReference(msgspec.Struct, frozen=True):
    """One owner of a pod."""

    kind: str = ""
    name: str = ""
    controller: bool | None = None


class Metadata(msgspec.Struct, frozen=True):
    """Metadata of a pod that is being made."""

    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    ownerReferences: tuple[OwnerReference, ...] | None = None  # noqa: N815  (as on the wire)


class Pod(msgspec.Struct, frozen=True):
    """A pod that is being made."""

    metadata: Metadata = Metadata()
    spec: PodSpec = PodSpec()

    @property
    def daemon_set(self) -> str:
        """Name of the DaemonSet that makes it; empty if none does."""
        owners = self.metadata.ownerReferences or ()
        return next((o.name for o in owners if o.controller and o.kind == "DaemonSet"), "")

    @property
    def node(self) -> str:
        """The one node that it can run on; empty if it may run on others, or nobody says.

        The DaemonSet controller leaves spec.nodeName to the scheduler, and pins each of its pods
        by a node affinity on metadata.name instead.
        """
        if self.spec.nodeName:
            return self.spec.nodeName
        affinity = self.spec.affinity and self.spec.affinity.nodeAffinity
        terms = (affinity and affinity.required and affinity.required.nodeSelectorTerms) or ()
        named = {_pinned(term) for term in terms}
        return named.pop() if len(named) == 1 else ""


def _pinned(term: NodeTerm) -> str:
    for field in term.matchFields or ():
        values = field.values or ()
        if field.key == "metadata.name" and field.operator == "In" and len(values) == 1:
            return values[0]
    return ""


class Resource(msgspec.Struct, frozen=True):
    """What kind of object is written."""

    group: str = ""
    version: str = ""
    resource: str = ""


class Request(msgspec.Struct, frozen=True):
    """The question: `object` stays raw until it is known to be a pod."""

    uid: str
    resource: Resource = Resource()
    subResource: str = ""  # noqa: N815  (as on the wire)
    operation: str = ""
    namespace: str = ""
    dryRun: bool | None = None  # noqa: N815  (as on the wire)
    object: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def creates_pod(self) -> bool:
        """Whether a pod itself is to be made, not a subresource of one."""
        about = self.resource
        return (self.operation, about.group, about.resource, self.subResource) == (
            "CREATE",
            "",
            "pods",
            "",
        )


class Review(msgspec.Struct, frozen=True):
    """An AdmissionReview on its way to a webhook."""

    request: Request
    apiVersion: str = ""  # noqa: N815  (as on the wire)
    kind: str = ""


_REVIEW = msgspec.json.Decoder(Review)
_POD = msgspec.json.Decoder(Pod)


def read_review(body: bytes) -> Review | None:
    """The review in a request's body; None where it is none of the version that is known."""
    try:
        review = _REVIEW.decode(body)
    except UNREADABLE:
        return None
    known = (review.apiVersion, review.kind) == (API_VERSION, KIND)
    return review if known and review.request.uid else None


def read_pod(raw: msgspec.Raw) -> Pod | None:
    """The pod of a request; None where it cannot be one."""
    try:
        return _POD.decode(raw)
    except UNREADABLE:
        return None
