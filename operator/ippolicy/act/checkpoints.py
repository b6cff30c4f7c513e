"""The ConfigMap that a checkpoint of demand lives in: one beside each DaemonSet that is watched.

What was seen of subnets, and of late starts and EC2, lives in it, too.

It belongs to the policies that are about the DaemonSet, so it goes with the last of them also while
no operator runs. It is ours alone: whatever else stands in its place is written over.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from ippolicy.act.beside import labels_of
from ippolicy.act.requests import find, send
from ippolicy.api import API_VERSION, KIND, IPPolicy
from ippolicy.decide.checkpoint import Checkpoint, decode, encode
from ippolicy.decide.signals import Noted
from ippolicy.decide.signals_kept import unpack as unpack_signals
from ippolicy.decide.subnets.history import Histories
from ippolicy.decide.subnets.kept import unpack
from ippolicy.errors import CorruptCheckpoint, NewerCheckpoint
from ippolicy.facts import DaemonSetRef, NodeTrace
from ippolicy.facts.daemonset import FIELD_MANAGER

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

DATA_KEY = "demand"
SUBNETS_KEY = "subnets"
SIGNALS_KEY = "signals"
LABELS = labels_of("checkpoint-of-demand")
_NAME_PREFIX = "ippolicy-checkpoint-"


def checkpoint_name(ref: DaemonSetRef) -> str:
    """Name of the ConfigMap, in the DaemonSet's own namespace."""
    return f"{_NAME_PREFIX}{ref.name}"


class CheckpointTrouble(StrEnum):
    """What is wrong with a checkpoint."""

    DROPPED = "CheckpointDropped"  # it was not what was written; the history began anew
    NEWER = "CheckpointNewer"  # a newer operator wrote it; it is left alone
    FAILED = "CheckpointFailed"  # it could not be read or written; it is tried again


@dataclass(frozen=True, slots=True)
class CheckpointState:
    """How the checkpoint of a DaemonSet stands.

    `saved_at_s` is the moment that it tells of, None where there is none; `message` is one line
    for a person where there is trouble.
    """

    saved_at_s: float | None = None
    size_bytes: int = 0
    trouble: CheckpointTrouble | None = None
    message: str = ""


NO_CHECKPOINT = CheckpointState()


class CheckpointStore:
    """Checkpoints of demand, one a DaemonSet. Every method may raise ActError.

    Calls block and are to be made from a thread: packing a large cluster takes a second.
    """

    def __init__(self, api_client: ApiClient) -> None:
        from kubernetes.client import CoreV1Api

        self._api = CoreV1Api(api_client)

    def read(self, ref: DaemonSetRef) -> Checkpoint | None:
        """The demand that was seen on the nodes of a DaemonSet, None where none was kept.

        Raises:
            CorruptCheckpoint: it is there, and not what was written.
            NewerCheckpoint: it was written by a newer operator.
        """
        raw = self._read(ref)
        if raw is None:
            return None
        try:
            return decode(_data(raw, DATA_KEY))
        except CorruptCheckpoint as error:
            raise CorruptCheckpoint(
                f"{_named(ref)} is damaged: {error}: the demand in it is lost and is watched anew; "
                "nothing is to be done, the next checkpoint takes its place"
            ) from error
        except NewerCheckpoint as error:
            raise NewerCheckpoint(
                f"{_named(ref)} was written by a newer operator: {error}: it is left alone, and "
                "demand is kept in memory only: go back to that operator, or delete the ConfigMap "
                "to have this one write its own"
            ) from error

    def read_subnets(self, ref: DaemonSetRef) -> Histories | None:
        """What was seen of the subnets beside it, None where nothing was kept.

        Raises:
            CorruptCheckpoint: it is there, and not what was written.
            NewerCheckpoint: it was written by a newer operator.
        """
        data = self._beside(ref, SUBNETS_KEY)
        return unpack(data) if data is not None else None

    def read_signals(self, ref: DaemonSetRef) -> Noted | None:
        """What was noted of late starts and EC2 beside it, None where nothing was kept.

        Raises:
            CorruptCheckpoint: it is there, and not what was written.
            NewerCheckpoint: it was written by a newer operator.
        """
        data = self._beside(ref, SIGNALS_KEY)
        return unpack_signals(data) if data is not None else None

    def write(
        self,
        ref: DaemonSetRef,
        traces: Sequence[NodeTrace],
        now_s: float,
        *,
        owners: Iterable[IPPolicy],
        subnets: bytes = b"",
        signals: bytes = b"",
    ) -> int:
        """Keep `traces`, or a sample of them, and what is packed of `subnets` and `signals`, in the
        place of what is kept; the bytes it takes."""
        beside = {SUBNETS_KEY: subnets, SIGNALS_KEY: signals}
        data = {DATA_KEY: encode(traces, now_s)} | {k: part for k, part in beside.items() if part}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": checkpoint_name(ref),
                "namespace": ref.namespace,
                "labels": LABELS,
                "ownerReferences": [_owner(policy) for policy in owners],
            },
            "binaryData": {key: base64.b64encode(part).decode() for key, part in data.items()},
        }
        send(
            f"write {_named(ref)}",
            self._api.patch_namespaced_config_map,
            checkpoint_name(ref),
            ref.namespace,
            body,
            field_manager=FIELD_MANAGER,
            force=True,
            _content_type="application/apply-patch+yaml",
        )
        return sum(map(len, data.values()))

    def _beside(self, ref: DaemonSetRef, key: str) -> bytes | None:
        raw = self._read(ref)
        if raw is None or key not in (raw.get("binaryData") or {}):
            return None
        return _data(raw, key)

    def _read(self, ref: DaemonSetRef) -> dict[str, Any] | None:
        return find(
            f"read {_named(ref)}",
            self._api.read_namespaced_config_map,
            checkpoint_name(ref),
            ref.namespace,
        )

    def delete(self, ref: DaemonSetRef) -> None:
        """Remove what is kept; where nothing is, that is no error."""
        find(
            f"delete {_named(ref)}",
            self._api.delete_namespaced_config_map,
            checkpoint_name(ref),
            ref.namespace,
        )


def _data(raw: dict[str, Any], key: str) -> bytes:
    binary = raw.get("binaryData")
    text = binary.get(key) if isinstance(binary, dict) else None
    if not isinstance(text, str):
        raise CorruptCheckpoint(f"it has no binaryData.{key}")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CorruptCheckpoint(f"binaryData.{key} is not base64") from error


def _owner(policy: IPPolicy) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "name": policy.name, "uid": policy.uid}


def _named(ref: DaemonSetRef) -> str:
    return f"ConfigMap {ref.namespace}/{checkpoint_name(ref)}"
