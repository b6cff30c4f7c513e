"""What the search is asked, what it answers, and for how long an answer stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from ippolicy.api import Bounds
from ippolicy.decide.objective import Objective
from ippolicy.ipamd import PoolSettings, WarmTargets

FRESH_SHARE: Final = 0.05
FRESH_AT_MOST_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Question:
    """What to choose for: the settings in force, what is wanted, and the nodes of each group now.

    `anchor`, and `anchors` for each group, is the setting that breaks ties. Nothing but the nodes
    of groups in `nodes` is judged.
    """

    present: PoolSettings
    bounds: Bounds
    objective: Objective
    nodes: Mapping[str, int]
    anchor: WarmTargets
    anchors: Mapping[str, WarmTargets]
    may_write_prefix: bool = False


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
class Advice:
    """The best setting for some nodes, with the setting in force and the runners-up beside it.

    `lower`, `upper` and `uncapped` are the choices of a lean and a generous reading and without
    bounds. `binding` names the limit or bound without which less would be held, "demand" if none.
    `met` says whether both limits are kept, `sure` in what share of the resamples, `present_met`
    whether the setting in force keeps them, is within the bounds and no trap. `held_interval` holds
    in nine of ten resamples.
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
    runners_up: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Advice for the fleet and for each group, and what it took: units played, of how many."""

    fleet: Advice
    groups: Mapping[str, Advice]
    units_played: int
    units: int
    settings: int
    events_played: int


@dataclass(frozen=True, slots=True)
class Searched:
    """An answer, kept for the decisions that follow: evidence grows slower than they come.

    It was found at `at_s`, in demand watched for `observed_s` seconds.
    """

    question: Question
    choice: Choice
    at_s: float
    observed_s: float

    def answers(self, question: Question, now_s: float) -> bool:
        """Whether it still stands: asked the same, and about as much was seen as now.

        The numbers of nodes may differ, and so may what breaks ties: both follow demand.
        """
        asked = replace(
            self.question, nodes=question.nodes, anchor=question.anchor, anchors=question.anchors
        )
        age_s = now_s - self.at_s
        return (
            asked == question
            and set(question.nodes) == set(self.question.nodes)
            and 0 <= age_s <= min(FRESH_AT_MOST_S, FRESH_SHARE * self.observed_s)
        )
