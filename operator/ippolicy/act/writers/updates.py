"""How far an update of the EKS add-on is, and the way back from one that failed.

Nothing here waits: each look takes a change as far as it has come.

intent, no update id ──EKS answered──> update id ──the DaemonSet shows the values──> ROLLING
   │ died in between                      └─ failed, or ended and shows others ──> undone
   └─ found in the configuration values, or dropped when it cannot arrive any more

undone, no update id ──former values sent, once──> update id ──ended──> SUPERSEDED
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ippolicy.act import history
from ippolicy.act.eks.client import Addon, AddonApi, Resolve, Update
from ippolicy.act.eks.holders import others
from ippolicy.act.eks.values import env_of, merged
from ippolicy.act.live import Live, Wanted
from ippolicy.act.requests import CallFailed
from ippolicy.errors import ActError
from ippolicy.facts import Change, ChangePhase, Record
from ippolicy.facts import Writer as WriterKind

# EKS calls an update successful once it has applied it; the DaemonSet is read a moment later.
SHOWN_WITHIN_S = 60.0
UPDATE_FAILED = "EKSUpdateFailed"  # the reason of RolledBack, which `Change.undone` begins with


class UpdateFailed(ActError):
    """An update of the EKS add-on failed, with what EKS said of it."""


def stands(addon: Addon, wanted: Wanted) -> bool:
    """Whether the configuration values have these env entries, None for absent."""
    env = env_of(addon.values)
    return all(env.get(key) == value for key, value in wanted.items())


def shows(live: Live, wanted: Wanted) -> bool:
    """Whether the DaemonSet has the wanted values; an entry that is given up may have a default."""
    return live.has({key: value for key, value in wanted.items() if value is not None})


class Left:
    """What our changes left in the configuration values, key by key.

    A change that did not come through may have left what stood before it as well. A key of which
    the record has no change any more, for want of room, is taken for ours as it is.
    """

    def __init__(self, record: Record | None) -> None:
        self._values: dict[str, set[str | None]] = {}
        for change in record.changes if record is not None else ():
            if change.writer is WriterKind.EKS_ADDON:
                through = not change.undone and change.phase is not ChangePhase.INTENDED
                for key, value in change.after.items():
                    self._values[key] = {value} if through else {value, change.before.get(key)}

    def ours(self, env: Mapping[str, str], key: str) -> bool:
        """Whether what `env` has for a key is of our own doing."""
        value = env.get(key)
        return value in self._values.get(key, {value})

    def shown(self, live: Live, originals: Wanted) -> bool:
        """Whether the DaemonSet has a value of ours that is to be taken back."""
        return any(
            value is not None and value != originals.get(key) and shows(live, {key: value})
            for key, values in self._values.items()
            for value in values
        )


def accepted(record: Record, update_id: str) -> Record:
    """The record once EKS has taken its last change as an update."""
    return history.with_last(record, update_id=update_id)


def failed_just_now(record: Record, before: Change | None) -> str:
    """Why an update failed, where the last look did not know of it yet; empty where none did."""
    last = record.last_change
    if last is None or last.writer is not WriterKind.EKS_ADDON or before is None:
        return ""
    new = last.phase is ChangePhase.INTENDED and not before.undone
    return last.undone if new else ""


def settle(record: Record, api: AddonApi, read: Callable[[], Live], *, now_s: float) -> Record:
    """The record with its open change as far as its update is; `read` reads the DaemonSet.

    A change whose update failed has `undone` set and no `update_id`: the former values are to be
    sent next.
    """
    change = record.changes[-1]
    update = _state(api, change)
    if update is not None and update.failed:
        return _undone(record, update.errors or update.status)
    if change.phase is not ChangePhase.INTENDED:
        return record
    if update is None:
        addon = api.describe()
        if addon.busy or not stands(addon, change.after):
            in_doubt = addon.busy or abs(now_s - change.intended_at_s) < history.IN_DOUBT_S
            return record if in_doubt else history.without_last(record)
    live = read()  # after EKS was asked: what it says has happened is to be seen
    ended = update is None or update.status == "Successful"
    if shows(live, change.after) and (ended or None not in change.after.values()):
        return history.rolling(record, generation=live.facts.generation, after=change.after)
    late = ended and abs(now_s - change.intended_at_s) >= SHOWN_WITHIN_S
    return _undone(record, _kept(live, change.after)) if late else record


def put_back(record: Record, api: AddonApi, *, now_s: float) -> Record:
    """The record with its last change, which is undone, one step further on its way back."""
    change = record.changes[-1]
    update = _state(api, change)
    if update is not None:
        failed = f"; the former values could not be put back: {update.errors or update.status}"
        ended = update.failed or update.status == "Successful"
        return _given_up(record, failed if update.failed else "", now_s) if ended else record
    addon = api.describe()
    if addon.busy:
        return record
    if stands(addon, change.before) and not addon.failed:
        return _given_up(record, "", now_s)
    try:
        values = merged(addon.values, change.before)
        token = f"{change.id}-{change.intended_at_s:.0f}-back"
        return accepted(record, api.update(addon, values, resolve=Resolve.PRESERVE, token=token))
    except CallFailed as error:
        if error.retryable:
            raise
        return _given_up(record, f"; the former values could not be put back: {error}", now_s)


def _state(api: AddonApi, change: Change) -> Update | None:
    """The update of a change, None where it has none, or EKS knows it no more."""
    if not change.update_id:
        return None
    try:
        return api.update_state(change.update_id)
    except CallFailed as error:
        if error.status == 404:
            return None
        raise


def _kept(live: Live, wanted: Mapping[str, str | None]) -> str:
    differing = sorted(key for key, value in wanted.items() if not shows(live, {key: value}))
    named = (f"{key} as {', '.join(others(live, key)) or 'it was'}" for key in differing)
    return f"EKS ended the update and the DaemonSet keeps {'; '.join(named)}"


def _undone(record: Record, why: str) -> Record:
    undone = f"{UPDATE_FAILED}: {why}"
    return history.with_last(record, phase=ChangePhase.INTENDED, update_id="", undone=undone)


def _given_up(record: Record, more: str, now_s: float) -> Record:
    undone = record.changes[-1].undone + more
    return history.with_last(
        record, phase=ChangePhase.SUPERSEDED, undone=undone, completed_at_s=now_s
    )
