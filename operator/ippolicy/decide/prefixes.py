"""Prefix mode: what switching ENABLE_PREFIX_DELEGATION would mean, and what stands in its way.

Advice only: the mode is never switched. It takes new nodes with another max-pods, which is for
whoever makes the nodes to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ippolicy.decide.fleet import Fleet, together
from ippolicy.decide.max_pods import KubeletAdvice, Places, kubelets_of, places_of
from ippolicy.decide.preconditions import Check, State, checks
from ippolicy.decide.predict import settled_pods, shape_of
from ippolicy.decide.trials import Replay, Trials, replay_fast
from ippolicy.decide.units import Unit
from ippolicy.facts import DaemonSetFacts, PrefixRoom, Snapshot
from ippolicy.ipamd import PoolSettings, WarmTargets
from ippolicy.ipamd.steady import steady_state

PREFIX_TARGETS: Final = WarmTargets(warm_prefix=1)
"""What aws-node's manifest has, and what its maintainers advise for nearly everyone."""
ADDRESS_TARGETS: Final = WarmTargets()
_REPLAYED_SHARE: Final = 0.0  # the first sample: a unit or more of each stratum


@dataclass(frozen=True, slots=True)
class Effect:
    """What all nodes come to in one mode, with the pods of now and `targets`.

    `held` counts addresses for pods, `subnet_addresses` the ENIs' own too. `delayed_share` and
    `calls_per_minute` are over the demand seen, and None where it was not replayed.
    """

    targets: WarmTargets
    held: int
    enis: int
    subnet_addresses: int
    delayed_share: float | None = None
    calls_per_minute: float | None = None


@dataclass(frozen=True, slots=True)
class PrefixAdvice:
    """What prefix mode means for a policy; `active` says that it is on already.

    `places_now` are those of the nodes as they are in the mode that is on, `places_raised` with
    prefixes and the recommended max-pods.
    """

    active: bool
    checks: tuple[Check, ...]
    addresses: Effect
    prefixes: Effect
    kubelets: tuple[KubeletAdvice, ...]
    places_now: Places
    places_raised: Places

    @property
    def go(self) -> bool:
        """Whether nothing forbids prefix mode."""
        return all(check.state is not State.NO_GO for check in self.checks)

    def lines(self) -> tuple[str, ...]:
        """The advice in lines for people."""
        return (self._headline(), self._places(), *(f"{c.name}: {c.text}" for c in self.checks))

    def _headline(self) -> str:
        more = self.prefixes.subnet_addresses - self.addresses.subnet_addresses
        change = f"{abs(more)} addresses {'more' if more >= 0 else 'less'}"
        told = f"{self.prefixes.subnet_addresses} with prefixes, {change} than without"
        if self.active:
            return f"prefix mode is on: nodes come to hold {told}"
        if self.go:
            return f"prefix mode may be switched on: nodes would come to hold {told}"
        reasons = [check.text for check in self.checks if check.state is State.NO_GO]
        return f"prefix mode is a no-go: {'; '.join(reasons)}"

    def _places(self) -> str:
        now, raised = self.places_now, self.places_raised
        if raised.workload <= now.workload:
            return now.text()
        return f"{now.text()}; with prefixes and max-pods raised: {raised.workload}"


def prefix_advice(
    snapshot: Snapshot,
    daemon_set: DaemonSetFacts,
    present: PoolSettings,
    rooms: Mapping[str, PrefixRoom],
    *,
    units: Sequence[Unit] = (),
    replay: Replay = replay_fast,
) -> PrefixAdvice:
    """What prefix mode would mean for the nodes of `snapshot`.

    `present` are the settings in force, `rooms` are by subnet id as far as they are known, and
    `units` are the demand to be replayed; without any, starts and calls are not told.
    """
    with_addresses = _in_mode(present, prefixes=False)
    with_prefixes = _in_mode(present, prefixes=True)
    kubelets = kubelets_of(snapshot, with_addresses, with_prefixes)
    raised = {kubelet.instance_type: kubelet.with_prefixes for kubelet in kubelets}
    active = present.prefix_delegation
    addresses, prefixes = (
        _replayed(_settled(snapshot, settings, active=active), snapshot, settings, units, replay)
        for settings in (with_addresses, with_prefixes)
    )
    return PrefixAdvice(
        active=active,
        checks=checks(snapshot, daemon_set, with_prefixes, kubelets, rooms, active=active),
        addresses=addresses,
        prefixes=prefixes,
        kubelets=kubelets,
        places_now=places_of(snapshot, present, {}),
        places_raised=places_of(snapshot, with_prefixes, raised),
    )


def _in_mode(present: PoolSettings, *, prefixes: bool) -> PoolSettings:
    """The settings in the other mode keep the targets that it heeds, else have the CNI's own."""
    usual = PREFIX_TARGETS if prefixes else ADDRESS_TARGETS
    keeps = present.prefix_delegation == prefixes or present.targets.counts_addresses
    targets = present.targets if keeps else usual
    return replace(present, prefix_delegation=prefixes, targets=targets)


def _settled(snapshot: Snapshot, settings: PoolSettings, *, active: bool) -> Effect:
    held = enis = 0
    for node in snapshot.nodes:
        shape = shape_of(snapshot, node, prefixes=active)
        if shape is not None:
            settled = steady_state(shape, settings, settled_pods(snapshot, node))
            held, enis = held + settled.addresses, enis + settled.enis
    return Effect(settings.targets, held, enis, held + enis)


def _replayed(
    effect: Effect,
    snapshot: Snapshot,
    settings: PoolSettings,
    units: Sequence[Unit],
    replay: Replay,
) -> Effect:
    """`effect` with what a first sample of `units` tells of starts and calls."""
    if not units:
        return effect
    nodes = Counter(node.group for node in snapshot.nodes)
    fleet = Fleet(Trials(units, [settings.targets], settings, replay), nodes, frozenset(nodes))
    only = np.zeros(1, dtype=np.int64)
    fleet.play(_REPLAYED_SHARE, only)
    scores = together(list(fleet.scores(only).values()))
    return replace(
        effect,
        delayed_share=float(scores.delayed_share[0, 0]),
        calls_per_minute=float(scores.calls_per_minute[0, 0]),
    )
