"""A text that is kept in a ConfigMap beside each DaemonSet, written whole or not at all.

Being on the cluster it outlives the operator, the policy and its status. Each write names the
version that was read, so of two writers one is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ippolicy.act.requests import CallFailed, find, send
from ippolicy.errors import FactsChanged
from ippolicy.facts import DaemonSetRef
from ippolicy.facts.daemonset import FIELD_MANAGER


def labels_of(component: str) -> dict[str, str]:
    """The labels of what the operator keeps beside a DaemonSet."""
    return {
        "app.kubernetes.io/managed-by": FIELD_MANAGER,
        "app.kubernetes.io/component": component,
    }


@dataclass(frozen=True, slots=True)
class StoredText:
    """A text, and the version of the ConfigMap that it was read from or written to.

    It is empty where the ConfigMap has none under the key.
    """

    text: str
    uid: str
    resource_version: str


class TextStore:
    """One text a DaemonSet. Every method may raise CallFailed."""

    def __init__(
        self,
        core_api: Any,
        *,
        name_of: Callable[[DaemonSetRef], str],
        labels: Mapping[str, str],
        data_key: str,
    ) -> None:
        """`core_api` is a `kubernetes.client.CoreV1Api`; `name_of` gives the ConfigMap's name."""
        self._api = core_api
        self._name, self._data_key = name_of, data_key
        self._labels = dict(labels)

    def read(self, ref: DaemonSetRef) -> StoredText | None:
        """The text as it is on the cluster, None where there is no ConfigMap."""
        raw = find(
            f"read {self.named(ref)}",
            self._api.read_namespaced_config_map,
            self._name(ref),
            ref.namespace,
        )
        return None if raw is None else self._stored(ref, raw)

    def write(self, ref: DaemonSetRef, text: str, *, over: StoredText | None) -> StoredText:
        """Put this text in the place of `over`, or into a new ConfigMap where that is None.

        Raises:
            FactsChanged: the text on the cluster is no longer `over`.
        """
        metadata: dict[str, Any] = {"labels": self._labels}
        body: dict[str, Any] = {"metadata": metadata, "data": {self._data_key: text}}
        if over is None:
            body |= {"apiVersion": "v1", "kind": "ConfigMap"}
            metadata["name"] = self._name(ref)
            raw = send(
                f"create {self.named(ref)}",
                self._api.create_namespaced_config_map,
                ref.namespace,
                body,
                field_manager=FIELD_MANAGER,
            )
            return self._stored(ref, raw)
        metadata |= {"uid": over.uid, "resourceVersion": over.resource_version}
        what = f"write {self.named(ref)}"
        found = find(
            what,
            self._api.patch_namespaced_config_map,
            self._name(ref),
            ref.namespace,
            body,
            field_manager=FIELD_MANAGER,
            _content_type="application/merge-patch+json",
        )
        if found is None:
            raise FactsChanged(f"{what}: somebody removed it: it is made anew")
        return self._stored(ref, found)

    def delete(self, ref: DaemonSetRef, only: StoredText | None = None) -> None:
        """Remove the ConfigMap; one that is gone already is no error.

        Raises:
            FactsChanged: what is on the cluster is no longer `only`, where that is given.
        """
        version = {"uid": only.uid, "resourceVersion": only.resource_version} if only else {}
        find(
            f"delete {self.named(ref)}",
            self._api.delete_namespaced_config_map,
            self._name(ref),
            ref.namespace,
            **({"body": {"preconditions": version}} if version else {}),
        )

    def named(self, ref: DaemonSetRef) -> str:
        """The ConfigMap of a DaemonSet, in words."""
        return f"ConfigMap {ref.namespace}/{self._name(ref)}"

    def _stored(self, ref: DaemonSetRef, raw: dict[str, Any]) -> StoredText:
        data, metadata = raw.get("data"), raw.get("metadata")
        if not isinstance(metadata, dict):
            raise CallFailed(f"{self.named(ref)}: the answer is not a ConfigMap")
        text = data.get(self._data_key) if isinstance(data, dict) else None
        return StoredText(
            str(text or ""), metadata.get("uid", ""), metadata.get("resourceVersion", "")
        )
