"""What the search is asked, what it answers, and for how long an answer stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ippolicy.api import Bounds
from ippolicy.decide.floor import Floors
from ippolicy.decide.objective import Objective
from ippolicy.decide.profiles import DayQuestion, Schedule
from ippolicy.decide.running import Run
from ippolicy.ipamd import PoolSettings, WarmTargets
from ippolicy.ipamd.cloud import Latency

FRESH_SHARE: Final = 0.05
FRESH_AT_MOST_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted for one group, which has no more than its share of the calls besides."""

    bounds: Bounds
    objective: Objective


@dataclass(frozen=True, slots=True)
class Question:
    """What to choose for: the settings in force, what is wanted, and the nodes of each group now.

    `present` is what the DaemonSet's template says; `runs` has the targets in force in each group,
    and nothing where all nodes have those of `present`. `bounds` are those that one setting for all
    must keep. `wishes` has every group, and nothing where all want the same.
    `anchor`, and `anchors` for each group, is the setting that breaks ties. Nothing but the nodes
    of groups in `nodes` is judged. EC2 takes `latency`; nothing below `floors` is chosen.
    """

    present: PoolSettings
    bounds: Bounds
    objective: Objective
    nodes: Mapping[str, int]
    anchor: WarmTargets
    anchors: Mapping[str, WarmTargets]
    may_write_prefix: bool = False
    latency: Latency = field(default_factory=Latency)
    floors: Floors = field(default_factory=Floors)
    runs: Mapping[str, tuple[Run, ...]] = field(default_factory=dict)
    wishes: Mapping[str, Wish] = field(default_factory=dict)

    @property
    def strictest(self) -> Objective:
        """The objective, with the least share of delayed starts that any group allows."""
        shares = [wish.objective.delayed_share for wish in self.wishes.values()]
        return replace(self.objective, delayed_share=min([self.objective.delayed_share, *shares]))

    @property
    def other_bounds(self) -> list[Bounds]:
        """The bounds of groups that are not those of all, each once."""
        found: list[Bounds] = []
        for _, wish in sorted(self.wishes.items()):
            if wish.bounds not in (self.bounds, *found):
                found.append(wish.bounds)
        return found

    @property
    def targets_in_force(self) -> list[WarmTargets]:
        """The targets that nodes run with, those of most nodes first; none where all have those of
        `present`."""
        counts: Counter[WarmTargets] = Counter()
        for runs in self.runs.values():
            for run in runs:
                counts[run.targets] += run.nodes
        return [targets for targets, _ in counts.most_common()]

    def asks_as(self, other: Question) -> bool:
        """Whether the same is asked, but for the numbers of nodes and what breaks ties: both follow
        demand."""
        same = replace(
            other, nodes=self.nodes, anchor=self.anchor, anchors=self.anchors, runs=self.runs
        )
        alike = self == same and set(self.nodes) == set(other.nodes)
        return alike and self._in_force() == other._in_force()

    def _in_force(self) -> dict[str, frozenset[WarmTargets]]:
        return {group: frozenset(r.targets for r in runs) for group, runs in self.runs.items()}


@dataclass(frozen=True, slots=True)
class Option:
    """What a setting comes to, all nodes together: means over the demand seen."""

    targets: WarmTargets
    held: float
    assigned: float
    enis: float
    delayed_share: float
    calls_per_minute: float


@dataclass(frozen=True, slots=True)
class RunnerUp(Option):
    """A setting that was not chosen, and `why`, in a few words."""

    why: str


@dataclass(frozen=True, slots=True)
class Advice:
    """The best setting for some nodes, with the setting in force and the runners-up beside it.

    `lower`, `upper` and `uncapped` are the choices of a lean and a generous reading and without
    bounds. `present` has the targets of most nodes, and what all of them come to with theirs.
    `binding` names the limit or bound without which less would be held, "demand" if none.
    `met` says whether both limits are kept, `sure` in what share of the resamples, `present_met`
    whether the setting in force keeps them, is within the bounds and no trap, and `present_sure` in
    what share of the resamples it keeps them. `held_interval` holds in nine of ten resamples.
    """

    chosen: Option
    present: Option
    lower: WarmTargets
    upper: WarmTargets
    uncapped: WarmTargets
    binding: str
    met: bool
    sure: float
    present_met: bool
    held_interval: tuple[float, float]
    runners_up: tuple[RunnerUp, ...]
    present_sure: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """Advice for the fleet and for each group, and what it took: units played, of how many.

    `pooled` counts the groups that were too many to be judged one by one: all of them together have
    their part in the advice for the fleet, and they have none of their own.
    """

    fleet: Advice
    groups: Mapping[str, Advice]
    units_played: int
    units: int
    settings: int
    events_played: int
    pooled: int = 0


@dataclass(frozen=True, slots=True)
class DaySearched:
    """A schedule, None for none, found for what was asked in the whole days up to `until_s`."""

    question: Question
    asked: DayQuestion
    until_s: float
    schedule: Schedule | None

    def answers(self, question: Question, asked: DayQuestion, until_s: float) -> bool:
        """Whether it still stands: the same is asked of the same days, whatever is in force. The
        numbers of nodes may differ, and with them the time that a rollout takes."""
        same = replace(
            self.asked,
            base=replace(self.asked.base, targets=asked.base.targets),
            nodes=asked.nodes,
            lead_s=asked.lead_s,
            rollout_s=asked.rollout_s,
        )
        present = replace(self.question.present, targets=question.present.targets)
        before = replace(self.question, present=present, runs=question.runs)
        return same == asked and self.until_s == until_s and before.asks_as(question)


@dataclass(frozen=True, slots=True)
class Searched:
    """Answers, kept for the decisions that follow: evidence grows slower than they come.

    `choice` was found at `at_s`, in demand watched for `observed_s` seconds; `day` is the schedule,
    if one was looked for.
    """

    question: Question
    choice: Choice
    at_s: float
    observed_s: float
    day: DaySearched | None = None

    def answers(self, question: Question, now_s: float) -> bool:
        """Whether the choice still stands: the same is asked, and about as much was seen as now."""
        age_s = now_s - self.at_s
        return self.question.asks_as(question) and (
            0 <= age_s <= min(FRESH_AT_MOST_S, FRESH_SHARE * self.observed_s)
        )
