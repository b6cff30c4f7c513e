"""Every Event that the operator gives, one small function each; the catalogue is at the end.

A reason is stable: people route and alert on it. A message is one line and tells what to do where
there is something to do.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from ippolicy.account.words import one_line, span

MESSAGE_LENGTH = 1_024  # the API server refuses longer notes
MOST_WAITING = 256
"""Events that are kept while the API server is away; of more the oldest are lost."""


class EventType(StrEnum):
    """The two types of Kubernetes Events."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Event:
    """An Event about an IPPolicy, ready to be posted."""

    reason: str
    type: EventType
    message: str


def recommendation_changed(before: str | None, after: str, saved_addresses: int) -> Event:
    """The recommended targets are others than before."""
    effect = (
        f"gives back {saved_addresses} addresses"
        if saved_addresses >= 0
        else f"takes {-saved_addresses} more addresses"
    )
    was = f" (was {before})" if before else ""
    return _normal("RecommendationChanged", f"{after}{was} {effect}")


def change_started(after: str, reason: str) -> Event:
    """New targets were written and aws-node starts to roll."""
    return _normal("ChangeStarted", f"set {after}: {reason}")


def change_complete(after: str, took_s: float, predicted: str) -> Event:
    """Every aws-node runs with the new targets; `predicted` is what they are to hold."""
    more = f"; {predicted} are predicted to be held" if predicted else ""
    return _normal("ChangeComplete", f"{after} in force on all nodes after {span(took_s)}{more}")


def change_measured(after: str, measured: str) -> Event:
    """What a change came to, 15 minutes, an hour and a day after it was complete."""
    return _normal("ChangeMeasured", f"{after}: {measured}")


def rolled_back(after: str, undone: str) -> Event:
    """A guard found a change harmful, and the former values are put back."""
    return _warning("RolledBack", f"back to {after}: {undone}")


def trial_begun(group: str, text: str) -> Event:
    """A few nodes of a group try new targets, held against the others of it."""
    return _normal("TrialBegun", f"group {group}: {text}")


def trial_widened(group: str, text: str) -> Event:
    """More nodes of a group try targets that did no harm to the first."""
    return _normal("TrialWidened", f"group {group}: {text}")


def targets_promoted(group: str, text: str) -> Event:
    """New nodes of a group are born with what was tried, running ones follow where it repays."""
    return _normal("TargetsPromoted", f"group {group}: {text}")


def targets_proven(group: str, text: str) -> Event:
    """What a group tried is its own now: no guard tripped."""
    return _normal("TargetsProven", f"group {group}: {text}")


def trial_refused(group: str, text: str) -> Event:
    """A guard found what a group tries harmful: those who try go back to what was before."""
    return _warning("TrialRefused", f"group {group}: {text}")


def originals_restored(message: str) -> Event:
    """The policy goes, and what stood in the env before it is back."""
    return _normal("OriginalsRestored", message)


def originals_retained(message: str) -> Event:
    """The policy goes, and the settings in force stay as spec.onDelete says."""
    return _normal("OriginalsRetained", message)


def restore_failed(message: str) -> Event:
    """The policy goes, and the originals could not be put back."""
    return _warning("RestoreFailed", message)


def conflict_found(manager_by_key: Mapping[str, str]) -> Event:
    """Other field managers own env entries that would be set; nothing was changed."""
    named = ", ".join(f"{key} is owned by {owner}" for key, owner in sorted(manager_by_key.items()))
    return _warning("ConflictFound", f"{named}: name the keys in spec.apply.takeOver to take them")


def targets_drifted(message: str) -> Event:
    """Somebody else changed targets that were set here; the message names who, and when."""
    return _warning("TargetsDrifted", message)


def policy_conflict(rival: str) -> Event:
    """An older policy acts on the same DaemonSet."""
    return _warning(
        "PolicyConflict",
        f"the older IPPolicy {rival} acts on the same DaemonSet: delete one of the two",
    )


def trap_found(trap: str) -> Event:
    """The settings in force leave pods without addresses."""
    return _warning("TrapFound", trap)


def env_unreadable(message: str) -> Event:
    """An env entry of aws-node comes from elsewhere or is not a number."""
    return _warning("EnvUnreadable", message)


def rollout_stuck(message: str) -> Event:
    """The rollout of a change has made no progress for long."""
    return _warning("RolloutStuck", message)


def write_failed(message: str) -> Event:
    """A change could not be written; nothing was half written."""
    return _warning("WriteFailed", message)


def degraded(message: str) -> Event:
    """Something that the policy needs is missing or fails."""
    return _warning("Degraded", message)


def ladder_changed(step: str, causes: str) -> Event:
    """What may be written has changed: all changes (Normal), growth alone, or none (Frozen)."""
    if not causes:
        return _normal("LadderChanged", f"{step}: all changes are written again")
    return _warning("LadderChanged", f"{step}: {causes}")


def checkpoint_dropped(message: str) -> Event:
    """The demand that was kept on the cluster is damaged, and is watched anew."""
    return _warning("CheckpointDropped", message)


def recovered() -> Event:
    """Nothing is wrong any more."""
    return _normal("Recovered", "all sources answer again")


def policy_invalid(message: str) -> Event:
    """The object breaks a rule of its CRD and is left alone."""
    return _warning("PolicyInvalid", message)


def paused() -> Event:
    """The policy was paused by its annotation."""
    return _normal("Paused", "nothing is written until the annotation ippolicy.dev/paused goes")


def resumed() -> Event:
    """The policy is no longer paused."""
    return _normal("Resumed", "the annotation ippolicy.dev/paused is gone")


def _normal(reason: str, message: str) -> Event:
    return Event(reason, EventType.NORMAL, one_line(message, MESSAGE_LENGTH))


def _warning(reason: str, message: str) -> Event:
    return Event(reason, EventType.WARNING, one_line(message, MESSAGE_LENGTH))


CATALOGUE: tuple[Callable[..., Event], ...] = (
    recommendation_changed,
    change_started,
    change_complete,
    change_measured,
    rolled_back,
    trial_begun,
    trial_widened,
    targets_promoted,
    targets_proven,
    trial_refused,
    originals_restored,
    originals_retained,
    restore_failed,
    conflict_found,
    targets_drifted,
    policy_conflict,
    trap_found,
    env_unreadable,
    rollout_stuck,
    write_failed,
    degraded,
    ladder_changed,
    checkpoint_dropped,
    recovered,
    policy_invalid,
    paused,
    resumed,
)
"""Every event, as the function that makes it."""


class Deduplicator:
    """Lets one of many equal events through in `window_s`, and counts those it kept back.

    Equal means: same object, reason and message. It remembers at most `most` events and forgets
    the longest unseen first, so an event may then come twice; none is ever lost.
    """

    def __init__(self, *, window_s: float = 3_600.0, most: int = 1_000) -> None:
        self._window_s = window_s
        self._most = most
        self._seen: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    def admit(self, about: str, event: Event, now_s: float) -> int:
        """0 to keep the event back, else how often it came since it was last let through."""
        key = (about, event.reason, event.message)
        sent_at_s, kept_back = self._seen.get(key, (float("-inf"), 0))
        due = abs(now_s - sent_at_s) >= self._window_s
        self._seen[key] = (now_s, 0) if due else (sent_at_s, kept_back + 1)
        self._seen.move_to_end(key)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return kept_back + 1 if due else 0

    def forget(self, about: str) -> None:
        """Forget the events of an object that is gone."""
        for key in [key for key in self._seen if key[0] == about]:
            del self._seen[key]

    def __len__(self) -> int:
        return len(self._seen)
