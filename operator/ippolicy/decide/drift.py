"""What to do when somebody else sets another value on a key that was ours. Pure.

    the value now                            takeOver lists the key    otherwise
    --------------------------------------   -----------------------   -----------------------------
    set by hand (kubectl edit, set, patch,   set again                 set again
    a client that is not known), or removed;
    in the EKS add-on, where we write to it
    declared by an owner (EKS, Helm, GitOps, set again                 Conflict at once: it would be
    Terraform, kubectl apply, server-side                              a fight
    apply)
    from elsewhere (valueFrom)               the gate on unreadable env says so

"Set again" is at most change.maxReapply times in any hour; beyond it, Conflict names who does it,
until the hour has passed. Values that are out of bounds by now are not set again: targets are
chosen anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ippolicy.api import EnvKey, IPPolicy
from ippolicy.api.objective import Bounds
from ippolicy.decide.types import Reason
from ippolicy.facts import ChangePhase, DaemonSetFacts, EnvEntry, Hand, Record, Writer
from ippolicy.facts.managers import ManagerKind, by_hand, manager_kind

HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Drift:
    """A key of ours that somebody else changed: what was set, what is there now (None for absent),
    and who holds it; nobody does where it was removed."""

    key: str
    wanted: str
    entry: EnvEntry | None
    hands: tuple[Hand, ...]

    def declared(self, writer: Writer) -> bool:
        """Whether an owner declares another value, beside whom `writer` cannot set ours again."""
        return not all(
            by_hand(one.manager, one.operation) or _same(one, writer) for one in self.hands
        )

    @property
    def who(self) -> str:
        """The managers, and when they last wrote."""
        return ", ".join(_named(hand) for hand in self.hands) or "somebody"

    def text(self) -> str:
        """What was done, in one line."""
        if self.entry is None:
            return f"{self.key}, set to {self.wanted}, was removed by {self.who}"
        found = self.entry.origin if self.entry.value is None else self.entry.value
        return f"{self.key}, set to {self.wanted}, was changed to {found[:40]} by {self.who}"


@dataclass(frozen=True, slots=True)
class DriftStep:
    """What to do about drift: set `env` again, or nothing where it is empty; `reason` says which.

    `message` is one line that names who did it.
    """

    reason: Reason
    message: str
    env: Mapping[str, str]


def ours(record: Record) -> dict[str, str]:
    """Env key -> the value that we set last, of the keys that we did set and did not remove.

    A change that was undone set what had been there before. A key without an original was set on
    another DaemonSet, which is gone.
    """
    values: dict[str, str] = {}
    for change in record.changes:
        if change.phase is ChangePhase.INTENDED:
            continue
        for key, value in (change.before if change.undone else change.after).items():
            if value is None:
                values.pop(key, None)
            elif key in values or change.before.get(key) != value:
                values[key] = value
    return {key: value for key, value in values.items() if key in record.originals}


def drifts(record: Record | None, facts: DaemonSetFacts | None) -> tuple[Drift, ...]:
    """The keys of ours that have another value now, in order.

    Facts from before our last change, and another DaemonSet of the same name, tell of none.
    """
    if record is None or facts is None or record.daemon_set_uid != facts.uid:
        return ()
    last = record.last_change
    if last is None or facts.generation < last.generation or last.phase is ChangePhase.INTENDED:
        return ()
    return tuple(
        Drift(key, value, facts.env.get(key), facts.hands.get(key, ()))
        for key, value in sorted(ours(record).items())
        if facts.env.get(key) != EnvEntry(value)
    )


def drift_step(
    policy: IPPolicy, record: Record | None, facts: DaemonSetFacts, now_s: float
) -> DriftStep | None:
    """What to do about drift now; None where there is none, or where targets are chosen anew."""
    found = drifts(record, facts)
    # What comes from elsewhere cannot be set again, and what is out of bounds must not be.
    if not found or any(one.entry is not None and one.entry.value is None for one in found):
        return None
    if not all(_within(policy.spec.common_bounds, one.key, one.wanted) for one in found):
        return None
    told = "; ".join(one.text() for one in found)
    writer = record.writer if record is not None else Writer.DAEMON_SET
    taken = [
        one.key
        for one in found
        if one.declared(writer) and one.key not in policy.spec.apply.take_over
    ]
    if taken:
        return DriftStep(
            Reason.FIELD_CONFLICT,
            f"{told}: set {', '.join(taken)} there, or name it in spec.apply.takeOver",
            {},
        )
    limit = policy.spec.change.max_reapply
    times_s = lately(record, now_s)
    if len(times_s) >= limit:
        return DriftStep(Reason.DRIFT_LIMIT, f"{told}: {_limited(limit, times_s, now_s)}", {})
    env = {one.key: one.wanted for one in found}
    return DriftStep(Reason.TARGETS_DRIFTED, f"{told}: set again", env)


def lately(record: Record | None, now_s: float) -> tuple[float, ...]:
    """When values were set again in the last hour; times of a clock that was ahead count, too."""
    times_s = record.reapplied_at_s if record is not None else ()
    return tuple(sorted(at_s for at_s in times_s if at_s > now_s - HOUR_S))


def _limited(limit: int, times_s: tuple[float, ...], now_s: float) -> str:
    if limit == 0:
        return "change.maxReapply is 0, so it is not set again: set it back, or change the policy"
    next_s = times_s[-limit] + HOUR_S - now_s
    return (
        f"set again {len(times_s)} times in an hour, change.maxReapply is {limit}: end what changes"
        f" it, or set the policy's mode to Recommend; tried again in {next_s:.0f} s"
    )


def _same(hand: Hand, writer: Writer) -> bool:
    """Whether values of `writer` reach aws-node by this very hand."""
    kind = manager_kind(hand.manager, hand.operation)
    return writer is Writer.EKS_ADDON and kind is ManagerKind.EKS


def _named(hand: Hand) -> str:
    if hand.at_s is None:
        return hand.manager
    return f"{hand.manager} at {datetime.fromtimestamp(int(hand.at_s), tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


def _within(bounds: Bounds, key: str, value: str) -> bool:
    least_and_most = {
        EnvKey.WARM_IP_TARGET: (bounds.warm_ip_target.min, bounds.warm_ip_target.max),
        EnvKey.MINIMUM_IP_TARGET: (bounds.minimum_ip_target.min, bounds.minimum_ip_target.max),
        EnvKey.WARM_PREFIX_TARGET: (bounds.warm_prefix_target.min, bounds.warm_prefix_target.max),
    }.get(EnvKey(key))
    return least_and_most is None or least_and_most[0] <= int(value) <= least_and_most[1]
