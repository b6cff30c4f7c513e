"""The search over whole fleets: how long it takes, how much memory, and what sampling costs.

The nodes have five instance types, a group each, and a day of demand that others came before. In a
mixed fleet they have the families of demand in equal parts. In a busy one each has all four at
once, with a quarter of the lives: some 100 arrivals and departures an hour.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from builders import node, snapshot
from ippolicy.decide.fleet import Fleet
from ippolicy.decide.objective import Objective
from ippolicy.decide.question import Choice, Question
from ippolicy.decide.search import BUDGET_EVENTS, choose
from ippolicy.decide.trials import Trials
from ippolicy.decide.units import Unit, units_of
from ippolicy.facts import InstanceLimits, NodeFacts, NodeTrace
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.fast import compile_kernel
from warmpool import learning
from warmpool.families import DAY_S, FAMILIES, Pods, pods_of
from warmpool.terms import name_of

SHAPES: Final = (
    NodeShape("m5.large", eni_limit=3, addresses_per_eni=10, max_pods=29),
    NodeShape("m5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58),
    NodeShape("t3.2xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58),
    NodeShape("r5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58),
    NodeShape("m5.4xlarge", eni_limit=8, addresses_per_eni=30, max_pods=234),
)
CALLS_A_NODE: Final = 0.5
"""Mutating EC2 calls a minute and node that a fleet may make; never less than Balanced allows."""
_DAYS_BEFORE: Final = 2
_NODES_A_SEED: Final = 1_000_000
_NO_BUDGET: Final = 10**12


@dataclass(frozen=True, slots=True)
class Members:
    """The nodes of a fleet, and what was seen of them."""

    nodes: tuple[NodeFacts, ...]
    units: Sequence[Unit]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a setting comes to on all nodes of a fleet: addresses held a node, delayed starts."""

    held_a_node: float
    delayed_pct: float


@dataclass(frozen=True, slots=True)
class FleetResult:
    """What the search of one fleet took and came to.

    `cpu_s` and `wall_s` are those of the search alone, `peak_mib` the most memory that its process
    ever held, the demand included. `predicted` is what the search says of its choice, `true` what
    all nodes come to under it.
    """

    nodes: int
    busy: bool
    events_a_node: int
    units_played: int
    settings: int
    cpu_s: float
    wall_s: float
    peak_mib: float
    choice: str
    met: bool
    predicted: Outcome
    true: Outcome


@dataclass(frozen=True, slots=True)
class SamplingResult:
    """One fleet searched twice: on a sample, and on all nodes.

    `held_more` is the share by which the choice of the sample holds more, on all nodes, than the
    choice of all; both `true` outcomes are on all nodes.
    """

    nodes: int
    seed: int
    units_played: int
    sampled: str
    sampled_true: Outcome
    whole: str
    whole_true: Outcome
    cpu_sampled_s: float
    cpu_whole_s: float

    @property
    def held_more(self) -> float:
        """See above."""
        return self.sampled_true.held_a_node / self.whole_true.held_a_node - 1.0


def measure(nodes: int, *, busy: bool = False, seed: int = 1) -> FleetResult:
    """Search a fleet in a process of its own, its demand made before the clock starts."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (nodes, busy, seed))


def compare(nodes: int, seed: int) -> SamplingResult:
    """Search a fleet as the operator does, and without a limit to what is played."""
    fleet = members(nodes, seed)
    found, cpu_s = [], []
    for budget in (BUDGET_EVENTS, _NO_BUDGET):
        began = time.process_time()
        found.append(search(fleet, budget_events=budget))
        cpu_s.append(time.process_time() - began)
    sampled, whole = (choice.fleet.chosen.targets for choice in found)
    outcomes = outcomes_of(fleet, [sampled, whole])
    return SamplingResult(
        nodes=nodes,
        seed=seed,
        units_played=found[0].units_played,
        sampled=name_of(sampled),
        sampled_true=outcomes[0],
        whole=name_of(whole),
        whole_true=outcomes[1],
        cpu_sampled_s=cpu_s[0],
        cpu_whole_s=cpu_s[1],
    )


def _measured(nodes: int, busy: bool, seed: int) -> FleetResult:
    compile_kernel()
    fleet = members(nodes, seed, busy=busy)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    choice = search(fleet)
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    peak = peak_mib()
    chosen = choice.fleet.chosen
    return FleetResult(
        nodes=nodes,
        busy=busy,
        events_a_node=round(sum(unit.last - unit.first for unit in fleet.units) / nodes),
        units_played=choice.units_played,
        settings=choice.settings,
        cpu_s=cpu_s,
        wall_s=wall_s,
        peak_mib=peak,
        choice=name_of(chosen.targets),
        met=choice.fleet.met,
        predicted=Outcome(chosen.held / nodes, 100 * chosen.delayed_share),
        true=outcomes_of(fleet, [chosen.targets])[0],
    )


def search(fleet: Members, *, budget_events: int = BUDGET_EVENTS) -> Choice:
    """The choice for a fleet that has the CNI's defaults, within the goal Balanced."""
    limits = learning.balanced()
    calls = max(limits.calls_per_minute, CALLS_A_NODE * len(fleet.nodes))
    peaks: Counter[str] = Counter()
    for unit in fleet.units:
        peaks[unit.group] = max(peaks[unit.group], unit.peak)
    anchors = {group: WarmTargets(warm_ip=1, minimum_ip=peak) for group, peak in peaks.items()}
    question = Question(
        present=PoolSettings(),
        bounds=learning.SPEC.bounds,
        objective=Objective(limits.delayed_share, calls),
        nodes=_groups(fleet),
        anchor=WarmTargets(warm_ip=1, minimum_ip=max(peaks.values())),
        anchors=anchors,
    )
    choice = choose([fleet.units], question, budget_events=budget_events)
    assert choice is not None
    return choice


def outcomes_of(fleet: Members, settings: Sequence[WarmTargets]) -> list[Outcome]:
    """What settings come to on every node."""
    groups = _groups(fleet)
    columns = np.arange(len(settings))
    whole = Fleet(Trials(fleet.units, settings, PoolSettings()), groups, groups)
    whole.play(1.0, columns)
    scores = list(whole.scores(columns).values())
    held = sum(each.held[0] for each in scores)
    delayed = sum(each.delayed[0] for each in scores) / sum(each.starts[0] for each in scores)
    return [
        Outcome(float(held[number]) / len(fleet.nodes), 100 * float(delayed[number]))
        for number in columns
    ]


def members(nodes: int, seed: int, *, busy: bool = False) -> Members:
    """A fleet of so many nodes."""
    facts = tuple(_nodes(nodes))
    families = list(FAMILIES)
    traces = []
    for number, member in enumerate(facts):
        own = families if busy else [families[number // len(SHAPES) % len(families)]]
        parts = [pods_of(f, seed * _NODES_A_SEED + number, _DAYS_BEFORE + 1) for f in own]
        pods = np.concatenate(parts)
        if busy:
            pods[:, 1] //= len(families)
        traces.append(_last_day(member, pods))
    limits = {
        s.instance_type: InstanceLimits(s.instance_type, s.eni_limit, s.addresses_per_eni, True)
        for s in SHAPES
    }
    seen = snapshot(nodes=facts, limits=limits)
    return Members(facts, units_of(seen, facts, traces, until_s=traces[0].until_s))


def _nodes(count: int) -> Iterator[NodeFacts]:
    for number in range(count):
        shape = SHAPES[number % len(SHAPES)]
        yield node(
            number,
            instance_type=shape.instance_type,
            group=shape.instance_type,
            max_pods=shape.max_pods,
            created_at_s=learning.EPOCH_S - DAY_S,
        )


def _groups(fleet: Members) -> Counter[str]:
    return Counter(member.group for member in fleet.nodes)


def _last_day(member: NodeFacts, pods: Pods) -> NodeTrace:
    times_s, changes = learning.events_of(pods)
    first, last = np.searchsorted(times_s, (_DAYS_BEFORE * DAY_S, (_DAYS_BEFORE + 1) * DAY_S))
    since_s = learning.EPOCH_S + _DAYS_BEFORE * DAY_S
    return NodeTrace(
        node=member.name,
        group=member.group,
        since_s=since_s,
        until_s=since_s + DAY_S,
        level=int(changes[:first].sum(dtype=np.int64)),
        times_s=learning.EPOCH_S + times_s[first:last],
        changes=changes[first:last],
    )


def peak_mib() -> float:
    """Most memory that this process ever held; `getrusage` would count its parent's, too."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
