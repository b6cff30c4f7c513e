"""Env entries in the configuration values of the EKS add-on vpc-cni: the owner's own way.

The add-on then sets them on the DaemonSet itself, as manager `eks`. Originals are what stood in the
configuration values; where a key stood in none and the DaemonSet had a value that was not the
add-on's, that value is the original, and restoring keeps it in force through the add-on.
"""

from __future__ import annotations

from collections.abc import Collection

from ippolicy.act import history
from ippolicy.act.daemonset import DaemonSetWriter
from ippolicy.act.eks.client import Addon, AddonApi, Resolve
from ippolicy.act.eks.holders import resolution
from ippolicy.act.eks.schema import check_schema
from ippolicy.act.eks.values import env_of, merged
from ippolicy.act.env import check_result
from ippolicy.act.live import Live, Wanted
from ippolicy.act.ownership import regained
from ippolicy.act.requests import CallFailed
from ippolicy.act.writers.updates import Left, put_back, settle, shows, stands
from ippolicy.act.writers.writer import Found, Plan, Sent, Undone
from ippolicy.decide.types import Decision
from ippolicy.errors import DaemonSetMissing, FactsChanged
from ippolicy.facts import ChangePhase, DaemonSetFacts, DaemonSetRef, EnvEntry, Record
from ippolicy.facts import Writer as WriterKind
from ippolicy.facts.managers import ManagerKind, manager_kind


class AddonWriter:
    """`Writer` by updates of the EKS add-on. One update at a time; nothing waits for its end."""

    kind = WriterKind.EKS_ADDON

    def __init__(self, daemon_sets: DaemonSetWriter, api: AddonApi) -> None:
        self._daemon_sets = daemon_sets
        self._api = api

    def find(self, live: Live) -> Found:
        """The DaemonSet, and the add-on as EKS describes it."""
        return Found(live, self._api.describe())

    def find_changed(
        self,
        ref: DaemonSetRef,
        daemon_set_uid: str,  # noqa: ARG002  (the add-on outlives a DaemonSet that is made anew)
    ) -> Found | None:
        """The add-on, None when it is gone."""
        try:
            live = self._daemon_sets.read(ref)
        except DaemonSetMissing:
            live = None
        try:
            return Found(live, self._api.describe())
        except CallFailed as error:
            if error.status == 404:
                return None
            raise

    def in_force(self, found: Found, wanted: Wanted) -> bool:
        """Whether configuration values and DaemonSet have the values."""
        live, addon = _both(found)
        return stands(addon, wanted) and shows(live, wanted)

    def plan(
        self, found: Found, decision: Decision, record: Record | None, take_over: Collection[str]
    ) -> Plan:
        """One update of the add-on.

        Raises:
            FactsChanged: EKS is at work on the add-on.
            FieldConflict: another manager holds an entry, or too much besides one to be taken.
            ActError, EntryPointRefused: the resulting environment is a trap, or EKS would refuse
                the configuration values.
        """
        (live, addon), wanted = _both(found), decision.env
        if addon.busy:
            raise FactsChanged(f"{_busy(addon)}: it takes one update at a time, decide again")
        check_result(live, wanted)
        again = regained(live, record, decision.kind, wanted)
        resolve = resolution(live, wanted, {*take_over, *again})
        values = merged(addon.values, wanted)
        check_schema(values, self._api.schema(addon.version))
        env, left = env_of(addon.values), Left(record)
        recorded = record.originals if record is not None and record.writer is self.kind else {}
        originals = dict(recorded)
        for key in wanted:
            if key not in recorded or not left.ours(env, key):
                originals[key] = _original(live, env, key)

        def send() -> Sent:
            if live.holds_anything:  # else EKS would meet our own hold on the fields
                self._daemon_sets.release(live.facts.ref, live.facts.uid)
            return Sent(update_id=self._api.update(addon, values, resolve=resolve))

        return Plan(send, before={key: env.get(key) for key in wanted}, originals=originals)

    def follow(
        self,
        ref: DaemonSetRef,
        record: Record,
        facts: DaemonSetFacts,
        *,
        now_s: float,
        may_write: bool,
    ) -> Record:
        """An open change as far as its update is, and its rollout on `facts`."""
        last = record.last_change
        if last is None or last.phase not in (ChangePhase.INTENDED, ChangePhase.ROLLING):
            return record
        if last.phase is ChangePhase.INTENDED and last.undone:
            return put_back(record, self._api, now_s=now_s) if may_write else record
        record = settle(record, self._api, lambda: self._daemon_sets.read(ref), now_s=now_s)
        return history.advance(record, facts, now_s=now_s)

    def restore(self, found: Found, record: Record, *, now_s: float) -> Undone:
        """Send the originals where what stands is still ours, and say so until EKS has set them.

        Raises:
            FactsChanged: a change may still be on its way.
        """
        addon = _certain(found, record, now_s)
        if addon.busy:
            return Undone(False, f"{_busy(addon)}: looked at again")
        env, live, ours = env_of(addon.values), found.live, Left(record)
        originals = {key: one.value if one else None for key, one in record.originals.items()}
        back = {
            key: old for key, old in originals.items() if env.get(key) == old or ours.ours(env, key)
        }
        changes = {key: old for key, old in back.items() if env.get(key) != old}
        stuck = addon.failed and live is not None and ours.shown(live, originals)
        if changes or stuck:
            self._api.update(addon, merged(addon.values, changes), resolve=Resolve.PRESERVE)
            before = f", after one that failed ({addon.issues})" if addon.failed else ""
            return Undone(False, f"the originals were sent to EKS add-on vpc-cni{before}")
        left = sorted(set(originals) - set(back))
        said = [
            f"{key}={old}" if old is not None else f"{key} removed" for key, old in back.items()
        ]
        said += [f"{key} left as somebody set it since" for key in left]
        return Undone(True, f"EKS add-on vpc-cni: {', '.join(said) or 'nothing of ours was left'}")

    def retain(self, found: Found, record: Record, *, now_s: float) -> str:
        """What of ours stays in the configuration values.

        Raises:
            FactsChanged: a change may still be on its way.
        """
        env, ours = env_of(_certain(found, record, now_s).values), Left(record)
        kept = sorted(key for key in record.originals if ours.ours(env, key))
        return (
            f"{', '.join(kept) or 'nothing of ours'} left in the configuration values of EKS add-on"
            " vpc-cni, as onDelete Retain asks"
        )


def _original(live: Live, env: dict[str, str], key: str) -> EnvEntry | None:
    if key in env:
        return EnvEntry(env[key])
    kinds = {manager_kind(manager) for manager in live.value_holders(key)}
    return None if ManagerKind.EKS in kinds else live.entry(key)


def _busy(addon: Addon) -> str:
    return f"EKS add-on vpc-cni is {addon.status}"


def _certain(found: Found, record: Record, now_s: float) -> Addon:
    """The add-on, unless an update may still reach it of which EKS gave no id yet."""
    last = record.last_change
    if last is None or last.update_id or last.phase is not ChangePhase.INTENDED:
        return _addon(found)
    if abs(now_s - last.intended_at_s) < history.IN_DOUBT_S:
        raise FactsChanged(
            f"EKS add-on vpc-cni: change {last.id} may still be on its way: looked at again in "
            f"{history.IN_DOUBT_S:.0f} s"
        )
    return _addon(found)


def _addon(found: Found) -> Addon:
    assert found.addon is not None  # noqa: S101  (find and find_changed give it)
    return found.addon


def _both(found: Found) -> tuple[Live, Addon]:
    assert found.live is not None  # noqa: S101  (find gives it)
    return found.live, _addon(found)
