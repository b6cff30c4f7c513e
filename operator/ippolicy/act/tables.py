"""A policy's targets by group, in a ConfigMap beside each DaemonSet that has some.

All operators answer the API server by it, and whoever leads next goes on from it. What stands in it
is text here: `decide.births.document` reads and writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ippolicy.act.beside import TextStore, labels_of
from ippolicy.facts import DaemonSetRef

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

DATA_KEY = "targets.json"


def table_name(ref: DaemonSetRef) -> str:
    """Name of the ConfigMap, in the DaemonSet's own namespace."""
    return f"ippolicy-targets-{ref.name}"


def table_store(api_client: ApiClient) -> TextStore:
    """Tables of targets, one a DaemonSet."""
    from kubernetes.client import CoreV1Api

    return TextStore(
        CoreV1Api(api_client),
        name_of=table_name,
        labels=labels_of("targets-by-group"),
        data_key=DATA_KEY,
    )
