"""A plan as people read it: table, JSON, picture."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from ippolicy.cli.pictures import Dot, draw_plan
from ippolicy.cli.planning import Plan
from ippolicy.cli.tables import number, percent, sentence, table
from ippolicy.cli.targets import env_of, short, words
from ippolicy.decide.bundle import as_data
from ippolicy.decide.environment import read_environment
from ippolicy.decide.preconditions import State
from ippolicy.decide.prefixes import PrefixAdvice
from ippolicy.decide.profiles import Schedule
from ippolicy.decide.question import Advice, Option, RunnerUp
from ippolicy.decide.subnets.wayout import DeadEnd
from ippolicy.ipamd import WarmTargets

_MOST_OF_FRONT: Final = 8
_HOUR_S: Final = 3600.0
CHOICE, PRESENT, FRONT = "choice", "in force", "front"


@dataclass(frozen=True, slots=True)
class Line:
    """A setting of the table, and what it is there for: choice, in force, next 1, front."""

    option: Option
    roles: tuple[str, ...]


def lines_of(plan: Plan) -> list[Line]:
    """The choice, the setting in force, the runners-up and the front, least held first."""
    fleet = plan.choice.fleet
    shown: dict[WarmTargets, Line] = {}

    def add(option: Option, role: str) -> None:
        known = shown.get(option.targets)
        # What the search itself found comes first and stays.
        shown[option.targets] = Line(
            known.option if known else option, (*(known.roles if known else ()), role)
        )

    add(fleet.chosen, CHOICE)
    add(fleet.present, PRESENT)
    for rank, runner_up in enumerate(fleet.runners_up, 1):
        add(runner_up, f"next {rank}")
    for option in plan.front[-_MOST_OF_FRONT:]:  # its end with the fewest delays
        add(option, FRONT)
    return sorted(shown.values(), key=lambda line: (line.option.held, line.option.delayed_share))


# -- text -----------------------------------------------------------------------------------------


def as_text(plan: Plan, source: str) -> str:
    """Tables of at most 80 columns."""
    fleet = plan.choice.fleet
    parts = [
        _heading(plan, source),
        _table(plan),
        _verdict(plan, fleet),
        _groups(plan),
        _prefix_mode(plan.prefix_mode),
        _dead_ends(plan.inputs.dead_ends),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _heading(plan: Plan, source: str) -> list[str]:
    question, choice, traces = plan.question, plan.choice, plan.inputs.traces
    bounds, objective = question.bounds, question.objective
    nodes = sum(question.nodes.values())
    hours = (max(t.until_s for t in traces) - min(t.since_s for t in traces)) / _HOUR_S
    starts = sum(int((trace.changes > 0).sum()) for trace in traces)
    texts = [
        f"{nodes} nodes; demand of {source}: {hours:,.1f} h, {starts:,} pod starts",
        f"wanted: the fewest addresses with at most {percent(objective.delayed_share)} delayed "
        f"starts and {objective.calls_per_minute:g} changing EC2 calls a minute; WARM_IP_TARGET "
        f"{bounds.warm_ip_target.min} to {bounds.warm_ip_target.max}, MINIMUM_IP_TARGET "
        f"{bounds.minimum_ip_target.min} to {bounds.minimum_ip_target.max}",
        f"searched: {choice.units_played} of {choice.units} node days under {choice.settings} "
        f"settings",
    ]
    traps = read_environment(_env(plan)).traps
    lines = [line for text in texts for line in sentence("", text)]
    return [*lines, *(line for trap in traps for line in sentence("TRAP in force: ", trap))]


def _env(plan: Plan) -> Mapping[str, Any]:
    daemon_set = plan.inputs.snapshot.daemon_set
    return daemon_set.env if daemon_set is not None else {}


def _table(plan: Plan) -> list[str]:
    rows = [
        [
            short(line.option.targets, prefixes=plan.prefixes),
            number(line.option.held),
            percent(line.option.delayed_share),
            number(line.option.calls_per_minute, 2),
            ", ".join(role for role in line.roles if role != FRONT),
        ]
        for line in lines_of(plan)
    ]
    titles = ["setting", "held", "delayed", "calls/min", ""]
    told = sentence(
        "",
        "held: addresses on all nodes, mean over time. Lines without a mark: nothing holds less "
        "with fewer delays.",
    )
    return [*table([titles, *rows], left=(0, 4)), *told, *reasons(plan.choice.fleet.runners_up)]


def reasons(runners_up: Sequence[RunnerUp]) -> list[str]:
    """Why each of the runners-up was not chosen, a line a reason."""
    ranks: dict[str, list[str]] = defaultdict(list)
    for rank, option in enumerate(runners_up, 1):
        ranks[option.why].append(str(rank))
    return [
        line
        for why, places in ranks.items()
        for line in sentence(f"next {', '.join(places)}: ", why)
    ]


def _verdict(plan: Plan, fleet: Advice) -> list[str]:
    chosen, present = fleet.chosen, fleet.present
    saved = present.held - chosen.held
    share = saved / present.held if present.held else 0.0
    if chosen.targets == present.targets:
        texts = ["choice: the setting in force stays"]
    else:
        texts = [
            f"choice: {words(chosen.targets, prefixes=plan.prefixes)}: {number(chosen.held)} held "
            f"instead of {number(present.held)}, {percent(abs(share), 0)} "
            f"{'less' if saved >= 0 else 'more'}"
        ]
    if not fleet.met:
        texts.append(
            f"no setting keeps both limits: {fleet.binding} is in the way, and the "
            "nearest is chosen"
        )
    elif fleet.binding == "demand":
        texts.append("binding: demand; neither a limit nor a bound keeps less from being held")
    else:
        texts.append(f"binding: {fleet.binding}, without which less would be held")
    texts.append(
        f"sure: it keeps the limits in {percent(fleet.sure, 0)} of the resamples; held in nine of "
        f"ten: {number(fleet.held_interval[0])} to {number(fleet.held_interval[1])}"
    )
    lines = [line for text in texts for line in sentence("", text)]
    return (
        lines if plan.schedule is None else [*lines, *by_day(plan.schedule, prefixes=plan.prefixes)]
    )


def by_day(schedule: Schedule, *, prefixes: bool) -> list[str]:
    """The settings of a day, and what they come to."""
    lines = sentence(
        "",
        f"by the time of day (UTC): {number(schedule.held)} held, "
        f"{percent(schedule.delayed_share)} delayed, {number(schedule.calls_per_minute, 2)} calls "
        f"a minute with the restarts between; the best single setting then holds "
        f"{number(schedule.single_held)}",
    )
    for part in schedule.parts:
        env = words(part.targets, prefixes=prefixes)
        lines += sentence(f"  from {part.start_hour:02}:00  ", f"{env}: {number(part.held)} held")
    return lines


def _groups(plan: Plan) -> list[str]:
    groups = plan.choice.groups
    if len(groups) < 2:
        return []
    rows = [
        [
            _cut(name),
            f"{plan.question.nodes.get(name, 0):,}",
            short(advice.chosen.targets, prefixes=plan.prefixes),
            number(advice.chosen.held),
        ]
        for name, advice in sorted(groups.items())
    ]
    return table([["group alone", "nodes", "its own best", "held"], *rows], left=(0, 2))


def _prefix_mode(advice: PrefixAdvice) -> list[str]:
    """What prefix mode would mean, as far as it is known."""
    headline, places, *_ = advice.lines()
    known = [c for c in advice.checks if c.state is not State.UNKNOWN]
    texts = [headline, places, *(f"{check.name}: {check.text}" for check in known)]
    return [line for text in texts for line in sentence("", text)]


def _dead_ends(ends: Sequence[DeadEnd]) -> list[str]:
    """The subnets that no targets can save, with what else might."""
    lines = []
    for end in ends:
        lines += sentence("NO TARGETS SAVE IT: ", end.text())
        ways = sorted(end.ways, key=lambda way: not way.open)
        lines += [
            line
            for way in ways
            for line in sentence(f"  {'way out' if way.open else 'no way out'}: ", way.text)
        ]
    return lines


def _cut(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


# -- data and picture -----------------------------------------------------------------------------


def as_json(plan: Plan, source: str) -> str:
    """All of it: what was asked, every line of the table, and every setting tried."""
    fleet, question = plan.choice.fleet, plan.question
    document = {
        "source": source,
        "nodes": dict(question.nodes),
        "objective": asdict(question.objective),
        "bounds": question.bounds.model_dump(mode="json", by_alias=True),
        "met": fleet.met,
        "binding": fleet.binding,
        "sure": fleet.sure,
        "heldInterval": fleet.held_interval,
        "schedule": None if plan.schedule is None else as_data(plan.schedule),
        "prefixMode": as_data(plan.prefix_mode),
        "deadEnds": as_data(plan.inputs.dead_ends),
        "unitsPlayed": plan.choice.units_played,
        "units": plan.choice.units,
        "choice": _data(plan, fleet.chosen),
        "present": _data(plan, fleet.present),
        "runnersUp": [_data(plan, option) for option in fleet.runners_up],
        "front": [_data(plan, option) for option in plan.front],
        "groups": {
            name: {"choice": _data(plan, advice.chosen), "met": advice.met}
            for name, advice in sorted(plan.choice.groups.items())
        },
        "tried": [
            {**_data(plan, tried.option), "withinBounds": tried.allowed} for tried in plan.tried
        ],
    }
    return json.dumps(document, indent=2)


def _data(plan: Plan, option: Option) -> dict[str, Any]:
    figures = {
        "env": env_of(option.targets, prefixes=plan.prefixes),
        "held": round(option.held, 3),
        "delayedShare": round(option.delayed_share, 6),
        "ec2CallsPerMinute": round(option.calls_per_minute, 4),
    }
    return {**figures, "why": option.why} if isinstance(option, RunnerUp) else figures


def as_picture(plan: Plan, source: str, kind: str) -> bytes:
    """Addresses held against delayed starts, coloured by calls, the choice and what is in force
    marked."""
    fleet = plan.choice.fleet
    allowed = [tried.option for tried in plan.tried if tried.allowed]
    return draw_plan(
        [_dot(plan, option) for option in (*allowed, *fleet.runners_up)],
        front=[_dot(plan, option) for option in plan.front],
        present=_dot(plan, fleet.present),
        choice=_dot(plan, fleet.chosen),
        delayed_limit=plan.question.objective.delayed_share,
        title=f"{sum(plan.question.nodes.values())} nodes, demand of {source}",
        kind=kind,
    )


def _dot(plan: Plan, option: Option) -> Dot:
    text = words(option.targets, prefixes=plan.prefixes)
    return Dot(text, option.held, option.delayed_share, option.calls_per_minute)
