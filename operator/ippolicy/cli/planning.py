"""The operator's own search, put to demand from a file or from a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ippolicy.api import IPPolicy
from ippolicy.cli.instances import InstanceType
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.fleet import Fleet, together
from ippolicy.decide.gates import Limits
from ippolicy.decide.grid import candidates
from ippolicy.decide.prefixes import PrefixAdvice, prefix_advice
from ippolicy.decide.profiles import Schedule
from ippolicy.decide.question import Choice, Option, Question
from ippolicy.decide.search import BUDGET_EVENTS
from ippolicy.decide.subnets.room import rooms as rooms_of
from ippolicy.decide.trials import Trials, replay_fast
from ippolicy.decide.units import units_of
from ippolicy.errors import InvalidInput
from ippolicy.facts import (
    Coverage,
    DaemonSetFacts,
    DaemonSetRef,
    EnvEntry,
    NodeFacts,
    NodeTrace,
    PoolCounters,
    PoolFacts,
    RolloutFacts,
    Snapshot,
    SourceName,
    SourceState,
)
from ippolicy.ipamd import NodeShape, PoolSettings
from ippolicy.ipamd.steady import steady_state


@dataclass(frozen=True, slots=True)
class Tried:
    """A setting of the grid, all nodes together; `allowed` says that it is within the bounds."""

    option: Option
    allowed: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What the search came to, with every setting of its grid beside, and the settings by the time
    of day where several repay their restarts, and what prefix mode would mean."""

    inputs: Inputs
    question: Question
    choice: Choice
    schedule: Schedule | None
    prefix_mode: PrefixAdvice
    tried: tuple[Tried, ...]

    @property
    def prefixes(self) -> bool:
        """Whether the settings are judged with prefix delegation."""
        return self.question.present.prefix_delegation

    @property
    def front(self) -> list[Option]:
        """Of the settings allowed, those that no other betters in both addresses held and delayed
        starts: from the least held on. What the search found beside its grid is among them."""
        front: list[Option] = []
        found = (self.choice.fleet.chosen, *self.choice.fleet.runners_up)
        allowed = [*found, *(tried.option for tried in self.tried if tried.allowed)]
        for option in sorted(
            allowed, key=lambda o: (round(o.held, 6), o.delayed_share, o.calls_per_minute)
        ):
            if not front or option.delayed_share < front[-1].delayed_share:
                front.append(option)
        return front


def plan(inputs: Inputs) -> Plan:
    """Search anew for the best setting.

    Raises:
        InvalidInput: nothing of the demand can be replayed.
    """
    decision = decide(inputs)
    searched = decision.searched
    if searched is None:
        raise InvalidInput(f"there is nothing to plan with: {decision.message}")
    question, choice = searched.question, searched.choice
    day = decision.fleet.plan if decision.fleet is not None else None
    return Plan(
        inputs=inputs,
        question=question,
        choice=choice,
        schedule=day.schedule if day is not None else None,
        prefix_mode=_prefix_mode(inputs, question),
        tried=_tried(inputs, question, set(choice.groups)),
    )


def _prefix_mode(inputs: Inputs, question: Question) -> PrefixAdvice:
    snapshot, daemon_set = inputs.snapshot, inputs.snapshot.daemon_set
    assert daemon_set is not None  # noqa: S101  (a search was made for it)
    units = units_of(snapshot, snapshot.nodes, inputs.traces, until_s=inputs.now_s)
    return prefix_advice(snapshot, daemon_set, question.present, rooms_of(snapshot), units=units)


def _tried(inputs: Inputs, question: Question, own: set[str]) -> tuple[Tried, ...]:
    """The grid of the search, on as many units of demand as its budget of events allows; `own` are
    the groups that it judged one by one."""
    snapshot = inputs.snapshot
    units = units_of(snapshot, snapshot.nodes, inputs.traces, until_s=inputs.now_s)
    grid = candidates(
        units,
        question.present,
        question.bounds,
        anchor=question.anchor,
        may_write_prefix=question.may_write_prefix,
        in_force=question.targets_in_force,
        other_bounds=question.other_bounds,
    )
    replay = partial(replay_fast, latency=question.latency)
    targets = [candidate.targets for candidate in grid]
    # As the search does it, so that where both play all there is, they draw the same.
    fleet = Fleet(Trials(units, targets, question.present, replay), question.nodes, own)
    every = np.arange(len(grid))
    fleet.play(min(1.0, BUDGET_EVENTS / fleet.cost(1.0, len(grid))), every)
    scores = together(list(fleet.scores(every).values()))
    return tuple(
        Tried(
            Option(
                targets=candidate.targets,
                held=float(scores.held[0, number]),
                assigned=float(scores.assigned[0, number]),
                enis=float(scores.enis[0, number]),
                delayed_share=float(scores.delayed_share[0, number]),
                calls_per_minute=float(scores.calls_per_minute[0, number]),
            ),
            candidate.writable,
        )
        for number, candidate in enumerate(grid)
    )


def inputs_of(
    traces: Sequence[NodeTrace],
    instance: InstanceType,
    env: Mapping[str, str],
    *,
    policy: IPPolicy,
    nodes: int | None,
    max_pods: int,
) -> Inputs:
    """The facts of a cluster whose nodes, all of one type, had the demand of `traces`.

    With `nodes`, the demand stands for so many nodes; else for as many as it has.
    """
    now_s = traces[0].until_s
    names = [trace.node for trace in traces][:nodes]
    groups = {trace.node: trace.group for trace in traces}
    for number in range(len(names), nodes or 0):
        like = traces[number % len(traces)]
        groups[f"{like.node}-{number}"] = like.group
        names.append(f"{like.node}-{number}")
    levels = {trace.node: trace.level_at_end for trace in traces}
    pool = PoolSettings.from_env(env)
    shape = instance.shape(max_pods)
    snapshot = Snapshot(
        taken_at_s=now_s,
        daemon_set=_daemon_set(policy, env, len(names), now_s),
        nodes=tuple(_node(name, groups[name], instance, max_pods) for name in names),
        left_out={},
        pods_per_node={name: levels.get(name, 0) for name in names},
        pools={name: _pool(name, shape, pool, levels.get(name, 0), now_s) for name in names},
        coverage=Coverage(len(names), len(names), 0),
        limits={instance.name: instance.limits},
        unknown_types=frozenset(),
        subnets=(),
        sources={name: SourceState(now_s) for name in SourceName},
    )
    return Inputs(policy, snapshot, traces, None, Limits(), by_replay=True)


def _node(name: str, group: str, instance: InstanceType, max_pods: int) -> NodeFacts:
    return NodeFacts(
        name=name,
        instance_type=instance.name,
        instance_id="",
        zone="",
        group=group,
        max_pods=max_pods,
        address="",
        unschedulable=False,
        created_at_s=0.0,
    )


def _pool(node: str, shape: NodeShape, pool: PoolSettings, pods: int, now_s: float) -> PoolFacts:
    """A pool at rest with the pods that the node has in the end."""
    state = steady_state(shape, pool, min(pods, shape.max_pods))
    return PoolFacts(
        node=node,
        held=state.addresses,
        assigned=state.served,
        enis=state.enis,
        enis_max=shape.eni_limit,
        prefixes=state.prefixes,
        cni_version="",
        counters=PoolCounters(),
        read_at_s=now_s,
    )


def _daemon_set(
    policy: IPPolicy, env: Mapping[str, str], nodes: int, now_s: float
) -> DaemonSetFacts:
    """As the CNI's own manifest makes it, rolled out on all nodes."""
    ref = policy.spec.daemon_set_ref
    return DaemonSetFacts(
        ref=DaemonSetRef(ref.namespace, ref.name),
        uid="",
        resource_version="",
        generation=0,
        env={key: EnvEntry(value) for key, value in env.items()},
        owners={},
        image="",
        rollout=RolloutFacts(0, nodes, nodes, nodes, nodes, nodes, "RollingUpdate", "10%"),
        node_selector={},
        read_at_s=now_s,
    )
