"""The steps of targets by node group, with what each needs of the passes before. In memory only: an
operator that starts anew watches trials anew, and goes on from the table on the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping

from ippolicy.decide.births.cohorts import Cohorts
from ippolicy.decide.births.roll import Asked, News, Rolled, Step, roll
from ippolicy.decide.births.table import PolicyTable
from ippolicy.decide.decision import Inputs
from ippolicy.decide.environment import shown
from ippolicy.decide.types import Decision, Reason, Recommendations, Verdict
from ippolicy.facts import DaemonSetRef

_MOST_TOLD = 5
_IN_PLACE = Reason.TARGETS_IN_PLACE


class Steps:
    """The step that each DaemonSet is at."""

    def __init__(self, *, spread_s: float) -> None:
        self._spread_s = spread_s
        self._cohorts: dict[DaemonSetRef, Cohorts] = {}
        self._known: dict[DaemonSetRef, Mapping[str, Recommendations]] = {}
        self._taken: dict[DaemonSetRef, tuple[Asked, Rolled]] = {}
        self._current: dict[DaemonSetRef, Rolled] = {}
        self._news: dict[DaemonSetRef, tuple[News, ...]] = {}

    def take(
        self,
        ref: DaemonSetRef,
        inputs: Inputs,
        decision: Decision,
        table: PolicyTable,
        *,
        listening: bool,
    ) -> Rolled:
        """The next step from `table`, which is the current one from now on."""
        cohorts = self._cohorts.setdefault(ref, Cohorts())
        cohorts.note(table, inputs.snapshot)
        asked = Asked(
            inputs,
            decision,
            table,
            cohorts.counts(),
            self._known.get(ref, {}),
            spread_s=self._spread_s,
            listening=listening,
        )
        step = roll(asked)
        self._taken[ref] = asked, step
        self._known[ref] = step.known
        self._current[ref] = step
        return step

    def current(self, ref: DaemonSetRef) -> Rolled | None:
        """The step that is to be carried out, None for none."""
        return self._current.get(ref)

    def published(self, ref: DaemonSetRef) -> None:
        """The table of the current step is on the cluster: its news are true."""
        self._news[ref] = self._current[ref].news

    def news(self, ref: DaemonSetRef) -> tuple[News, ...]:
        """What is new since the step before."""
        return self._news.get(ref, ())

    def taken(self, ref: DaemonSetRef) -> tuple[Asked, Rolled] | None:
        """The step that followed from the last decision, None for none."""
        return self._taken.get(ref)

    def rest(self, ref: DaemonSetRef) -> None:
        """The step that was taken changes nothing: there is none to be carried out."""
        self._current.pop(ref, None)
        self._news.pop(ref, None)

    def forget(self, ref: DaemonSetRef) -> None:
        """Another decision was made: the step before is over."""
        self.rest(ref)
        self._taken.pop(ref, None)

    def drop(self, ref: DaemonSetRef) -> None:
        """Forget all of a DaemonSet whose pods are born with nothing of ours any more."""
        self.forget(ref)
        self._cohorts.pop(ref, None)
        self._known.pop(ref, None)


def told(step: Rolled, decision: Decision) -> tuple[Reason, str]:
    """Why a step is taken: a stable word, and a line."""
    texts = [f"{one.group}: {one.text}" for one in step.news[:_MOST_TOLD]]
    if step.due:
        texts.append(f"{len(step.due)} aws-node pods are to be made anew")
    message = "; ".join(texts) or decision.message
    if any(one.step is Step.REFUSED for one in step.news):
        return Reason.ROLLED_BACK, message
    goes = decision.verdict is Verdict.CHANGE
    return decision.reason if goes else Reason.AT_BIRTH, message


def at_rest(step: Rolled, *, any_wanted: bool) -> tuple[Reason, str]:
    """What it means that nothing is tried and nothing is outstanding: a stable word, and what is to
    be said of it. Not all is well where no node is to have any targets, or where some were refused.
    """
    stops = [(g, s) for g, s in sorted(step.stops.items()) if s.reason is not _IN_PLACE]
    refused = [(group, stop) for group, stop in stops if stop.reason is Reason.BACKING_OFF]
    telling = refused or ([] if any_wanted else stops)
    if not telling:
        return _IN_PLACE, ""
    (group, stop), others = telling[0], len(telling) - 1
    more = f"; so it is with {others} more groups" if others else ""
    return stop.reason, f"; {group}: {stop.message}{more}"


def waits(step: Rolled) -> str:
    """What goes on, or is waited for, in one line."""
    tried = [
        f"{group} tries {shown(one.targets.targets, prefixes=False)} ({one.stage.value})"
        for group, one in sorted(step.table.trials.items())
    ]
    more = f" and {len(tried) - _MOST_TOLD} more" if len(tried) > _MOST_TOLD else ""
    lines = [", ".join(tried[:_MOST_TOLD]) + more] if tried else []
    lines.append(
        f"nothing is restarted now: {step.held}"
        if step.held
        else "a node is restarted where that repays, others get theirs as aws-node is made anew"
    )
    return "; ".join(lines)
