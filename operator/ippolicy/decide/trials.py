"""What units of demand came to under settings, by replay, as arrays [unit, setting]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ippolicy.decide.units import Unit
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.cloud import Latency
from ippolicy.ipamd.fast.grid import replay_grid
from ippolicy.ipamd.fast.trace import Trace

Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]

SEED = 20_231
EVENTS_OF_A_LANE = 40  # what starting a lane costs, in events
_FEW_UNITS = 24
_REFERENCE = 0


class Replay(Protocol):
    """Plays each trace on the node of its shape under each setting, and counts from a second on."""

    def __call__(
        self,
        shapes: Sequence[NodeShape],
        traces: Sequence[Trace],
        settings: Sequence[PoolSettings],
        score_from_s: float,
    ) -> Played: ...


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """Arrays [node, setting].

    Starts of pods, those of them that found no address at first, means over time of the addresses
    and ENIs held and of the addresses with a pod, and the EC2 calls that change something.
    """

    starts: Floats
    delayed: Floats
    held: Floats
    assigned: Floats
    enis: Floats
    calls: Floats


def replay_fast(
    shapes: Sequence[NodeShape],
    traces: Sequence[Trace],
    settings: Sequence[PoolSettings],
    score_from_s: float,
    *,
    latency: Latency | None = None,
) -> Played:
    """The model's fast form, always with the same seed; EC2 takes its usual latency, or this."""
    result = replay_grid(
        shapes, traces, settings, seed=SEED, latency=latency, score_from_s=score_from_s
    )
    return Played(
        starts=result.pods.astype(np.float64),
        delayed=result.delayed.astype(np.float64),
        held=result.mean_held,
        assigned=result.mean_assigned,
        enis=result.mean_enis,
        calls=result.mutating_calls.astype(np.float64),
    )


class Trials:
    """The results of `units` under `candidates`, played as they are asked for.

    Beside them a setting is played that always holds all a node can hold: a start that is delayed
    even then is the node's size or cooldown, not the setting, and is charged to none.
    Few units are played several times each, and the mean is taken: what chance does then, in the
    order in which ipamd takes ENIs, weighs no more than with many. `events_played` counts what the
    replays so far have cost.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        candidates: Sequence[WarmTargets],
        base: PoolSettings,
        replay: Replay = replay_fast,
    ) -> None:
        self.units = units
        self.events_played = 0
        self._base = base
        self._settings = [replace(base, targets=_everything(units))]
        self._replay = replay
        self._times = max(1, _FEW_UNITS // max(1, len(units)))
        self._leads_s = np.array([unit.lead_s for unit in units])
        self._place = np.full(len(units), -1)  # among the rows of the arrays, which grow
        self._done = np.zeros((0, 1), dtype=bool)
        self._arrays = Played(*(np.zeros((0, 1)) for _ in Played.__slots__))
        self.add(candidates)

    def add(self, candidates: Sequence[WarmTargets]) -> None:
        """Take in more settings, numbered on from the last."""
        self._settings += [replace(self._base, targets=targets) for targets in candidates]
        self._grow(0, len(candidates))

    def play(self, rows: Indexes, columns: Indexes) -> None:
        """Play `rows` under `columns` (and the reference) as far as they were not played."""
        new = rows[self._place[rows] < 0]
        self._place[new] = len(self._done) + np.arange(len(new))
        self._grow(len(new), 0)
        columns = np.append(_REFERENCE, columns + 1)
        for lead_s in np.unique(self._leads_s[rows]).tolist():
            self._play_alike(rows[self._leads_s[rows] == lead_s], columns, lead_s)

    def cost(self, rows: Indexes, columns: int) -> int:
        """Events that playing `rows` under so many columns takes."""
        events: int = sum(self.units[row].events for row in rows.tolist())
        return columns * self._times * (events + EVENTS_OF_A_LANE * len(rows))

    def results(self, rows: Indexes, columns: Indexes) -> Played:
        """What was played, with the delays that no setting avoids taken out."""
        places = self._place[rows]
        part = np.ix_(places, columns + 1)
        assert self._done[part].all()  # noqa: S101  (a caller that did not play first is a bug)
        of, floor = self._arrays, self._arrays.delayed[places, _REFERENCE]
        return Played(
            starts=of.starts[part],
            delayed=np.maximum(of.delayed[part] - floor[:, None], 0.0),
            held=of.held[part],
            assigned=of.assigned[part],
            enis=of.enis[part],
            calls=of.calls[part],
        )

    def _play_alike(self, rows: Indexes, columns: Indexes, lead_s: float) -> None:
        todo = ~self._done[np.ix_(self._place[rows], columns)]
        # Rows that lack the same columns are played together.
        for lacking in np.unique(todo, axis=0):
            if lacking.any():
                self._run(rows[(todo == lacking).all(axis=1)], columns[lacking], lead_s)

    def _run(self, rows: Indexes, columns: Indexes, lead_s: float) -> None:
        chosen = [self.units[row] for row in rows]
        shapes = [_pool_shape(unit.shape, self._settings[0]) for unit in chosen]
        settings = [_plain(self._settings[column]) for column in columns]
        traces = [unit.trace() for unit in chosen]
        played = self._replay(shapes * self._times, traces * self._times, settings, lead_s)
        part = np.ix_(self._place[rows], columns)
        for name in Played.__slots__:
            each = getattr(played, name).reshape(self._times, len(rows), len(columns))
            getattr(self._arrays, name)[part] = each.mean(axis=0)
        self._done[part] = True
        self.events_played += self.cost(rows, len(columns))

    def _grow(self, rows: int, columns: int) -> None:
        more = ((0, rows), (0, columns))
        self._done = np.pad(self._done, more)
        self._arrays = Played(*(np.pad(getattr(self._arrays, n), more) for n in Played.__slots__))


def _everything(units: Sequence[Unit]) -> WarmTargets:
    most = max((unit.shape.max_pods for unit in units), default=1)
    return WarmTargets(warm_ip=most, minimum_ip=most)


def _plain(settings: PoolSettings) -> PoolSettings:
    """`settings` without what the fast form does not know; `_pool_shape` stands for it."""
    return replace(settings, custom_networking=False, pod_eni=False, subnet_discovery=True)


def _pool_shape(shape: NodeShape, settings: PoolSettings) -> NodeShape:
    """The ENIs that serve pods: custom networking leaves the primary idle, pod ENIs take a trunk.

    What this leaves out of the replay is the making of the first ENI at a node's start.
    """
    taken = int(settings.custom_networking) + int(settings.pod_eni and shape.trunk_capable)
    limit = min(shape.eni_limit, settings.max_eni or shape.eni_limit)
    return replace(shape, eni_limit=max(1, limit - taken))
