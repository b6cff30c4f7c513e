"""Whose a series is: the node that its labels name, and the group that the node is or was of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ippolicy.facts import NodeFacts
from ippolicy.observe.records import GROUP_LABELS, TYPE_LABELS

_NOT_IN_LABELS = re.compile("[^a-zA-Z0-9_]")


@dataclass(frozen=True, slots=True)
class Place:
    """A node as its series name it.

    `node` is the one of that name or address that there is now, and None for one that is gone.
    `former_group` is the group that the labels of the series tell, empty if they do not.
    """

    name: str
    node: NodeFacts | None
    former_group: str


class Roster:
    """The nodes that there are, to be found by the labels of series.

    A series' node is named, by its name or address, by the label `node_label`; without one by
    `node`, and where a series has none, by the host of `instance`.
    """

    def __init__(self, nodes: Iterable[NodeFacts], node_label: str | None = None) -> None:
        self._node_label = node_label
        self._nodes: dict[str, NodeFacts] = {}
        for node in nodes:
            self._nodes |= {node.address: node, node.name: node}

    def place(self, labels: Mapping[str, str]) -> Place:
        """The node that a series is about; of empty name if its labels name none."""
        if self._node_label is not None:
            name = labels.get(self._node_label, "")
        else:
            name = labels.get("node") or _host(labels.get("instance", ""))
        return Place(name, self._nodes.get(name) if name else None, _group(labels))


def _host(instance: str) -> str:
    """The host of `10.0.0.7:61678` or `[fd00::7]:61678`; `instance` itself if it has no port."""
    host, colon, _ = instance.rpartition(":")
    return host.strip("[]") if colon else instance


def _group(labels: Mapping[str, str]) -> str:
    """The group as `read_node` finds it, from the labels of a node that were put on a series:
    as they are mapped by the service discovery, or as kube-state-metrics names them."""
    for label in (*GROUP_LABELS, *TYPE_LABELS):
        name = _NOT_IN_LABELS.sub("_", label)
        if group := labels.get(name) or labels.get(f"label_{name}"):
            return group
    return ""
