"""Scenarios of the real ipamd in virtual time, with what was seen of its node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from ipamd_goldens.report import Report, Row, differs_from_constant, differs_from_range
from ippolicy.ipamd import NodeInitFailed, NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.scenario import AMPLE_SUBNET, Event, Observation, Scenario, observe

FEW_RUNS = 4
MANY_RUNS = 24


def belongs(row: Row) -> bool:
    """Whether a row is of this format."""
    return row.get("kind") in {"scenario", "obs"}


def check(rows: Iterable[Row], report: Report) -> None:
    """Hold every observation to a few runs of ours.

    Where one of them is off, many decide: `same` held in all of the recorded runs, `vary` is
    their range, and neither can hold in every further run of a process with random choices.
    """
    scenarios: list[Row] = []
    seen: defaultdict[str, dict[int, Row]] = defaultdict(dict)
    for row in rows:
        if row["kind"] == "scenario":
            scenarios.append(row)
        else:
            seen[row["scenario"]][row["t"]] = row
    for row in scenarios:
        _check_scenario(row, seen.pop(row["name"], {}), report)
    for name, orphans in seen.items():
        for at in orphans:
            report.add(f"{name} t={at}", ["no such scenario is given"])


def _check_scenario(row: Row, recorded: dict[int, Row], report: Report) -> None:
    runs = [_run(row, seed) for seed in range(FEW_RUNS)]
    off = {at: _differences(at, recorded, runs) for at in recorded}
    if any(off.values()):
        runs += [_run(row, seed) for seed in range(FEW_RUNS, MANY_RUNS)]
        off = {at: _differences(at, recorded, runs) for at in recorded}
    for at, counts in off.items():
        report.add(
            f"{row['name']} t={at}",
            [
                f"{field} {kind} {value!r}, ours e.g. {example!r} in {count} of {len(runs)} runs"
                for (field, kind), (value, example, count) in counts.items()
                if len(runs) == FEW_RUNS or _too_many(kind, count, len(runs), row["reps"])
            ],
        )


def _too_many(kind: str, count: int, ours: int, theirs: int) -> bool:
    if kind == "vary":
        return differs_from_range(count, ours, theirs)
    return differs_from_constant(count, ours, theirs)


Off = dict[tuple[str, str], tuple[object, object, int]]


def _differences(at: int, recorded: dict[int, Row], runs: list[dict[int, Row]]) -> Off:
    """Per field of the row: what it should be, one of ours that is not, and in how many runs.

    Nothing happened between two recorded looks, so a row holds until the next one.
    """
    until = min((later for later in recorded if later > at), default=at + 1)
    row = recorded[at]
    off: Off = {}
    for run in runs:
        looks = [look for second, look in run.items() if at <= second < until] or [{}]
        for kind, field, value in _fields(row):
            wrong = [look.get(field, 0) for look in looks if not _holds(kind, value, look, field)]
            if wrong:
                count = off[field, kind][2] if (field, kind) in off else 0
                off[field, kind] = (value, wrong[0], count + 1)
        for field in {name for look in looks for name in look} - _named(row):
            if "." in field and any(look.get(field) for look in looks):
                count = off[field, "same"][2] if (field, "same") in off else 0
                off[field, "same"] = (0, looks[0].get(field), count + 1)
    return off


def _fields(row: Row) -> list[tuple[str, str, object]]:
    same = [("same", name, value) for name, value in row["same"].items()]
    return same + [("vary", name, value) for name, value in (row.get("vary") or {}).items()]


def _named(row: Row) -> set[str]:
    return {name for _, name, _ in _fields(row)}


def _holds(kind: str, value: object, look: Row, field: str) -> bool:
    got = look.get(field, 0)
    if kind == "same":
        return bool(got == value)
    if not isinstance(value, list):
        return False
    if isinstance(value[0], list):
        return isinstance(got, list) and _within_lists(got, value)
    return bool(value[0] <= got <= value[1])


def _within_lists(got: list[int], seen: list[list[int]]) -> bool:
    """Whether a list, sorted downwards, lies place by place between the lists seen."""
    length = max(map(len, seen))
    padded = [one + [0] * (length - len(one)) for one in seen]
    ours = got + [0] * (length - len(got))
    return len(ours) == length and all(
        min(column) <= value <= max(column)
        for value, column in zip(ours, zip(*padded, strict=True), strict=True)
    )


def _run(row: Row, seed: int) -> dict[int, Row]:
    try:
        return {look.at: _as_row(look) for look in observe(_scenario(row), seed=seed)}
    except NodeInitFailed as error:
        return {0: {"init_error": str(error)}}


def _scenario(row: Row) -> Scenario:
    cfg = row["cfg"]
    return Scenario(
        shape=NodeShape(
            row["instance"],
            row["eni_limit"],
            row["slots_per_eni"] + 1,
            row["max_pods"],
            # No burstable (t) type can carry a trunk ENI.
            trunk_capable=not row["instance"].startswith("t"),
        ),
        settings=_settings(cfg),
        events=tuple(
            Event(
                event["t"],
                event["op"],
                event.get("n", 0),
                _settings(event["cfg"]) if "cfg" in event else None,
            )
            for event in row["events"]
        ),
        subnet_free=row.get("subnet_free", AMPLE_SUBNET),
        second_subnet_free=row.get("subnet2_free"),
        role_tag=cfg.get("primary_subnet_tag"),
        unschedulable=cfg.get("unschedulable", False),
    )


def _settings(cfg: Row) -> PoolSettings:
    return PoolSettings(
        WarmTargets(
            cfg.get("warm_eni", 1),
            cfg.get("warm_ip", 0),
            cfg.get("min_ip", 0),
            cfg.get("warm_prefix", 0),
        ),
        prefix_delegation=cfg.get("pd", False),
        max_eni=cfg.get("max_eni_env", 0),
        custom_networking=cfg.get("custom_net", False),
        subnet_discovery=not cfg.get("no_subnet_discovery", False),
        pod_eni=cfg.get("pod_eni", False),
        cooldown_s=cfg.get("cooldown_s", 30),
    )


def _as_row(look: Observation) -> Row:
    row: Row = {
        "pods": look.pods,
        "pending": look.pending,
        "enis": look.enis,
        "ips": look.addresses,
        "prefixes": look.prefixes,
        "free_prefixes": look.free_prefixes,
        "assigned": look.assigned,
        "cooldown": look.cooling,
        "failed_adds": look.failed_adds,
        "subnet_free": look.subnet_free,
        "per_eni": list(look.cidrs_by_eni),
    }
    row |= {f"calls.{name}": count for name, count in look.calls.items()}
    row |= {f"errors.{name}": count for name, count in look.errors.items()}
    return row
