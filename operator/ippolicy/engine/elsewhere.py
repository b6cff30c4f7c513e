"""One rollout at a time over all policies: which other DaemonSet rolls."""

from __future__ import annotations

from collections.abc import Iterable, Set

from ippolicy.account.view import View
from ippolicy.engine.policies import Standing
from ippolicy.facts import DaemonSetRef


class Elsewhere:
    """Whether each DaemonSet was rolling when a pass looked at it last, or set it rolling.

    One whose updateStrategy is OnDelete never is: its user restarts the pods, in days maybe.
    """

    def __init__(self) -> None:
        self._rolling: dict[DaemonSetRef, bool] = {}

    def note(self, standing: Standing, view: View | None) -> None:
        """Take up a pass over a policy; one without a `view` failed, and changes nothing known."""
        if standing.rival is not None:
            return
        if view is None:
            self._rolling.setdefault(standing.ref, False)
            return
        facts = view.snapshot.daemon_set
        rolls = view.change_under_way is not None or (facts is not None and facts.rolling)
        on_delete = facts is not None and facts.rollout.on_delete
        self._rolling[standing.ref] = rolls and not on_delete

    def keep(self, refs: Set[DaemonSetRef]) -> None:
        """Forget the DaemonSets that no policy is about any more."""
        for ref in self._rolling.keys() - refs:
            del self._rolling[ref]

    def rollout(self, ref: DaemonSetRef, standings: Iterable[Standing]) -> str:
        """Which other DaemonSet than `ref` rolls, or was not looked at yet; empty for none."""
        for other in standings:
            if other.rival is not None or other.ref == ref:
                continue
            rolling = self._rolling.get(other.ref)
            what = f"DaemonSet {other.ref} of policy {other.policy.name}"
            if rolling is None:
                return f"{what} was not looked at yet, and may be rolling out"
            if rolling:
                return f"{what} is rolling out: one rollout at a time over all policies"
        return ""
