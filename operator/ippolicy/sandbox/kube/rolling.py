"""The next step of a DaemonSet: pods to make, pods to end, and its status. Pure."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ippolicy.sandbox.kube.objects import Object, dig
from ippolicy.sandbox.kube.podtemplates import HASH_LABEL, node_of


@dataclass(frozen=True)
class Step:
    """Nodes to make a pod for, and names of pods to end."""

    create_on: tuple[str, ...]
    delete: tuple[str, ...]


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition is true."""
    conditions = dig(pod, "status", "conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_available(pod: Object, min_ready_s: int, now: dt.datetime) -> bool:
    """Whether the pod has been ready for long enough."""
    if not is_ready(pod):
        return False
    if not min_ready_s:
        return True
    ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
    since = ready.get("lastTransitionTime")
    if not since:
        return False
    waited = now - dt.datetime.fromisoformat(since)
    return waited >= dt.timedelta(seconds=min_ready_s)


def max_unavailable(daemon_set: Object, desired: int) -> int:
    """How many nodes may be without a pod during a rollout; a percentage is rounded up."""
    value = dig(daemon_set, "spec", "updateStrategy", "rollingUpdate", "maxUnavailable")
    if isinstance(value, str):
        value = math.ceil(int(value.removesuffix("%")) * desired / 100)
    return 1 if value is None else int(value)


def _by_node(pods: Sequence[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for pod in pods:
        found.setdefault(node_of(pod), []).append(pod)
    return found


def _terminating(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def next_step(
    daemon_set: Object,
    wanted: Sequence[str],
    pods: Sequence[Object],
    revision: str,
    now: dt.datetime,
) -> Step:
    """What the controller does next, for the nodes `wanted` and the DaemonSet's `pods`.

    A node whose pod is still ending gets its new one only after that.
    """
    on_node = _by_node(pods)
    create = tuple(node for node in wanted if not on_node.get(node))
    delete = [pod for node in set(on_node) - set(wanted) for pod in on_node[node]]
    for node in wanted:
        alive = [pod for pod in on_node.get(node, ()) if not _terminating(pod)]
        failed = [pod for pod in alive if dig(pod, "status", "phase") == "Failed"]
        alive = [pod for pod in alive if pod not in failed]
        alive.sort(key=lambda pod: (not is_ready(pod), pod["metadata"]["creationTimestamp"]))
        delete += failed + alive[1:]
    if dig(daemon_set, "spec", "updateStrategy", "type") != "OnDelete":
        delete += _outdated(daemon_set, wanted, on_node, revision, now)
    names = dict.fromkeys(pod["metadata"]["name"] for pod in delete if not _terminating(pod))
    return Step(create, tuple(names))


def _outdated(
    daemon_set: Object,
    wanted: Sequence[str],
    on_node: Mapping[str, list[Object]],
    revision: str,
    now: dt.datetime,
) -> list[Object]:
    """Pods of an older template to end now: broken ones all, others within maxUnavailable."""
    min_ready_s = daemon_set["spec"].get("minReadySeconds", 0)
    unavailable = 0
    broken, candidates = [], []
    for node in wanted:
        alive = [pod for pod in on_node.get(node, ()) if not _terminating(pod)]
        if len(alive) != 1:
            unavailable += 1
            continue
        pod, available = alive[0], is_available(alive[0], min_ready_s, now)
        if dig(pod, "metadata", "labels", HASH_LABEL) == revision:
            unavailable += not available
        elif available:
            candidates.append(pod)
        else:
            broken.append(pod)
    room = max(0, max_unavailable(daemon_set, len(wanted)) - unavailable)
    return broken + candidates[:room]


def status_of(
    daemon_set: Object,
    wanted: Sequence[str],
    pods: Sequence[Object],
    revision: str,
    now: dt.datetime,
) -> Object:
    """The DaemonSet's status; like the real one it leaves out some counts that are zero."""
    on_node = _by_node(pods)
    min_ready_s = daemon_set["spec"].get("minReadySeconds", 0)
    oldest = [
        min(on_node[node], key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        for node in wanted
        if on_node.get(node)
    ]
    available = sum(is_available(pod, min_ready_s, now) for pod in oldest)
    updated = sum(dig(pod, "metadata", "labels", HASH_LABEL) == revision for pod in oldest)
    status = {
        "currentNumberScheduled": len(oldest),
        "desiredNumberScheduled": len(wanted),
        "numberMisscheduled": len(set(on_node) - set(wanted)),
        "numberReady": sum(map(is_ready, oldest)),
        "observedGeneration": daemon_set["metadata"]["generation"],
    }
    optional = {
        "numberAvailable": available,
        "numberUnavailable": len(wanted) - available,
        "updatedNumberScheduled": updated,
    }
    kept = {name: count for name, count in optional.items() if count}
    collisions = dig(daemon_set, "status", "collisionCount")
    return {**status, **kept, **({"collisionCount": collisions} if collisions else {})}
