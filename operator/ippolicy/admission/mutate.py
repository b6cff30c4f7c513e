"""What becomes of an aws-node pod that is being made. Pure.

    what is asked                                            answer
    -------------------------------------------------------  ------------------------------------
    no AdmissionReview v1                                    MALFORMED, and no review comes back
    anything but the making of a pod, or a mere rehearsal    NOT_CREATE, DRY_RUN: unchanged
    pod of no DaemonSet that a policy sets targets for       NO_POLICY: unchanged
    no container aws-node                                    NO_CONTAINER: unchanged
    node not told, or not known yet                          NO_NODE, UNKNOWN_NODE: unchanged
    no targets for the node's group, or no label can name it UNKNOWN_GROUP: unchanged
    a warm target by valueFrom                               VALUE_FROM: unchanged
    env that only the kubelet knows, or a key twice          UNCLEAR_ENV: unchanged
    the env as it would be is a trap                         TRAP: unchanged
    all is as it should be, as when asked a second time      IN_PLACE: unchanged
    anything else                                            MUTATED: JSON patch; MUTATED_AGAIN
                                                             where only the second asking came here

Every pod is allowed: one that is let through unchanged runs on the values of its template.
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from ippolicy.admission.review import (
    API_VERSION,
    KIND,
    Container,
    EnvVar,
    Pod,
    Request,
    Review,
    read_pod,
)
from ippolicy.admission.tables import Tables
from ippolicy.api import GROUP
from ippolicy.decide.births.table import Found, NodePlace, PolicyTable
from ippolicy.decide.safe_env import TARGET_KEYS, check_growth, check_start, check_values
from ippolicy.errors import ActError, EntryPointRefused
from ippolicy.facts import DaemonSetRef, EnvEntry
from ippolicy.facts.births import DIGEST_LABEL, GROUP_LABEL, POLICY_LABEL, REVISION_LABEL
from ippolicy.facts.daemonset import CONTAINER

SOURCE_ANNOTATION = f"{GROUP}/targets-of"

_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)

Places: TypeAlias = Callable[[DaemonSetRef, str], NodePlace | None]
"""DaemonSet and name of a node -> what its targets go by; None for a node not seen yet."""

Patch: TypeAlias = list[dict[str, Any]]


class Verdict(StrEnum):
    """What became of a pod, or why nothing did: stable words for metrics."""

    MUTATED = "Mutated"
    MUTATED_AGAIN = "MutatedAgain"
    IN_PLACE = "InPlace"
    MALFORMED = "Malformed"
    TOO_LARGE = "TooLarge"
    NOT_CREATE = "NotCreate"
    DRY_RUN = "DryRun"
    NO_POLICY = "NoPolicy"
    NO_CONTAINER = "NoContainer"
    NO_NODE = "NoNode"
    UNKNOWN_NODE = "UnknownNode"
    UNKNOWN_GROUP = "UnknownGroup"
    VALUE_FROM = "ValueFrom"
    UNCLEAR_ENV = "UnclearEnv"
    TRAP = "Trap"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a pod, and the AdmissionReview that goes back, None for none at all."""

    verdict: Verdict
    review: Mapping[str, Any] | None

    def encoded(self) -> bytes:
        """The body that goes back."""
        return msgspec.json.encode(self.review)


def answer(review: Review | None, tables: Tables, places: Places) -> Answer:
    """The answer to a review, None standing for what could not be read as one."""
    if review is None:
        return Answer(Verdict.MALFORMED, None)
    verdict, patch = _judge(review.request, tables, places)
    response: dict[str, Any] = {"uid": review.request.uid, "allowed": True}
    if patch:
        body = base64.b64encode(msgspec.json.encode(patch)).decode()
        response |= {"patchType": "JSONPatch", "patch": body}
    return Answer(verdict, {"apiVersion": API_VERSION, "kind": KIND, "response": response})


def _judge(request: Request, tables: Tables, places: Places) -> tuple[Verdict, Patch]:
    if not request.creates_pod:
        return Verdict.NOT_CREATE, []
    if request.dryRun:
        return Verdict.DRY_RUN, []
    pod = read_pod(request.object)
    if pod is None:
        return Verdict.MALFORMED, []
    ref = DaemonSetRef(request.namespace, pod.daemon_set)
    table = tables.of(ref.namespace, ref.name)
    if table is None:
        return Verdict.NO_POLICY, []
    found = _targets(pod, table, places, ref)
    return (found, []) if isinstance(found, Verdict) else _change(pod, table.policy, found)


def _targets(pod: Pod, table: PolicyTable, places: Places, ref: DaemonSetRef) -> Found | Verdict:
    if not pod.node:
        return Verdict.NO_NODE
    place = places(ref, pod.node)
    if place is None:
        return Verdict.UNKNOWN_NODE
    found = table.find(place, pod.node)
    # A label that the API server refuses would cost the pod itself.
    named = found is not None and _LABEL_VALUE.fullmatch(found.group) is not None
    return found if found and named else Verdict.UNKNOWN_GROUP


def _change(pod: Pod, policy: str, found: Found) -> tuple[Verdict, Patch]:
    containers = pod.spec.containers or ()
    index = next((i for i, each in enumerate(containers) if each.name == CONTAINER), None)
    if index is None:
        return Verdict.NO_CONTAINER, []
    container, wanted = containers[index], found.targets.env
    if doubt := _doubt(container, wanted):
        return doubt, []
    patch = [
        *_env_patch(f"/spec/containers/{index}/env", container.env, wanted),
        *_map_patch("/metadata/labels", pod.metadata.labels, _labels(policy, found)),
        *_map_patch(
            "/metadata/annotations",
            pod.metadata.annotations,
            {SOURCE_ANNOTATION: found.source},
        ),
    ]
    return (Verdict.MUTATED if patch else Verdict.IN_PLACE), patch


def _doubt(container: Container, wanted: Mapping[str, str | None]) -> Verdict | None:
    """Why the container is not understood, or must not become what is wanted."""
    entries = container.env or ()
    if any(each.valueFrom is not None for each in entries if each.name in TARGET_KEYS):
        return Verdict.VALUE_FROM
    if container.envFrom or max(Counter(each.name for each in entries).values(), default=0) > 1:
        return Verdict.UNCLEAR_ENV
    result = {each.name: _entry(each) for each in entries}
    for key, value in wanted.items():
        result.pop(key, None)
        if value is not None:
            result[key] = EnvEntry(value)
    try:
        check_values(wanted)
        check_start(result)
        check_growth(result)
    except (ActError, EntryPointRefused):
        return Verdict.TRAP
    return None


def _entry(raw: EnvVar) -> EnvEntry:
    return EnvEntry(None, raw.valueFrom) if raw.valueFrom is not None else EnvEntry(raw.value or "")


def _env_patch(
    path: str, env: tuple[EnvVar, ...] | None, wanted: Mapping[str, str | None]
) -> Iterator[dict[str, Any]]:
    """Replaces what differs, then adds what is missing, then removes, from the end on: each step
    leaves the places of those after it as they were."""
    present = {each.name: (place, each.value or "") for place, each in enumerate(env or ())}
    missing = []
    for key, value in wanted.items():
        entry = {"name": key, "value": value}
        if value is None or present.get(key, (0, None))[1] == value:
            continue
        if key in present:
            yield {"op": "replace", "path": f"{path}/{present[key][0]}", "value": entry}
        else:
            missing.append(entry)
    if env is None and missing:
        yield {"op": "add", "path": path, "value": missing}
    else:
        yield from ({"op": "add", "path": f"{path}/-", "value": entry} for entry in missing)
    gone = sorted(present[key][0] for key in wanted if wanted[key] is None and key in present)
    yield from ({"op": "remove", "path": f"{path}/{place}"} for place in reversed(gone))


def _map_patch(
    path: str, present: Mapping[str, str] | None, wanted: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    if present is None:
        yield {"op": "add", "path": path, "value": dict(wanted)}
        return
    for key, value in wanted.items():
        if present.get(key) != value:
            escaped = key.replace("~", "~0").replace("/", "~1")
            yield {"op": "add", "path": f"{path}/{escaped}", "value": value}


def _labels(policy: str, found: Found) -> dict[str, str]:
    return {
        POLICY_LABEL: policy,
        GROUP_LABEL: found.group,
        REVISION_LABEL: str(found.targets.revision),
        DIGEST_LABEL: found.targets.digest,
    }
