"""Keeps what aws-node's counters say beside demand: late starts for a day, and how EC2 answered.

A failed ADD counts as a late start unless targets could not have helped:

    aws-node started on the node a minute ago or less     its pool is being filled
    a rollout is under way                                pods run with old targets and new
    the node held all that it can                         it is the node's size
    EC2 refused to give addresses meanwhile               it is the subnet, or EC2

The kubelet tries an ADD again and again, and each try counts (`awscni_no_available_ip_addresses`).
So of one reading no more late starts are taken than pods that got an address since the one before
or wait for it still.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from ippolicy.decide.own_targets import OwnTargets
from ippolicy.facts import (
    ApiFacts,
    DaemonSetFacts,
    InForce,
    LateStarts,
    NodeFacts,
    PoolFacts,
    Ran,
    Signals,
    Snapshot,
)
from ippolicy.ipamd import PoolSettings

KEPT_S: Final = 86_400.0
STARTING_S: Final = 60.0
SLOT_S: Final = 900.0
SLOTS_LATELY: Final = 4
SLOTS_KEPT: Final = round(KEPT_S / SLOT_S)
FEW_CALLS: Final = 10
_MOST_LATE: Final = 50_000
_GIVING: Final = (
    "AssignPrivateIpAddresses",
    "CreateNetworkInterface",
    "AttachNetworkInterface",
)


@dataclass(slots=True)
class _Seen:
    """The last reading of a node, and when its aws-node was last seen to have started."""

    pool: PoolFacts
    started_at_s: float


@dataclass(slots=True)
class Tally:
    """What was counted of one EC2 API; `answers_ms` is how long all answers took together."""

    calls: int = 0
    overloaded: int = 0
    answers: int = 0
    answers_ms: int = 0


@dataclass(frozen=True, slots=True)
class Noted:
    """All that is noted beside the readings under way: `slots` are calls by API, by the number of
    the quarter of an hour since the epoch. Of targets of a node's own it has those that are over:
    its pod itself tells of those in force."""

    in_force: tuple[InForce, ...] = ()
    late: tuple[LateStarts, ...] = ()
    slots: Mapping[int, Mapping[str, Tally]] = field(default_factory=dict)
    ran: tuple[Ran, ...] = ()


class SignalHistory:
    """Takes note of each snapshot's counters; `former` is what an earlier process knew.

    The late starts of a node in a quarter of an hour are one fact, of the time of the last.
    """

    def __init__(self, former: Noted | None = None) -> None:
        former = former or Noted()
        self._in_force = list(former.in_force)
        self._own = OwnTargets(former.ran)
        self._late: OrderedDict[tuple[str, int, float], LateStarts] = OrderedDict()
        for late in former.late:
            self._add_late(late)
        self._calls = _Calls(former.slots)
        self._seen: dict[str, _Seen] = {}
        self._rolled_out_at_s = inf

    def note(self, snapshot: Snapshot) -> None:
        """Take in the readings that are new in `snapshot`."""
        now_s = snapshot.taken_at_s
        self._note_targets(snapshot.daemon_set, now_s)
        self._own.note(snapshot)
        nodes = {node.name: node for node in snapshot.nodes}
        for name in self._seen.keys() - nodes.keys():
            del self._seen[name]
        for name, pool in snapshot.pools.items():
            seen = self._seen.get(name)
            if name not in nodes:
                continue
            if seen is None or pool.read_at_s < seen.pool.read_at_s:  # the clock was set back
                self._seen[name] = _Seen(pool, pool.read_at_s)
            elif pool.read_at_s > seen.pool.read_at_s:
                self._calls.add(seen.pool, pool, now_s)
                if pool.restarts != seen.pool.restarts:
                    seen.started_at_s = pool.read_at_s
                elif seen.pool.read_at_s >= self._begun_s(seen) and (
                    pods := late_pods(seen.pool, pool, nodes[name], snapshot)
                ):
                    self._add_late(LateStarts(pool.read_at_s, name, nodes[name].group, pods))
                seen.pool = pool
        self._forget_before(now_s - KEPT_S)

    def signals(self, now_s: float) -> Signals:
        """A copy of what is known, for use in another thread."""
        return Signals(
            in_force=tuple(self._in_force),
            late=tuple(self._late.values()),
            ec2=self._calls.facts(now_s),
            ran=(*self._own.over(), *self._own.still()),
        )

    def noted(self) -> Noted:
        """A copy of all that an operator after this one can go on from."""
        return Noted(
            in_force=tuple(self._in_force),
            late=tuple(self._late.values()),
            slots=self._calls.copied(),
            ran=self._own.over(),
        )

    def _note_targets(self, daemon_set: DaemonSetFacts | None, now_s: float) -> None:
        if daemon_set is None:
            return
        rollout = daemon_set.rollout
        if rollout.observed_generation < daemon_set.generation or rollout.updated < rollout.desired:
            self._rolled_out_at_s = inf
            return
        self._rolled_out_at_s = min(self._rolled_out_at_s, now_s)
        targets = PoolSettings.from_env(daemon_set.literal_env()).targets
        if not self._in_force or self._in_force[-1].targets != targets:
            self._in_force.append(InForce(now_s, targets))

    def _begun_s(self, seen: _Seen) -> float:
        """From when on what a node counts is the doing of the targets in force."""
        return max(seen.started_at_s + STARTING_S, self._rolled_out_at_s)

    def _add_late(self, late: LateStarts) -> None:
        since_s = self._own.since_s(late.node, late.at_s)
        if since_s is None:
            of_all = (one.since_s for one in reversed(self._in_force))
            since_s = next((since_s for since_s in of_all if since_s <= late.at_s), inf)
        key = (late.node, int(late.at_s // SLOT_S), since_s)
        former = self._late.get(key)
        self._late[key] = late if former is None else replace(late, pods=late.pods + former.pods)
        if len(self._late) > _MOST_LATE:
            self._late.popitem(last=False)

    def _forget_before(self, horizon_s: float) -> None:
        while self._late and next(iter(self._late.values())).at_s <= horizon_s:
            self._late.popitem(last=False)
        self._own.forget_before(horizon_s)
        # The targets of the horizon itself were put in force before it.
        while len(self._in_force) > 1 and self._in_force[1].since_s <= horizon_s:
            del self._in_force[0]


def late_pods(before: PoolFacts, pool: PoolFacts, node: NodeFacts, snapshot: Snapshot) -> int:
    """Starts between two readings of a node that other targets might have served in time."""
    was, now = before.counters, pool.counters
    failed = now.no_available_addresses - was.no_available_addresses
    full = any(_full(reading, node, snapshot) for reading in (before, pool))
    if failed <= 0 or full or _refused(before, pool):
        return 0
    served = max(0, now.add_requests - was.add_requests - failed)
    waiting = max(0, snapshot.pods_per_node.get(node.name, 0) - pool.assigned)
    return min(failed, max(1, served + waiting))


def _full(pool: PoolFacts, node: NodeFacts, snapshot: Snapshot) -> bool:
    """Whether a node holds all that it can, or all that its pods can use."""
    limits = snapshot.limits.get(node.instance_type)
    most = pool.held_max
    if not most and limits is not None and not pool.prefixes:
        most = limits.enis * limits.slots
    return pool.held >= min(node.max_pods, most or node.max_pods)


def _refused(before: PoolFacts, pool: PoolFacts) -> bool:
    was, now = before.counters.ec2_errors, pool.counters.ec2_errors
    return any(now.get(api, 0) > was.get(api, 0) for api in _GIVING)


class _Calls:
    """The calls of all nodes in slots of a quarter of an hour, for a day."""

    def __init__(self, former: Mapping[int, Mapping[str, Tally]]) -> None:
        self._slots: dict[int, dict[str, Tally]] = {
            number: defaultdict(Tally, tallies) for number, tallies in former.items()
        }

    def add(self, before: PoolFacts, pool: PoolFacts, now_s: float) -> None:
        """Take in what a node counted from one reading to the next."""
        was, now = before.counters, pool.counters
        if was == now:
            return
        tallies = self._slots.setdefault(int(now_s // SLOT_S), defaultdict(Tally))
        for api, count in _risen(was.ec2_calls, now.ec2_calls):
            tallies[api].calls += count
        for api, count in _risen(was.ec2_overloads, now.ec2_overloads):
            tallies[api].overloaded += count
        for api, count in _risen(was.answers, now.answers):
            tallies[api].answers += count
        for api, count in _risen(was.answers_ms, now.answers_ms):
            tallies[api].answers_ms += count

    def copied(self) -> dict[int, dict[str, Tally]]:
        """The slots as they are now."""
        return {
            number: {api: replace(tally) for api, tally in tallies.items()}
            for number, tallies in self._slots.items()
        }

    def facts(self, now_s: float) -> dict[str, ApiFacts]:
        """By API, of the last whole hour, or of the whole day where that has but few calls.

        What EC2 refused for load counts only while it goes on: not of a day whose last hour had
        none of it. The slot under way is left out, so that the facts stay the same until it ends.
        """
        current = int(now_s // SLOT_S)
        self._slots = {n: t for n, t in self._slots.items() if n >= current - SLOTS_KEPT}
        facts: dict[str, ApiFacts] = {}
        for api in sorted({api for tallies in self._slots.values() for api in tallies}):
            lately = _facts(self._tallies(api, current, SLOTS_LATELY))
            for count in (SLOTS_LATELY, SLOTS_KEPT):
                seen = self._tallies(api, current, count)
                if sum(max(tally.calls, tally.answers) for tally in seen) >= FEW_CALLS:
                    found = _facts(seen)
                    facts[api] = found if lately.overloaded else replace(found, overloaded=0)
                    break
        return facts

    def _tallies(self, api: str, current: int, count: int) -> list[Tally]:
        """What was counted of an API in the `count` slots before the current one."""
        slots = (self._slots.get(n, {}) for n in range(current - count, current))
        return [slot[api] for slot in slots if api in slot]


def _risen(was: Mapping[str, int], now: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    return ((name, count - was.get(name, 0)) for name, count in now.items())


def _facts(tallies: Iterable[Tally]) -> ApiFacts:
    calls = overloaded = answers = answers_ms = 0
    for tally in tallies:
        calls, overloaded = calls + tally.calls, overloaded + tally.overloaded
        answers, answers_ms = answers + tally.answers, answers_ms + tally.answers_ms
    return ApiFacts(calls, overloaded, answers_ms / answers / 1_000 if answers else None)
