"""What a group's nodes run and try, and what it tried before, as status, conditions and gauges show
it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ippolicy.account import birth_metrics
from ippolicy.account.metric import Metric
from ippolicy.account.view import View
from ippolicy.account.words import env_text, one_line, span, timestamp
from ippolicy.api.status import BirthStatus, RefusedStatus, TrialStatus
from ippolicy.decide.births.progress import MOST_NAMED, GroupProgress, State, told
from ippolicy.decide.births.table import PolicyTable, Refused, Stage, Trial
from ippolicy.decide.gates import wish_gate

MAX_REFUSED = 2
_NAME_LENGTH = 63
_CAUSE_LENGTH = 120
_NO_TABLE = PolicyTable("")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Targets of a group that are not tried now, since they did harm."""

    group: str
    refused: Refused


def birth_statuses(view: View) -> dict[str, BirthStatus]:
    """Group -> how far its nodes are."""
    sizes = Counter(node.group for node in view.snapshot.nodes)
    table = view.table or _NO_TABLE
    return {one.group: _status(one, table, sizes[one.group]) for one in view.births}


def refusals(view: View) -> tuple[Refusal, ...]:
    """What is not tried now since it did harm, newest first; nothing of a group that has since got
    through with something else."""
    table = view.table or _NO_TABLE
    found = [
        Refusal(group, kept[-1])
        for group, kept in table.refused.items()
        if kept and view.now_s < kept[-1].until_s and not _got_through(table, group, kept[-1])
    ]
    return tuple(sorted(found, key=lambda one: (-one.refused.until_s, one.group)))


def refusal_text(found: tuple[Refusal, ...]) -> str:
    """What was refused last, in one line."""
    group, refused = found[0].group, found[0].refused
    more = f"; so it is with {len(found) - 1} more groups" if len(found) > 1 else ""
    return (
        f"group {group} tried {env_text(refused.targets.targets)}, which did harm, {refused.cause}:"
        f" its nodes go back, and it is not tried before {timestamp(refused.until_s)}{more}"
    )


def trials_text(view: View) -> str:
    """What is tried where, for how long, and why it stands still if it does; empty for nothing."""
    trials = (view.table or _NO_TABLE).trials
    if not trials:
        return ""
    sizes = Counter(node.group for node in view.snapshot.nodes)
    # The newest stage first: that is where something may go wrong now.
    group, trial = max(trials.items(), key=lambda one: (one[1].since_s, one[0]))
    where = (
        f"whoever is born of its {sizes[group]} nodes"
        if trial.stage is Stage.PROMOTED
        else f"{len(trial.nodes)} of its {sizes[group]} nodes"
    )
    more = f", {len(trials) - 1} more groups try others" if len(trials) > 1 else ""
    stop = wish_gate(view.policy)
    still = f"; all stands still: {stop.message}" if stop is not None else ""
    return (
        f"group {group} tries {env_text(trial.targets.targets)} on {where} ({trial.stage.value}, "
        f"for {span(max(0.0, view.now_s - trial.since_s))}){more}{still}"
    )


def progress_text(view: View) -> str:
    """How many nodes have what they are to have, and who has not; empty where all have."""
    have, total = told(view.births)
    if have >= total:
        return ""
    behind = [name for one in view.births for name in one.behind][:MOST_NAMED]
    missed = sum(one.missed for one in view.births)
    late = f", {missed} of the others were born without though they were in force" if missed else ""
    names = [*behind, *(["…"] if total - have > len(behind) else [])]
    return (
        f"{have} of {total} nodes have the targets of their group, a node is restarted where that "
        f"repays{late}; behind are {', '.join(names)}"
    )


def birth_rows(view: View) -> Iterator[tuple[Metric, tuple[str, ...], float]]:
    """The series of what nodes were born with, of trials, and of restarts."""
    name = view.policy.name
    for one in view.births:
        for state, count in one.nodes.items():
            yield birth_metrics.BORN_NODES, (name, one.group, state.value), float(count)
        yield birth_metrics.MISSED_NODES, (name, one.group), float(one.missed)
    if view.table is None:
        return
    sizes = Counter(node.group for node in view.snapshot.nodes)
    refused = {one.group for one in refusals(view)}
    for one in view.births:
        yield birth_metrics.REFUSED_TARGETS, (name, one.group), float(one.group in refused)
    for group, trial in view.table.trials.items():
        labels = (name, group, trial.stage.value)
        yield birth_metrics.TRIAL_NODES, labels, float(_trying(trial, sizes[group]))
    yield birth_metrics.RESTARTS_UNDER_WAY, (name,), float(len(view.table.restarts))


def _status(found: GroupProgress, table: PolicyTable, size: int) -> BirthStatus:
    trial, refused = table.trials.get(found.group), table.refused.get(found.group, ())
    return BirthStatus(
        revision=found.revision,
        source=one_line(found.source, _NAME_LENGTH),
        current=found.nodes.get(State.CURRENT, 0),
        older=found.nodes.get(State.OLDER, 0),
        template=found.nodes.get(State.TEMPLATE, 0),
        astray=found.nodes.get(State.ASTRAY, 0),
        missed=found.missed,
        behind=_names(found.behind),
        trial=_trial(trial, size) if trial is not None else None,
        refused=tuple(_refused(one) for one in reversed(refused[-MAX_REFUSED:])),
    )


def _trial(trial: Trial, size: int) -> TrialStatus:
    return TrialStatus(
        stage=trial.stage.value,
        text=env_text(trial.targets.targets),
        nodes=_trying(trial, size),
        names=_names(trial.nodes),
        since=timestamp(trial.since_s),
    )


def _refused(one: Refused) -> RefusedStatus:
    return RefusedStatus(
        text=env_text(one.targets.targets),
        until=timestamp(one.until_s),
        cause=one_line(one.cause, _CAUSE_LENGTH),
    )


def _trying(trial: Trial, size: int) -> int:
    return size if trial.stage is Stage.PROMOTED else len(trial.nodes)


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(one_line(name, _NAME_LENGTH) for name in names[:MOST_NAMED])


def _got_through(table: PolicyTable, group: str, refused: Refused) -> bool:
    """Whether the group has proven something of a later revision, or is done with trying it."""
    own, trial = table.groups.get(group), table.trials.get(group)
    later = own is not None and own.revision > refused.targets.revision
    again = trial is not None and trial.stage is Stage.PROMOTED
    return later or again
