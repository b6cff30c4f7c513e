"""What a decision is, as data: `decide` makes it, `act` carries it out, `account` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ippolicy.ipamd import WarmTargets


class Verdict(StrEnum):
    """Whether the settings in force are to be changed now."""

    HOLD = "Hold"
    CHANGE = "Change"


class Reason(StrEnum):
    """Why a decision is as it is: stable words for conditions, events and metrics."""

    SAVES_ADDRESSES = "SavesAddresses"
    STARTS_FASTER = "StartsFaster"
    TARGETS_IN_PLACE = "TargetsInPlace"
    SAVING_TOO_SMALL = "SavingTooSmall"
    MODE_OFF = "ModeOff"
    MODE_RECOMMEND = "ModeRecommend"
    PAUSED = "Paused"
    LOW_CONFIDENCE = "LowConfidence"
    STABILIZING = "Stabilizing"
    COOLDOWN = "Cooldown"
    DAILY_LIMIT = "DailyLimit"
    ROLLOUT_IN_PROGRESS = "RolloutInProgress"
    DAEMON_SET_UNHEALTHY = "DaemonSetUnhealthy"
    COVERAGE_LOW = "CoverageLow"
    FACTS_STALE = "FactsStale"
    NO_DAEMON_SET = "NoDaemonSet"
    NO_CONTAINER = "NoContainer"
    NO_NODES = "NoNodes"
    ENV_UNREADABLE = "EnvUnreadable"
    WRITER_NONE = "WriterNone"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a setting holds in steady state with the pods of now: addresses over all nodes.

    `held` counts secondary addresses (16 a prefix), `warm` the part of it that no pod uses.
    """

    held: int
    warm: int
    enis: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a recommendation rests on; `observed_s` is the time the demand was watched."""

    observed_s: float
    nodes: int
    arrivals: int
    sufficient: bool
    message: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Targets for some nodes, within bounds, with what they would hold.

    `uncapped` is what demand alone asks for, `lower` and `upper` what a lean and a generous
    reading of it would give; `binding` names the rule or bound that set the values.
    """

    targets: WarmTargets
    lower: WarmTargets
    upper: WarmTargets
    uncapped: WarmTargets
    binding: str
    present: Prediction
    predicted: Prediction
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class GroupAdvice:
    """The recommendation for the nodes of one group alone."""

    group: str
    nodes: int
    pods: int
    recommendation: Recommendation


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and why.

    `env` maps env key -> value to be set, and is empty unless `verdict` is CHANGE. `traps` are
    faults of the settings in force that leave pods without addresses, each a sentence with its fix.
    `fleet` is None when the facts do not allow any recommendation.
    """

    verdict: Verdict
    reason: Reason
    message: str
    at_s: float
    env: Mapping[str, str]
    fleet: Recommendation | None
    groups: tuple[GroupAdvice, ...]
    traps: tuple[str, ...] = ()
