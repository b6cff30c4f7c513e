"""What demand would have met under some settings: `ippolicy simulate --trace`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import numpy as np

from ippolicy.cli.environment import Setting
from ippolicy.cli.instances import InstanceType
from ippolicy.cli.progress import progress
from ippolicy.cli.tables import blocks, csv_text, number, percent, sentence, table
from ippolicy.errors import InvalidInput
from ippolicy.facts import NodeTrace
from ippolicy.ipamd import NodeShape, PoolSettings
from ippolicy.ipamd.fast import (
    API_NAMES,
    MUTATING,
    LaneRandom,
    LaneResult,
    Trace,
    lane_seed,
    replay_grid,
    replay_lane,
)
from ippolicy.ipamd.virtual import VirtualNode

SEED: Final = 1
_FEW_EVENTS: Final = 20_000
"""So many are stepped through in the time that loading the compiled replay takes."""
_MOST_STEPS: Final = 500_000  # some two minutes
_LOOKS: Final = 600


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one setting came to, all nodes together.

    `delayed` of the `pods` found no address at first, `unserved` never got one. Addresses are means
    over time; `peak_held` adds up each node's own peak. `calls` counts EC2 calls by API.
    """

    setting: Setting
    max_pods: int
    pods: int
    delayed: int
    unserved: int
    mean_held: float
    peak_held: int
    mean_idle: float
    calls: Mapping[str, int]

    @property
    def delayed_share(self) -> float:
        """Share of pods whose first try found no address."""
        return self.delayed / self.pods if self.pods else 0.0

    @property
    def changing_calls(self) -> int:
        """Calls that change something."""
        return sum(self.calls.get(name, 0) for name in MUTATING)

    def figures(self) -> dict[str, Any]:
        """What it came to, as data."""
        return {
            "pods": self.pods,
            "delayed": self.delayed,
            "delayed_share": round(self.delayed_share, 6),
            "unserved": self.unserved,
            "mean_held": round(self.mean_held, 3),
            "peak_held": self.peak_held,
            "mean_idle": round(self.mean_idle, 3),
            "ec2_calls": sum(self.calls.values()),
            "changing_calls": self.changing_calls,
        }


@dataclass(frozen=True, slots=True)
class Levels:
    """Addresses on all nodes together over time, an item each `every_s` seconds."""

    every_s: int
    held: tuple[int, ...]
    assigned: tuple[int, ...]
    cooling: tuple[int, ...]


def replay(
    instance: InstanceType,
    settings: Sequence[Setting],
    traces: Sequence[NodeTrace],
    *,
    max_pods: int | None,
) -> list[Replayed]:
    """Replay every trace under every setting that aws-node starts with."""
    chosen = [setting for setting in settings if setting.refusal is None]
    shapes = [_shape(instance, setting.pool, max_pods) for setting in chosen]
    demand = [_demand(trace) for trace in traces]
    steps = sum(len(trace.times_s) for trace in demand) * len(chosen)
    with progress(f"replaying {len(traces)} nodes under {len(chosen)} settings"):
        return [
            _stepped(setting, shape, demand)
            if steps <= _FEW_EVENTS or not _known_to_grid(setting.pool)
            else _at_once(setting, shape, demand)
            for setting, shape in zip(chosen, shapes, strict=True)
        ]


def levels(
    instance: InstanceType,
    settings: Sequence[Setting],
    traces: Sequence[NodeTrace],
    *,
    max_pods: int | None,
) -> list[tuple[Setting, Levels]]:
    """Addresses over time under every setting that aws-node starts with.

    Raises:
        InvalidInput: it would take too long, as each step is played to be looked at.
    """
    chosen = [setting for setting in settings if setting.refusal is None]
    demand = [_demand(trace) for trace in traces]
    steps = sum(len(trace.times_s) for trace in demand) * len(chosen)
    if steps > _MOST_STEPS:
        raise InvalidInput(
            f"a picture of {steps} events would take long, at most {_MOST_STEPS} are drawn: give "
            "fewer nodes, days or settings"
        )
    with progress(f"replaying {len(traces)} nodes under {len(chosen)} settings step by step"):
        return [
            (setting, _looked_at(setting, _shape(instance, setting.pool, max_pods), demand))
            for setting in chosen
        ]


def _shape(instance: InstanceType, pool: PoolSettings, max_pods: int | None) -> NodeShape:
    return instance.shape(instance.max_pods(pool) if max_pods is None else max_pods)


def _demand(trace: NodeTrace) -> Trace:
    """A node that has run for long when its trace begins."""
    times_s = trace.times_s - trace.since_s
    return Trace(trace.level, times_s, trace.changes, trace.span_s, cold=False)


def _known_to_grid(pool: PoolSettings) -> bool:
    return not pool.custom_networking and not pool.pod_eni and pool.subnet_discovery


def _stepped(setting: Setting, shape: NodeShape, demand: Sequence[Trace]) -> Replayed:
    lanes = [_lane(setting, shape, trace, number) for number, trace in enumerate(demand)]
    calls: Counter[str] = Counter()
    for lane in lanes:
        calls.update(lane.calls)
    return Replayed(
        setting=setting,
        max_pods=shape.max_pods,
        pods=sum(lane.pods for lane in lanes),
        delayed=sum(lane.delayed for lane in lanes),
        unserved=sum(lane.unserved for lane in lanes),
        mean_held=sum(lane.mean_held for lane in lanes),
        peak_held=sum(lane.max_held for lane in lanes),
        mean_idle=sum(lane.mean_held - lane.mean_assigned for lane in lanes),
        calls=calls,
    )


def _lane(setting: Setting, shape: NodeShape, trace: Trace, number: int, **look: Any) -> LaneResult:
    random = LaneRandom(lane_seed(SEED, number))
    return replay_lane(shape, trace, setting.pool, random=random, **look)


def _at_once(setting: Setting, shape: NodeShape, demand: Sequence[Trace]) -> Replayed:
    grid = replay_grid([shape] * len(demand), demand, [setting.pool], seed=SEED)
    made = grid.calls.sum(axis=(0, 1))
    return Replayed(
        setting=setting,
        max_pods=shape.max_pods,
        pods=int(grid.pods.sum()),
        delayed=int(grid.delayed.sum()),
        unserved=int(grid.unserved.sum()),
        mean_held=float(grid.mean_held.sum()),
        peak_held=int(grid.max_held.sum()),
        mean_idle=float(grid.mean_idle.sum()),
        calls={name: int(count) for name, count in zip(API_NAMES, made, strict=True) if count},
    )


def _looked_at(setting: Setting, shape: NodeShape, demand: Sequence[Trace]) -> Levels:
    every_s = ceil(demand[0].span_s / _LOOKS)
    total = np.zeros((3, int(demand[0].span_s // every_s) + 1), dtype=np.int64)
    for place, trace in enumerate(demand):
        seen: list[tuple[int, int, int]] = []

        def look(node: VirtualNode, seen: list[tuple[int, int, int]] = seen) -> None:
            pool = node.ipamd.store.count()
            seen.append((pool.total, pool.assigned, node.ipamd.store.cooling(node.now)))

        _lane(setting, shape, trace, place, look=look, look_every_s=every_s)
        total += np.array(seen, dtype=np.int64).T
    return Levels(every_s, *(tuple(row) for row in total.tolist()))


# -- as data and text -----------------------------------------------------------------------------


def as_json(
    instance: InstanceType,
    traces: Sequence[NodeTrace],
    settings: Sequence[Setting],
    done: Sequence[Replayed],
) -> str:
    """All that was replayed; a setting that aws-node does not start with has no figures."""
    figures = {
        one.setting.label: {
            **one.figures(),
            "max_pods": one.max_pods,
            "calls": dict(sorted(one.calls.items())),
        }
        for one in done
    }
    shown = [
        {
            "setting": setting.label,
            "env": dict(setting.env),
            "starts": setting.refusal is None,
            "traps": setting.traps,
            "notes": setting.notes,
            "replayed": figures.get(setting.label),
        }
        for setting in settings
    ]
    about = {"nodes": len(traces), "span_s": traces[0].span_s}
    return json.dumps({"instance_type": instance.name, **about, "settings": shown}, indent=2)


def as_csv(done: Iterable[Replayed]) -> str:
    """A line a setting."""
    return csv_text(
        [{"setting": one.setting.label, "env": one.setting.text, **one.figures()} for one in done]
    )


def as_text(
    instance: InstanceType,
    traces: Sequence[NodeTrace],
    settings: Sequence[Setting],
    done: Sequence[Replayed],
) -> str:
    """Tables of at most 80 columns, with what is wrong said first."""
    pods = done[0].pods if done else 0
    lines = sentence(
        "",
        f"{len(traces)} nodes of {instance.name} over {traces[0].span_s / 3600:,.1f} h, "
        f"{pods:,} pod starts, replayed with EC2 at its usual pace",
    )
    lines.append("")
    for setting in settings:
        lines += sentence(f"{setting.label}  ", setting.text)
        lines += [line for trap in setting.traps for line in sentence("   TRAP: ", trap)]
        lines += [line for note in setting.notes for line in sentence("   note: ", note)]
    if done:
        lines += ["", *_summary(done), *blocks(done, _calls)]
    return "\n".join(lines)


def _summary(done: Sequence[Replayed]) -> list[str]:
    titles = ["", "delayed", "delayed", "never", "held", "held", "idle", "EC2 calls", "changing"]
    units = ["", "pods", "share", "served", "mean", "peak", "mean", "", "calls"]
    rows = [
        [
            one.setting.label,
            f"{one.delayed:,}",
            percent(one.delayed_share),
            f"{one.unserved:,}",
            number(one.mean_held),
            f"{one.peak_held:,}",
            number(one.mean_idle),
            f"{sum(one.calls.values()):,}",
            f"{one.changing_calls:,}",
        ]
        for one in done
    ]
    return table([titles, units, *rows], header_rows=2)


def _calls(done: Sequence[Replayed]) -> list[str]:
    names = sorted({name for one in done for name, count in one.calls.items() if count})
    rows = [[name, *(f"{one.calls.get(name, 0):,}" for one in done)] for name in names]
    return table([["EC2 calls by API", *(one.setting.label for one in done)], *rows], left=(0,))
