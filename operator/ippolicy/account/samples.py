"""What the gauges of one policy are worth after a pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ippolicy.account import metrics
from ippolicy.account.ahead_metrics import ahead_rows
from ippolicy.account.births import birth_rows
from ippolicy.account.changes import change_rows
from ippolicy.account.metric import Metric
from ippolicy.account.status import saves, totals_of
from ippolicy.account.view import View
from ippolicy.account.words import env_text, shown_targets
from ippolicy.act.checkpoints import CheckpointState
from ippolicy.api import EnvKey
from ippolicy.api.status import Condition
from ippolicy.decide.gates import wish_gate
from ippolicy.decide.subnets.room import rooms
from ippolicy.decide.subnets.split import splits
from ippolicy.facts import PrefixRoom, Snapshot, SubnetSplit
from ippolicy.ipamd import PoolSettings, WarmTargets


@dataclass(frozen=True, slots=True)
class Sample:
    """One series: the values of the metric's labels, in their order, and its value."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


def samples(view: View, conditions: Sequence[Condition]) -> tuple[Sample, ...]:
    """Every series of a policy's gauges.

    A policy that leaves its DaemonSet to an older one has its conditions only: the nodes are
    counted there, and sums over policies stay right.
    """
    name = view.policy.name
    found = [*_conditions(name, conditions), Sample(metrics.LAST_PASS, (name,), view.now_s)]
    if view.rival is None:
        found += _totals(name, view.snapshot)
        found += _groups(name, view.snapshot)
        found += (Sample(*row) for row in birth_rows(view))
        found += _subnets(name, view.snapshot)
        found += (Sample(*row) for row in ahead_rows(view))
        found += _sources(name, view.snapshot)
        found += _recommendation(name, view)
        found += _in_force(name, view.snapshot)
        found += (Sample(*row) for row in change_rows(view))
        found += _drift(name, view)
        found += _needed(name, view)
        found += _checkpoint(name, view.checkpoint)
    return tuple(found)


def _conditions(name: str, conditions: Sequence[Condition]) -> Iterator[Sample]:
    for condition in conditions:
        for status in ("True", "False", "Unknown"):
            labels = (name, condition.type, status)
            yield Sample(metrics.CONDITION, labels, float(condition.status == status))


def _totals(name: str, snapshot: Snapshot) -> Iterator[Sample]:
    totals, coverage = totals_of(snapshot), snapshot.coverage
    for metric, value in (
        (metrics.NODES, totals.nodes),
        (metrics.PODS, totals.pods),
        (metrics.HELD, totals.held),
        (metrics.ASSIGNED, totals.assigned),
        (metrics.WARM, totals.warm),
        (metrics.ENIS, totals.enis),
        (metrics.ENDPOINTS_LISTED, coverage.listed),
        (metrics.ENDPOINTS_READ, coverage.read),
        (metrics.ENDPOINTS_STALE, coverage.stale),
        (metrics.COVERAGE, coverage.share),
    ):
        yield Sample(metric, (name,), float(value))
    for kind, count in totals.left_out.items():
        yield Sample(metrics.LEFT_OUT_NODES, (name, kind), float(count))


def _groups(name: str, snapshot: Snapshot) -> Iterator[Sample]:
    nodes: dict[str, int] = defaultdict(int)
    held: dict[str, int] = defaultdict(int)
    assigned: dict[str, int] = defaultdict(int)
    for node in snapshot.nodes:
        nodes[node.group] += 1
        pool = snapshot.pools.get(node.name)
        if pool is not None:
            held[node.group] += pool.held
            assigned[node.group] += pool.assigned
    for group, count in nodes.items():
        labels = (name, group)
        yield Sample(metrics.GROUP_NODES, labels, float(count))
        yield Sample(metrics.GROUP_HELD, labels, float(held[group]))
        yield Sample(metrics.GROUP_ASSIGNED, labels, float(assigned[group]))
        yield Sample(metrics.GROUP_WARM, labels, float(held[group] - assigned[group]))


def _subnets(name: str, snapshot: Snapshot) -> Iterator[Sample]:
    split_of, room_of = splits(snapshot), rooms(snapshot)
    for subnet in snapshot.subnets:
        labels = (name, subnet.subnet_id, subnet.zone)
        yield Sample(metrics.SUBNET_FREE, labels, float(subnet.free))
        yield Sample(metrics.SUBNET_USABLE, labels, float(subnet.usable))
        yield Sample(metrics.SUBNET_READ, labels, subnet.read_at_s)
        if (split := split_of.get(subnet.subnet_id)) is not None:
            yield from _split(labels, split)
        if (room := room_of.get(subnet.subnet_id)) is not None:
            yield from _room(labels, room)


def _split(labels: tuple[str, ...], split: SubnetSplit) -> Iterator[Sample]:
    for holder, count in split.parts().items():
        if holder not in ("free", "unaccounted"):
            yield Sample(metrics.SUBNET_HELD, (*labels, holder), float(count))
    yield Sample(metrics.SUBNET_UNACCOUNTED, labels, float(split.unaccounted))
    yield Sample(metrics.SUBNET_LISTED, labels, split.read_at_s)


def _room(labels: tuple[str, ...], room: PrefixRoom) -> Iterator[Sample]:
    open_blocks = room.free_blocks - room.reserved_blocks
    yield Sample(metrics.SUBNET_BLOCKS, (*labels, "reserved"), float(room.reserved_blocks))
    yield Sample(metrics.SUBNET_BLOCKS, (*labels, "open"), float(open_blocks))
    yield Sample(metrics.SUBNET_FRAGMENTATION, labels, room.fragmentation)
    yield Sample(metrics.SUBNET_REFUSALS, labels, float(room.refusals))


def _sources(name: str, snapshot: Snapshot) -> Iterator[Sample]:
    for source, state in snapshot.sources.items():
        labels = (name, source.value)
        yield Sample(metrics.SOURCE_UP, labels, float(state.error is None))
        if state.succeeded_at_s is not None:
            yield Sample(metrics.SOURCE_SUCCESS, labels, state.succeeded_at_s)


def _recommendation(name: str, view: View) -> Iterator[Sample]:
    if view.decision is None or view.decision.fleet is None:
        return
    fleet = view.decision.fleet
    yield Sample(metrics.PRESENT_HELD, (name,), float(fleet.present.held))
    yield Sample(metrics.PREDICTED_HELD, (name,), float(fleet.predicted.held))
    yield Sample(metrics.SAVINGS, (name,), float(saves(fleet)))
    yield Sample(metrics.EVIDENCE, (name,), fleet.evidence.observed_s)
    yield from _targets(name, "recommended", fleet.targets)


def _checkpoint(name: str, checkpoint: CheckpointState) -> Iterator[Sample]:
    if checkpoint.saved_at_s is not None:
        yield Sample(metrics.CHECKPOINT_TIME, (name,), checkpoint.saved_at_s)
    if checkpoint.size_bytes:
        yield Sample(metrics.CHECKPOINT_BYTES, (name,), float(checkpoint.size_bytes))


def _in_force(name: str, snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.daemon_set is not None:
        settings = PoolSettings.from_env(snapshot.daemon_set.literal_env())
        yield from _targets(name, "in_force", settings.targets)
        yield Sample(metrics.PREFIX_DELEGATION, (name,), float(settings.prefix_delegation))


def _drift(name: str, view: View) -> Iterator[Sample]:
    """Whether what was set last still stands; of a policy that is to set anything at all."""
    if view.snapshot.daemon_set is None or view.last_change is None:
        return
    if wish_gate(view.policy) is None:
        yield Sample(metrics.TARGETS_DRIFTED, (name,), float(bool(view.drifts)))


def _needed(name: str, view: View) -> Iterator[Sample]:
    """The limits that figures are held to, and how far the facts are trusted."""
    yield Sample(metrics.COVERAGE_NEEDED, (name,), view.min_coverage)
    free_below = view.policy.spec.subnets.brake.free_below.fraction
    yield Sample(metrics.SUBNET_SHORT_BELOW, (name,), free_below)
    if view.ladder is not None:
        yield Sample(metrics.LADDER_STEP, (name,), float(view.ladder.step))


def _targets(name: str, state: str, targets: WarmTargets) -> Iterator[Sample]:
    yield Sample(metrics.TARGETS_INFO, (name, state, env_text(targets)), 1.0)
    shown = shown_targets(targets)
    values: Mapping[EnvKey, int | None] = {
        EnvKey.WARM_ENI_TARGET: shown.warm_eni,
        EnvKey.WARM_IP_TARGET: shown.warm_ip,
        EnvKey.MINIMUM_IP_TARGET: shown.minimum_ip,
        EnvKey.WARM_PREFIX_TARGET: shown.warm_prefix,
    }
    for key, value in values.items():
        if value is not None:
            yield Sample(metrics.TARGET, (name, state, key.value), float(value))
