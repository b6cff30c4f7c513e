"""What the operator sees of a cluster at one moment, and what its search says to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from builders import node, snapshot
from ippolicy.decide.evidence import evidence_of
from ippolicy.decide.fleet import Fleet
from ippolicy.decide.objective import Scores
from ippolicy.decide.question import Advice, Choice, Question
from ippolicy.decide.search import choose
from ippolicy.decide.trials import Trials
from ippolicy.decide.types import Evidence
from ippolicy.decide.units import Unit, units_of
from ippolicy.facts import InstanceLimits, NodeFacts, NodeTrace
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from warmpool import learning
from warmpool.clusters import Life
from warmpool.families import DAY_S

WINDOW_DAYS: Final = 2


@dataclass(frozen=True)
class View:
    """The cluster at second `now_s` as the operator sees it, and what its search says."""

    now_s: int
    alive: Sequence[Life]
    traces: Sequence[NodeTrace]
    units: Sequence[Unit]

    @classmethod
    def at(cls, lives: Sequence[Life], now_s: int) -> View:
        """The nodes of that second, and the demand of the days before."""
        since_s = now_s - WINDOW_DAYS * DAY_S
        alive = [life for life in lives if life.lives_at(now_s)]
        traces = [
            _trace(life, since_s, now_s)
            for life in lives
            if life.born_s < now_s and life.until_s > since_s
        ]
        facts = snapshot(
            nodes=tuple(map(_node, alive)),
            limits={life.pool.shape.instance_type: _limits(life.pool.shape) for life in alive},
        )
        until_s = learning.EPOCH_S + now_s
        return cls(now_s, alive, traces, units_of(facts, facts.nodes, traces, until_s=until_s))

    @cached_property
    def nodes(self) -> Mapping[str, int]:
        """How many nodes each group has."""
        return Counter(life.pool.name for life in self.alive)

    @cached_property
    def choice(self) -> Choice:
        """The best for all and for each group, asked as one asks who has the CNI's defaults."""
        peaks: dict[str, int] = defaultdict(int)
        for unit in self.units:
            peaks[unit.group] = max(peaks[unit.group], unit.peak)
        anchors = {group: WarmTargets(warm_ip=1, minimum_ip=peak) for group, peak in peaks.items()}
        question = Question(
            present=PoolSettings(),
            bounds=learning.SPEC.bounds,
            objective=learning.balanced(),
            nodes=self.nodes,
            anchor=WarmTargets(warm_ip=1, minimum_ip=max(peaks.values())),
            anchors=anchors,
        )
        choice = choose([self.units], question)
        assert choice is not None
        return choice

    def of_group(self, group: str) -> list[Life]:
        """Its nodes."""
        return [life for life in self.alive if life.pool.name == group]

    def scores(self, settings: Sequence[WarmTargets]) -> dict[str, Scores]:
        """What settings come to on the demand seen, by group."""
        fleet = Fleet(Trials(self.units, settings, PoolSettings()), self.nodes, self.nodes)
        columns = np.arange(len(settings))
        fleet.play(1.0, columns)
        return fleet.scores(columns)

    def evidence(self, group: str | None, advice: Advice) -> Evidence:
        """What the advice for a group, or (None) for all, rests on."""
        return evidence_of(
            [trace for trace in self.traces if group in {None, trace.group}],
            needed=learning.SPEC.demand.min_evidence,
            nodes=len(self.alive) if group is None else self.nodes[group],
            advice=advice,
            choice=self.choice,
        )


def _limits(shape: NodeShape) -> InstanceLimits:
    return InstanceLimits(shape.instance_type, shape.eni_limit, shape.addresses_per_eni, nitro=True)


def _node(life: Life) -> NodeFacts:
    return node(
        life.number,
        instance_type=life.pool.shape.instance_type,
        group=life.pool.name,
        max_pods=life.pool.shape.max_pods,
        created_at_s=learning.EPOCH_S + life.born_s,
    )


def _trace(life: Life, since_s: int, until_s: int) -> NodeTrace:
    since_s, until = life.starts_s(since_s), min(life.until_s, until_s)
    times_s, changes = learning.events_of(life.pods)
    first, last = np.searchsorted(times_s, (since_s, until))
    return NodeTrace(
        node=_node(life).name,
        group=life.pool.name,
        since_s=learning.EPOCH_S + since_s,
        until_s=learning.EPOCH_S + until,
        level=int(changes[:first].sum(dtype=np.int64)),
        times_s=learning.EPOCH_S + times_s[first:last],
        changes=changes[first:last],
    )
