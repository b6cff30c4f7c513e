"""Pods of a DaemonSet: which nodes get one, what it looks like, and which template it is of."""

from __future__ import annotations

from ippolicy.sandbox.kube.objects import Json, Object, clone, dig, encode
from ippolicy.sandbox.kube.selectors import expression_matches

HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_PREFIX = "node.kubernetes.io/"
_TOLERATED = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)


def template_hash(template: Object) -> str:
    """A short name for a template: FNV-1a of its JSON, in letters that form no words."""
    value = 0x811C9DC5
    for byte in encode(template):
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(value))


def wanted_on(template_spec: Object, node: Object) -> bool:
    """Whether nodeSelector and required node affinity let a pod run on a node (no taints)."""
    labels = node["metadata"].get("labels") or {}
    selector = template_spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    terms = _required_terms(template_spec)
    return terms is None or any(_term_matches(term, node) for term in terms)


def _required_terms(spec: Object) -> list[Object] | None:
    required = dig(
        spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"
    )
    return None if required is None else list(required.get("nodeSelectorTerms") or ())


def _term_matches(term: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    fields = {"metadata.name": node["metadata"]["name"]}
    expressions = term.get("matchExpressions") or ()
    match_fields = term.get("matchFields") or ()
    if not expressions and not match_fields:
        return False
    return all(expression_matches(each, labels) for each in expressions) and all(
        expression_matches(each, fields) for each in match_fields
    )


def node_of(pod: Object) -> str:
    """The node a DaemonSet pod is for, bound to it or not yet."""
    bound = dig(pod, "spec", "nodeName")
    if bound:
        return str(bound)
    for term in _required_terms(pod["spec"]) or ():
        for field in term.get("matchFields") or ():
            return str(field["values"][0])
    return ""


def owner_reference(owner: Object) -> Object:
    """The reference by which a controller's objects name it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_for(daemon_set: Object, node: str, revision: str, generation: str) -> Object:
    """The pod that a DaemonSet makes for a node, before the scheduler binds it."""
    metadata = daemon_set["metadata"]
    template = clone(daemon_set["spec"]["template"])
    head = template.get("metadata") or {}
    labels = {**(head.get("labels") or {}), HASH_LABEL: revision, GENERATION_LABEL: generation}
    pod_metadata: Json = {
        "generateName": f"{metadata['name']}-",
        "labels": labels,
        "ownerReferences": [owner_reference(daemon_set)],
    }
    if head.get("annotations"):
        pod_metadata["annotations"] = head["annotations"]
    spec = template["spec"]
    spec["affinity"] = _pinned(spec.get("affinity") or {}, node)
    spec["tolerations"] = [*(spec.get("tolerations") or ()), *_tolerations(spec)]
    return {"metadata": pod_metadata, "spec": spec}


def _pinned(affinity: Object, node: str) -> Object:
    pin = {"key": "metadata.name", "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchFields": [pin]}]}
    node_affinity = {
        **(affinity.get("nodeAffinity") or {}),
        "requiredDuringSchedulingIgnoredDuringExecution": required,
    }
    return {**affinity, "nodeAffinity": node_affinity}


def _tolerations(spec: Object) -> list[Object]:
    extra = (("network-unavailable", "NoSchedule"),) if spec.get("hostNetwork") else ()
    return [
        {"key": _PREFIX + key, "operator": "Exists", "effect": effect}
        for key, effect in (*_TOLERATED, *extra)
    ]
