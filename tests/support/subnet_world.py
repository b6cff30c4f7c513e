"""A world of one subnet a zone, in which pools settle at once: for whole days in a second.

Nodes are r5.xlarge of group `blue`; what they take of their subnets follows from their pods and the
targets in force, as `ippolicy.ipamd.steady` has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import builders
from ippolicy.api import IPPolicy
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.gates import Limits
from ippolicy.decide.history import DemandHistory
from ippolicy.decide.subnets.history import Histories
from ippolicy.decide.subnets.outlook import Outlook, Outlooks, readings
from ippolicy.decide.types import Decision, Verdict
from ippolicy.facts import (
    Change,
    ChangePhase,
    NodeFacts,
    PodEvent,
    PoolFacts,
    Snapshot,
    SourceName,
    SourceState,
    SubnetFacts,
)
from ippolicy.facts.network import SubnetUse
from ippolicy.ipamd import NodeShape, PoolSettings
from ippolicy.ipamd.steady import SteadyState, steady_state

SHAPE = NodeShape("r5.xlarge", 4, 15, 58)
USABLE = 251


@dataclass(slots=True)
class SubnetWorld:
    """`pods` of each node by its name, `others` addresses of strangers in each zone's subnet."""

    zones: tuple[str, ...] = ("eu-west-1a",)
    usable: int = USABLE
    pods: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=lambda: dict(builders.CNI_DEFAULTS))
    now_s: float = builders.NOW_S

    @property
    def settings(self) -> PoolSettings:
        return PoolSettings.from_env(self.env)

    def zone(self, node: str) -> str:
        """The zone of a node: they go round."""
        return self.zones[int(node.rpartition("-")[2]) % len(self.zones)]

    def state(self, node: str) -> SteadyState:
        return steady_state(SHAPE, self.settings, self.pods[node])

    def free(self, zone: str) -> int:
        """Free addresses in a zone; below zero where pools want more than there is."""
        taken = sum(
            self.state(node).subnet_addresses for node in self.pods if self.zone(node) == zone
        )
        return self.usable - taken - self.others.get(zone, 0)

    def snapshot(self) -> Snapshot:
        nodes = tuple(self._node(number, name) for number, name in enumerate(self.pods))
        return builders.snapshot(
            len(nodes),
            taken_at_s=self.now_s,
            daemon_set=builders.daemon_set(self.env, read_at_s=self.now_s),
            nodes=nodes,
            pods_per_node=dict(self.pods),
            pools={name: self._pool(name) for name in self.pods},
            subnets=tuple(self._subnet(zone) for zone in self.zones),
            sources={name: SourceState(succeeded_at_s=self.now_s) for name in SourceName},
        )

    def _node(self, number: int, name: str) -> NodeFacts:
        return builders.node(number, name=name, zone=self.zone(name))

    def _pool(self, name: str) -> PoolFacts:
        state = self.state(name)
        return builders.pool(
            node=name,
            held=state.addresses,
            assigned=state.served,
            enis=state.enis,
            read_at_s=self.now_s,
        )

    def _subnet(self, zone: str) -> SubnetFacts:
        return SubnetFacts(
            subnet_id=f"subnet-{zone}",
            zone=zone,
            cidr="10.0.0.0/24",
            size=self.usable + 5,
            free=max(0, self.free(zone)),
            read_at_s=self.now_s,
            uses=(SubnetUse.NODES,),
        )


@dataclass(slots=True)
class Operated:
    """A world with an operator in it, which decides each time it is let `step`."""

    world: SubnetWorld
    policy: IPPolicy
    changes: list[Change] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    histories: Histories = field(default_factory=Histories)
    outlook: Outlook | None = None
    _demand: DemandHistory | None = None
    _pods: dict[str, int] = field(default_factory=dict)
    _outlooks: Outlooks | None = None

    def step(self, seconds: float = 600.0, pods: Mapping[str, int] | None = None) -> Decision:
        """Let time pass, and pods change; look, decide, and have the change in force at once."""
        world = self.world
        world.now_s += seconds
        world.pods |= dict(pods or {})
        snapshot = world.snapshot()
        demand = self._note_demand(snapshot)
        self.histories.note(readings(snapshot, world.settings, self.policy.spec.subnets.quota))
        self._outlooks = self._outlooks or Outlooks(self.histories)
        self.outlook = self._outlooks.of(snapshot, self.policy, world.settings)
        decision = decide(
            Inputs(
                policy=self.policy,
                snapshot=snapshot,
                traces=demand.traces(world.now_s),
                record=builders.record(*self.changes) if self.changes else None,
                limits=Limits(),
                rooms=self.outlook.rooms,
            )
        )
        self.decisions.append(decision)
        if decision.verdict is Verdict.CHANGE:
            self._carry_out(decision)
        return decision

    def _note_demand(self, snapshot: Snapshot) -> DemandHistory:
        if self._demand is None:
            self._demand = DemandHistory(window_s=86_400.0, started_at_s=snapshot.taken_at_s)
        for node, count in self.world.pods.items():
            change = count - self._pods.get(node, count)
            if change:
                self._demand.record(PodEvent(snapshot.taken_at_s - 1.0, node, change))
        self._demand.sync(snapshot.nodes, snapshot.pods_per_node, snapshot.taken_at_s)
        self._pods = dict(self.world.pods)
        return self._demand

    def _carry_out(self, decision: Decision) -> None:
        now_s = self.world.now_s
        self.world.env |= builders.written(decision)
        self.changes.append(
            replace(
                builders.change(),
                id=str(len(self.changes) + 1),
                phase=ChangePhase.COMPLETE,
                after=decision.env,
                reason=decision.reason.value,
                intended_at_s=now_s,
                completed_at_s=now_s,
            )
        )
