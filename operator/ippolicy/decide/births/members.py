"""Each node of the fleet as its pod, its pool and its group say: what it runs, what it should, and
what making its aws-node anew would repay.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ippolicy.decide.births.gains import gain_address_s, remaining_life_s
from ippolicy.decide.births.table import TEMPLATE, Found, NodePlace, PolicyTable
from ippolicy.decide.predict import shape_of
from ippolicy.decide.restart import change_calls
from ippolicy.facts import Agent, NodeFacts, PoolFacts, Snapshot
from ippolicy.ipamd import PoolSettings, WarmTargets
from ippolicy.ipamd.steady import SteadyState, steady_state

ASTRAY = "astray"
"""The digest of a pod that says it has some targets, and has others: another webhook's doing."""


@dataclass(frozen=True, slots=True)
class Member:
    """One node.

    `uid` is that of its aws-node pod, empty for none. `digest` stands for the targets which that
    was born with, `wanted` for those that it would be born with now. It is `ending` once it was
    told to go, and `settled` if it is not, is ready and was read since it was made. `unready_s` is
    for how long one that is to stay has not been ready; 0.0 for one that is. `unfit` says why it is
    not to be made anew now, empty for no reason, and `away` that this is of the node, not of its
    aws-node. `made_at_s` is when the pod was made; `gain_address_s` is what making it anew would
    repay, and `calls` the EC2 calls that it takes.
    """

    node: NodeFacts
    uid: str
    digest: str
    wanted: Found | None
    settled: bool
    unready_s: float
    unfit: str
    ending: bool = False
    away: bool = False
    made_at_s: float = 0.0
    gain_address_s: float = 0.0
    calls: int = 0

    @property
    def name(self) -> str:
        """The name of the node."""
        return self.node.name

    def fit(self, *, to_undo: bool = False) -> bool:
        """Whether its aws-node may be made anew now.

        Where that undoes harm, as of targets under which aws-node does not start or its pods wait,
        only the node itself can stand in the way.
        """
        return not self.away if to_undo else not self.unfit

    @property
    def wanted_digest(self) -> str:
        """The digest of what it would be born with now."""
        return self.wanted.targets.digest if self.wanted is not None else TEMPLATE

    @property
    def behind(self) -> bool:
        """Whether it runs other targets than it would be born with now."""
        return self.digest != self.wanted_digest


class Members:
    """All nodes of a snapshot, with `settings` as the DaemonSet's template has them."""

    def __init__(self, snapshot: Snapshot, settings: PoolSettings, *, min_saving: float) -> None:
        self._snapshot, self._settings = snapshot, settings
        self._min_saving = min_saving
        ages: dict[str, list[float]] = defaultdict(list)
        for node in snapshot.nodes:
            ages[node.group].append(snapshot.taken_at_s - node.created_at_s)
        self._remaining_s = {group: remaining_life_s(known) for group, known in ages.items()}

    def under(self, table: PolicyTable) -> Mapping[str, list[Member]]:
        """Group -> its nodes, as the table has them."""
        found: dict[str, list[Member]] = defaultdict(list)
        for node in self._snapshot.nodes:
            found[node.group].append(self._member(node, table))
        return found

    def gaining(self, member: Member, targets: WarmTargets | None) -> Member:
        """The member with what it gains by going to `targets`, None for those of the template."""
        wanted = targets or self._settings.targets
        now, then = self._pool(member.name), self._then(member.node, wanted)
        if now is None or then is None:
            return member
        calls = change_calls(nodes=1, enis=now.enis, enis_then=then.enis)
        gain = gain_address_s(
            held=now.held,
            held_then=then.addresses,
            remaining_s=self._remaining_s[member.node.group],
            restart_calls=calls,
            min_saving=self._min_saving,
        )
        return replace(member, gain_address_s=gain, calls=calls)

    def _member(self, node: NodeFacts, table: PolicyTable) -> Member:
        agent = self._snapshot.agents.get(node.name)
        settled = self._settled(node, agent)
        wanted = table.find(NodePlace(node.group, node.instance_type), node.name)
        return Member(
            node=node,
            uid=agent.uid if agent is not None else "",
            digest=digest_run(agent, wanted),
            wanted=wanted,
            settled=settled,
            unready_s=self._unready_s(agent),
            unfit=self._unfit(node, settled=settled),
            ending=agent is not None and agent.ending,
            away=bool(_away(node)),
            made_at_s=agent.created_at_s if agent is not None else 0.0,
        )

    def _settled(self, node: NodeFacts, agent: Agent | None) -> bool:
        if agent is None or agent.ending or not agent.ready:
            return False
        pool = self._pool(node.name)
        return pool is not None and pool.read_at_s > agent.created_at_s

    def _unready_s(self, agent: Agent | None) -> float:
        """Where nobody says since when it is so, it counts from when the pod was made."""
        if agent is None or agent.ending or agent.ready:
            return 0.0
        since_s = max(agent.created_at_s, agent.turned_at_s)
        return max(0.0, self._snapshot.taken_at_s - since_s)

    def _unfit(self, node: NodeFacts, *, settled: bool) -> str:
        if away := _away(node):
            return away
        if not settled:
            return "its aws-node is not ready, or was not read yet"
        if waiting := self._snapshot.waiting.get(node.name, 0):
            return f"{waiting} of its pods wait for an address"
        return ""

    def _pool(self, name: str) -> PoolFacts | None:
        return self._snapshot.pools.get(name)

    def _then(self, node: NodeFacts, targets: WarmTargets) -> SteadyState | None:
        settings, pool = replace(self._settings, targets=targets), self._pool(node.name)
        shape = shape_of(self._snapshot, node, prefixes=settings.prefix_delegation)
        if pool is None or shape is None:
            return None
        return steady_state(shape, settings, min(pool.assigned, shape.max_pods))


def lacking(snapshot: Snapshot) -> int:
    """How many nodes that the snapshot does not tell of, as they have been without an aws-node for
    a while, are to have one by the DaemonSet's own count."""
    if (daemon_set := snapshot.daemon_set) is None:
        return 0
    told = snapshot.agents.keys() | {node.name for node in snapshot.nodes}
    return max(0, daemon_set.rollout.desired - len(told))


def _away(node: NodeFacts) -> str:
    if node.unschedulable:
        return "it is cordoned or drained"
    return "" if node.ready else "it is not Ready"


def digest_run(agent: Agent | None, wanted: Found | None) -> str:
    """Which targets a pod has: as its label says, unless its env has others than that means."""
    if agent is None or agent.birth is None:
        return TEMPLATE
    digest = agent.birth.digest
    if wanted is None or digest != wanted.targets.digest or not agent.targets:
        return digest
    env = wanted.targets.env
    return digest if all(agent.targets.get(k) == v for k, v in env.items()) else ASTRAY
