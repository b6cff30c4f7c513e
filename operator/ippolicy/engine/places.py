"""What the targets of each node go by, told to the webhook as nodes and groups change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ippolicy.api.groups import NodeGroup
from ippolicy.decide.births.table import NodePlace
from ippolicy.decide.groups import group_of
from ippolicy.facts import DaemonSetRef, NodeFacts


class LivePlaces:
    """Places of all `nodes` of the live cache, under each DaemonSet that policies act on."""

    def __init__(
        self,
        nodes: Callable[[], Iterable[NodeFacts]],
        tell: Callable[[DaemonSetRef, Mapping[str, NodePlace | None]], None],
    ) -> None:
        self._nodes = nodes
        self._tell = tell
        self._groups: Mapping[DaemonSetRef, Sequence[NodeGroup]] = {}

    def group_by(self, groups: Mapping[DaemonSetRef, Sequence[NodeGroup]]) -> None:
        """Go by these groups of each policy, and by no DaemonSet that is not among them."""
        before, self._groups = self._groups, dict(groups)
        for ref in groups:
            if groups[ref] != before.get(ref):
                self._tell(ref, {node.name: _place(node, groups[ref]) for node in self._nodes()})
        for ref in before.keys() - groups.keys():
            self._tell(ref, {node.name: None for node in self._nodes()})

    def node_changed(self, name: str, node: NodeFacts | None) -> None:
        """Tell of one node; None stands for one that is gone."""
        for ref, groups in self._groups.items():
            self._tell(ref, {name: _place(node, groups) if node is not None else None})


def _place(node: NodeFacts, groups: Sequence[NodeGroup]) -> NodePlace:
    return NodePlace(group_of(node.labels, node.group, groups), node.instance_type)
