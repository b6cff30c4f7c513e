"""What the model makes of the demand that there really was: the test of a prediction.

Two or three settings are replayed, never a grid, and of a large fleet no more than a fair sample.
One of them may be what is in force, on each node its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from functools import partial
from typing import Final

import numpy as np

from ippolicy.decide.ec2 import latency_of
from ippolicy.decide.resample import LEAST, resampled_weights, sample, sample_order
from ippolicy.decide.running import Running
from ippolicy.decide.trials import Played, Trials, replay_fast
from ippolicy.decide.units import Unit, layers, units_of
from ippolicy.facts import Forecast, NodeTrace, Signals, Snapshot
from ippolicy.ipamd import PoolSettings, WarmTargets

MOST_EVENTS: Final = 200_000
TOLERANCE_SHARE: Final = 0.05
"""How far off a model that is right may be: restarts, readings that are a little old, and nodes
that come and go are not in the replay."""
_WITHIN: Final = (0.05, 0.95)


@dataclass(frozen=True, slots=True)
class Look:
    """What is known: the demand of `traces` up to now, on the nodes of `snapshot`.

    `later_s` names nodes that count from so late a moment on only, as they ran something else
    before.
    """

    snapshot: Snapshot
    traces: Sequence[NodeTrace]
    signals: Signals
    later_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def now_s(self) -> float:
        """The moment of the snapshot."""
        return self.snapshot.taken_at_s


def in_hindsight(
    look: Look,
    since_s: float,
    base: PoolSettings,
    settings: Sequence[WarmTargets | Running],
    *,
    nodes: float | None = None,
) -> tuple[Forecast, ...]:
    """What each of the `settings` would have come to in the demand from `since_s` to now; nothing
    where nothing can be replayed.

    Means are over the time in which any node was watched, for all nodes of that time, or for so
    many `nodes` like them throughout. The interval
    is that of nine of ten resamples, and `TOLERANCE_SHARE` more on both sides.
    """
    units = units_of(
        look.snapshot,
        look.snapshot.nodes,
        look.traces,
        until_s=look.now_s,
        since_s=since_s,
        later_s=look.later_s,
    )
    if not units:
        return ()
    played_as = [[_targets(setting, unit) for setting in settings] for unit in units]
    targets = sorted({one for row in played_as for one in row}, key=astuple)
    trials = Trials(
        units, targets, base, partial(replay_fast, latency=latency_of(look.signals.ec2))
    )
    strata = layers([unit.group for unit in units], [unit.mean_level for unit in units])
    order, columns = sample_order(strata), np.arange(len(targets))
    share = 1.0
    while share * len(units) > LEAST and _cost(trials, order, share, len(targets)) > MOST_EVENTS:
        share /= 2
    drawn = sample(order, share)
    rows = np.concatenate(drawn)
    trials.play(rows, columns)
    every = trials.results(rows, columns)
    own = np.array([[targets.index(one) for one in played_as[row]] for row in rows])
    played = Played(*(np.take_along_axis(getattr(every, n), own, 1) for n in Played.__slots__))
    weights = resampled_weights(drawn, [len(stratum) for stratum in strata])
    weights = weights * np.array([units[row].source.weight for row in rows])
    spans_s = np.array([units[row].until_s - units[row].since_s for row in rows])
    whole_s = max(u.until_s for u in units) - min(u.since_s for u in units)
    held = (weights * spans_s) @ played.held / whole_s
    times_as_many = 1.0
    if nodes is not None:
        there = weights @ spans_s / whole_s
        held, times_as_many = held * (nodes / there)[:, None], nodes / float(there[0])
    starts, delayed, calls = (
        weights[0] @ counted for counted in (played.starts, played.delayed, played.calls)
    )
    return tuple(
        Forecast(
            held=float(held[0, n]),
            held_low=float(np.quantile(held[1:, n], _WITHIN[0])) * (1 - TOLERANCE_SHARE),
            held_high=float(np.quantile(held[1:, n], _WITHIN[1])) * (1 + TOLERANCE_SHARE),
            delayed_share=float(delayed[n] / starts[n]) if starts[n] else 0.0,
            ec2_calls_per_minute=float(60.0 * calls[n] / whole_s * times_as_many),
        )
        for n in range(len(settings))
    )


def _targets(setting: WarmTargets | Running, unit: Unit) -> WarmTargets:
    return setting.targets_of(unit.source.node) if isinstance(setting, Running) else setting


def _cost(trials: Trials, order: Sequence[np.ndarray], share: float, settings: int) -> int:
    return trials.cost(np.concatenate(sample(order, share)), settings)
