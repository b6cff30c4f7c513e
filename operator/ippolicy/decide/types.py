"""What a decision is, as data: `decide` makes it, `act` carries it out, `account` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ippolicy.decide.profiles import Part, Schedule
from ippolicy.decide.question import RunnerUp, Searched
from ippolicy.decide.subnets.brake import Braking
from ippolicy.decide.trust import Ladder
from ippolicy.facts import ChangeKind, Forecast
from ippolicy.ipamd import WarmTargets


class Verdict(StrEnum):
    """Whether the settings in force are to be changed now."""

    HOLD = "Hold"
    CHANGE = "Change"


class Reason(StrEnum):
    """Why a decision is as it is: stable words for conditions, events and metrics."""

    SAVES_ADDRESSES = "SavesAddresses"
    STARTS_FASTER = "StartsFaster"
    SUBNET_PRESSURE = "SubnetPressure"
    BRAKED = "Braked"
    TARGETS_IN_PLACE = "TargetsInPlace"
    SAVING_TOO_SMALL = "SavingTooSmall"
    MODE_OFF = "ModeOff"
    MODE_RECOMMEND = "ModeRecommend"
    PAUSED = "Paused"
    LOW_CONFIDENCE = "LowConfidence"
    STABILIZING = "Stabilizing"
    COOLDOWN = "Cooldown"
    DAILY_LIMIT = "DailyLimit"
    OUTSIDE_WINDOW = "OutsideWindow"
    ROLLOUT_IN_PROGRESS = "RolloutInProgress"
    OTHER_ROLLOUT = "OtherRollout"
    NODES_ROLLING = "NodesRolling"
    DAEMON_SET_UNHEALTHY = "DaemonSetUnhealthy"
    COVERAGE_LOW = "CoverageLow"
    FACTS_STALE = "FactsStale"
    GROW_ONLY = "GrowOnly"
    FROZEN = "Frozen"
    NO_DAEMON_SET = "NoDaemonSet"
    NO_CONTAINER = "NoContainer"
    NO_NODES = "NoNodes"
    NO_WARM_POOLS = "NoWarmPools"
    ENV_UNREADABLE = "EnvUnreadable"
    BOUNDS_DISAGREE = "BoundsDisagree"
    WRITER_NONE = "WriterNone"
    AT_BIRTH = "AtBirth"
    WEBHOOK_UNAVAILABLE = "WebhookUnavailable"
    ROLLED_BACK = "RolledBack"
    BACKING_OFF = "BackingOff"
    MISPREDICTED = "Mispredicted"
    TARGETS_DRIFTED = "TargetsDrifted"
    DRIFT_LIMIT = "DriftLimit"
    FIELD_CONFLICT = "FieldConflict"


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a setting comes to, over all nodes.

    `held` counts secondary addresses (16 a prefix) in steady state with the pods of now, `warm` the
    part of it that no pod uses. The others come from the replay of the demand seen, and are None
    without one: addresses held in the mean over time, share of pod starts that wait for EC2, and
    mutating EC2 calls a minute.
    """

    held: int
    warm: int
    enis: int
    mean_held: float | None = None
    delayed_share: float | None = None
    ec2_calls_per_minute: float | None = None

    @property
    def usually_held(self) -> float:
        """Addresses held over time, as far as it is known; else those with the pods of now."""
        return self.held if self.mean_held is None else self.mean_held


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a recommendation rests on; `observed_s` is the time the demand was watched."""

    observed_s: float
    nodes: int
    arrivals: int
    sufficient: bool
    message: str


@dataclass(frozen=True, slots=True)
class DayPlan:
    """A schedule of several parts, and where in it this moment is.

    `part` is in force from `since_s` to `until_s`; both are when switches are due, which for a part
    that holds more is before its hour. `in_turn` says that the targets in force are those of a part
    of it. `switches_s` are the last moments for the switches that are due in the coming day.
    """

    schedule: Schedule
    part: Part
    since_s: float
    until_s: float
    in_turn: bool
    switches_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Targets for some nodes, within bounds, with what they would hold.

    `uncapped` is what demand alone asks for, `lower` and `upper` what a lean and a generous
    reading of it would give; `binding` names the limit or bound that keeps less from being held.
    `meets` says whether the targets keep both limits of the objective, `present_meets` whether
    those in force do, and `present_sure` in what share of resampled demand, None where nothing was
    resampled. `calls_limit` is what is left of the limit on EC2 calls, where EC2 is
    overloaded; `rollout_s` how long it takes to put targets in force.

    With a `plan`, targets and figures are those of the part of the day. `raised` is a sentence on
    late starts that were measured and forbid leaner targets, empty for none. `held_interval` is
    that of the addresses predicted in the mean over time, None where it is not known.
    """

    targets: WarmTargets
    lower: WarmTargets
    upper: WarmTargets
    uncapped: WarmTargets
    binding: str
    present: Prediction
    predicted: Prediction
    evidence: Evidence
    meets: bool = True
    present_meets: bool = True
    calls_limit: float | None = None
    rollout_s: float = 0.0
    runners_up: tuple[RunnerUp, ...] = ()
    plan: DayPlan | None = None
    raised: str = ""
    held_interval: tuple[float, float] | None = None
    present_sure: float | None = None


@dataclass(frozen=True, slots=True)
class GroupAdvice:
    """The recommendation for the nodes of one group alone."""

    group: str
    nodes: int
    pods: int
    recommendation: Recommendation


@dataclass(frozen=True, slots=True)
class Recommended:
    """Targets that were recommended, at `last_at_s` for the last time, with what was expected."""

    targets: WarmTargets
    predicted: Prediction
    meets: bool
    last_at_s: float


@dataclass(frozen=True, slots=True)
class Recommendations:
    """What was recommended lately, without a gap since `since_s`; the newest comes last."""

    since_s: float
    seen: tuple[Recommended, ...] = ()

    @property
    def last_at_s(self) -> float:
        """When the newest was made."""
        return self.seen[-1].last_at_s if self.seen else self.since_s


@dataclass(frozen=True, slots=True)
class Proof:
    """What a change rests on and is to be held against, as `facts.Change` keeps it."""

    basis: str
    binding: str = ""
    rejected: tuple[str, ...] = ()
    present: Forecast | None = None
    predicted: Forecast | None = None


NO_PROOF = Proof(basis="")
"""Of what was decided on nothing that is known."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A rollout that makes more EC2 calls a minute than `budget`, with maxUnavailable as it is.

    `lowered` is how many pods are to be restarted at once instead, None where maxUnavailable is to
    be left alone.
    """

    calls_per_minute: float
    budget: float
    max_unavailable: str
    lowered: int | None = None

    def text(self) -> str:
        """The pace and what is done about it, in one line."""
        pace = (
            f"the rollout makes {self.calls_per_minute:.0f} EC2 calls a minute with maxUnavailable"
            f" {self.max_unavailable}, the limit is {self.budget:g}"
        )
        if self.lowered is None:
            return pace
        return f"{pace}: maxUnavailable is {self.lowered} until it is complete"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, and why.

    `env` maps env key -> value to be set, None to have the entry removed, and is empty unless
    `verdict` is CHANGE. `kind` says what such a change is for, and `proof` what it rests on; it is
    None on HOLD. `traps` are faults of the settings in force that leave pods without addresses,
    each a sentence with its fix.
    `fleet` is None when the facts do not allow any recommendation. `searched` and `braked` are to
    be given to the next decision, so that it need not search anew, and so are `recommended`, what
    was recommended lately, and the `ladder` of what facts are trusted for. `braking` is None where
    `fleet` is. `pace` is that of the rollout of a change, where it is too fast.
    """

    verdict: Verdict
    reason: Reason
    message: str
    at_s: float
    env: Mapping[str, str | None]
    fleet: Recommendation | None
    groups: tuple[GroupAdvice, ...]
    traps: tuple[str, ...] = ()
    searched: Searched | None = None
    braking: Braking | None = None
    braked: tuple[Searched | None, ...] = ()
    kind: ChangeKind = ChangeKind.TUNE
    proof: Proof | None = None
    recommended: Recommendations | None = None
    ladder: Ladder = field(default_factory=Ladder)
    pace: Pace | None = None
