"""What the pods of one node did, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ippolicy.errors import ModelError


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The demand on one node over `span_s` seconds.

    `level` pods are there at second 0. `times_s` (ascending, 0 up to `span_s`) and `changes` (+1 a
    pod comes, -1 one goes) have one item an event. An event falls on the whole second before it.

    Without `lives_s` it is not known which pod goes: a random one of those present, so that one
    that still waits for an address may give up. With `lives_s` every change is +1, `level` is 0,
    and a pod goes that many whole seconds after it got its address.

    `cold` says that the node started at second 0: ipamd has made its first fill and no more, and
    the `level` pods ask for addresses like any other. Otherwise the node has run for long: the
    pool has settled on `level` pods before second 0, and neither they nor its calls are counted.
    """

    level: int
    times_s: NDArray[np.float64]
    changes: NDArray[np.int8]
    span_s: float
    lives_s: NDArray[np.int64] | None = None
    cold: bool = True

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem is not None:
            raise ModelError(f"trace of {len(self.times_s)} events: {problem}")

    @classmethod
    def of_pods(cls, pods: NDArray[np.int64], span_s: float) -> Trace:
        """A trace of pods with lives: `pods` has rows (arrival second, life in seconds)."""
        rows = np.asarray(pods, dtype=np.int64).reshape(-1, 2)
        ones = np.ones(len(rows), dtype=np.int8)
        return cls(0, rows[:, 0].astype(np.float64), ones, span_s, lives_s=rows[:, 1].copy())


def _problem(trace: Trace) -> str | None:
    times, lives = trace.times_s, trace.lives_s
    if len(trace.changes) != len(times) or (lives is not None and len(lives) != len(times)):
        return "times_s, changes and lives_s differ in length: give one item an event"
    for holds, problem in (
        (0 < trace.span_s < 2**31, f"span_s {trace.span_s:g} is no span: give seconds above 0"),
        (trace.level >= 0, f"level {trace.level} is no number of pods: give 0 or more"),
        (not len(times) or times[0] >= 0, "times_s must ascend from 0"),
        (bool(np.all(np.diff(times) >= 0)), "times_s must ascend from 0"),
        (bool(np.all(np.abs(trace.changes) == 1)), "changes must be +1 or -1"),
        (lives is None or _one_by_one(trace), "lives_s needs a cold node, no level and no -1"),
        (lives is None or bool(np.all(lives >= 0)), "lives_s must not be negative"),
    ):
        if not holds:
            return problem
    return None


def _one_by_one(trace: Trace) -> bool:
    return trace.level == 0 and trace.cold and bool(np.all(trace.changes == 1))
