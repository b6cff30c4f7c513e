"""What units of demand came to under settings, by replay, as arrays [unit, setting]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ippolicy.decide.units import Unit
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.fast.grid import replay_grid
from ippolicy.ipamd.fast.trace import Trace

Floats = NDArray[np.float64]
Indexes = NDArray[np.int64]

SEED = 20_231
EVENTS_OF_A_LANE = 40  # what starting a lane costs, in events


class Replay(Protocol):
    """Plays each trace on the node of its shape under each setting."""

    def __call__(
        self,
        shapes: Sequence[NodeShape],
        traces: Sequence[Trace],
        settings: Sequence[PoolSettings],
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
    shapes: Sequence[NodeShape], traces: Sequence[Trace], settings: Sequence[PoolSettings]
) -> Played:
    """The model's fast form, always with the same seed."""
    result = replay_grid(shapes, traces, settings, seed=SEED)
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

    Column `reference` is a setting that always holds all a node can hold: a start that is delayed
    even then is the node's size or cooldown, not the setting, and is charged to none.
    `events_played` counts what the replays so far have cost.
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
        self._settings = [replace(base, targets=targets) for targets in candidates]
        self._settings.append(replace(base, targets=_everything(units)))
        self.reference = len(candidates)
        self._replay = replay
        shape = (len(units), len(self._settings))
        self._done = np.zeros(shape, dtype=bool)
        self._arrays = Played(*(np.zeros(shape) for _ in range(6)))

    def play(self, rows: Indexes, columns: Indexes) -> None:
        """Play `rows` under `columns` (and the reference) as far as they were not played."""
        columns = np.append(columns, self.reference)
        todo = ~self._done[np.ix_(rows, columns)]
        # Rows that lack the same columns are played together.
        for lacking in np.unique(todo, axis=0):
            if lacking.any():
                self._run(rows[(todo == lacking).all(axis=1)], columns[lacking])

    def cost(self, rows: Indexes, columns: int) -> int:
        """Events that playing `rows` under so many columns takes."""
        events: int = sum(self.units[row].events for row in rows.tolist())
        return columns * (events + EVENTS_OF_A_LANE * len(rows))

    def results(self, rows: Indexes, columns: Indexes) -> Played:
        """What was played, with the delays that no setting avoids taken out."""
        part = np.ix_(rows, columns)
        assert self._done[part].all()  # noqa: S101  (a caller that did not play first is a bug)
        of, floor = self._arrays, self._arrays.delayed[rows, self.reference]
        return Played(
            starts=of.starts[part],
            delayed=np.maximum(of.delayed[part] - floor[:, None], 0.0),
            held=of.held[part],
            assigned=of.assigned[part],
            enis=of.enis[part],
            calls=of.calls[part],
        )

    def _run(self, rows: Indexes, columns: Indexes) -> None:
        chosen = [self.units[row] for row in rows]
        shapes = [_pool_shape(unit.shape, self._settings[0]) for unit in chosen]
        settings = [_plain(self._settings[column]) for column in columns]
        played = self._replay(shapes, [unit.trace() for unit in chosen], settings)
        part = np.ix_(rows, columns)
        for name in Played.__slots__:
            getattr(self._arrays, name)[part] = getattr(played, name)
        self._done[part] = True
        self.events_played += self.cost(rows, len(columns))


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
