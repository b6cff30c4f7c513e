"""Replay of a list of events in virtual time, with EC2 that answers at once unless told otherwise.

Everything falls 0.1 s after a whole second: first the pods without address try again in order (each
does so every second), then the events of that second happen, then the node is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from ippolicy.ipamd.cloud import NODE_SUBNET, CountedEC2, CountedSubnet, Latency
from ippolicy.ipamd.replay import AMPLE_SUBNET
from ippolicy.ipamd.settings import PoolSettings
from ippolicy.ipamd.shape import NodeShape
from ippolicy.ipamd.virtual import VirtualNode

MOMENT_OFFSET_S: Final = 0.1
LOOK_INTERVAL_S: Final = 5
_SECOND_SUBNET: Final = "subnet-second"

Op = Literal["add", "del_old", "del_new", "replace", "free", "restart", "end"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at second `at`.

    `add` and `replace` (delete the n oldest, then add n) concern `number` pods, `del_old` and
    `del_new` the oldest and newest ones; `free` gives `number` addresses back to the node's
    subnet; `restart` starts aws-node anew with `settings`; `end` ends the scenario.
    """

    at: int
    op: Op
    number: int = 0
    settings: PoolSettings | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A node, what its subnets have left before it starts, and what happens to it.

    `second_subnet_free` is a subnet tagged for the CNI, and the ENIConfig's under custom
    networking; `role_tag` is the value of the CNI's tag on the node's own subnet.
    """

    shape: NodeShape
    settings: PoolSettings
    events: tuple[Event, ...]
    subnet_free: int = AMPLE_SUBNET
    second_subnet_free: int | None = None
    role_tag: str | None = None
    unschedulable: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """A scenario's node at second `at`, after what happened then.

    `pods` are those wanted, `pending` those without address, `failed_adds` all whose first ADD
    failed so far. `addresses`, `assigned` and `cooling` count the pool's own kind, `cidrs_by_eni`
    (most first) both kinds; `calls` and `errors` count by EC2 API since the node was made.
    """

    at: int
    pods: int
    pending: int
    failed_adds: int
    enis: int
    addresses: int
    prefixes: int
    free_prefixes: int
    assigned: int
    cooling: int
    subnet_free: int
    cidrs_by_eni: tuple[int, ...]
    calls: Mapping[str, int]
    errors: Mapping[str, int]


def observe(
    scenario: Scenario, *, seed: int, latency: Latency | None = None
) -> Iterator[Observation]:
    """Play a scenario and look at the node at 0, every 5 s and at each event.

    `seed` settles every random choice.

    Raises:
        NodeInitFailed: ipamd cannot start.
    """
    play = _Play(scenario, seed, Latency.none() if latency is None else latency)
    yield play.look(0)
    events = sorted(scenario.events, key=lambda event: event.at)
    second = 0
    while events:
        second += 1
        play.reach(second)
        due = [event for event in events if event.at <= second]
        events = events[len(due) :]
        for event in due:
            play.happen(event)
        if due or second % LOOK_INTERVAL_S == 0:
            yield play.look(second)


class _Play:
    """The state of one replay."""

    def __init__(self, scenario: Scenario, seed: int, latency: Latency) -> None:
        self._own = CountedSubnet(NODE_SUBNET, scenario.subnet_free, scenario.role_tag)
        subnets = [self._own]
        if scenario.second_subnet_free is not None:
            subnets.append(CountedSubnet(_SECOND_SUBNET, scenario.second_subnet_free, "1"))
        self._scenario = scenario
        self._node = VirtualNode(
            scenario.shape,
            CountedEC2(subnets),
            random=Random(seed),
            latency=latency,
            custom_subnet=subnets[-1].subnet_id,
        )
        self._pods: list[str] = []
        self._pending: list[str] = []
        self._failed_adds = 0
        self._made = 0
        self._node.boot(scenario.settings, unschedulable=scenario.unschedulable)

    def reach(self, second: int) -> None:
        """Let time go on to `second`, where the pods without address try again."""
        self._node.advance(second + MOMENT_OFFSET_S)
        self._pending = [pod for pod in self._pending if not self._node.add_pod(pod)]

    def happen(self, event: Event) -> None:
        """Carry out one event."""
        match event.op:
            case "add":
                self._add(event.number)
            case "del_old":
                self._delete(self._pods[: event.number])
            case "del_new":
                self._delete(self._pods[max(len(self._pods) - event.number, 0) :])
            case "replace":
                self._delete(self._pods[: event.number])
                self._add(event.number)
            case "free":
                self._own.free += event.number
            case "restart":
                self._node.boot(
                    event.settings or self._scenario.settings,
                    self._node.ipamd.checkpoint(),
                    unschedulable=self._scenario.unschedulable,
                )
            case "end":
                pass

    def _add(self, number: int) -> None:
        for _ in range(number):
            pod = f"pod-{self._made}"
            self._made += 1
            self._pods.append(pod)
            if not self._node.add_pod(pod):
                self._failed_adds += 1
                self._pending.append(pod)

    def _delete(self, pods: list[str]) -> None:
        for pod in pods:
            self._pods.remove(pod)
            if pod in self._pending:
                self._pending.remove(pod)
            else:
                self._node.del_pod(pod)

    def look(self, second: int) -> Observation:
        """The node as it is now."""
        node, store = self._node, self._node.ipamd.store
        pool = store.count()
        return Observation(
            at=second,
            pods=len(self._pods),
            pending=len(self._pending),
            failed_adds=self._failed_adds,
            enis=len(store.enis),
            addresses=pool.total,
            prefixes=pool.total_prefixes,
            free_prefixes=pool.free_prefixes,
            assigned=pool.assigned,
            cooling=store.cooling(node.now),
            subnet_free=self._own.free,
            cidrs_by_eni=tuple(sorted((len(e.cidrs) for e in store.enis.values()), reverse=True)),
            calls=dict(node.cloud.calls),
            errors=dict(node.cloud.errors),
        )
