"""The status document of a policy: what a person reads, bounded in size."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ippolicy.account.ahead import brake_status, dead_end_statuses, prefix_mode, zone_statuses
from ippolicy.account.births import birth_statuses
from ippolicy.account.changes import change_statuses, saved_status
from ippolicy.account.conditions import conditions
from ippolicy.account.notes import cni_text
from ippolicy.account.subnets import MAX_SUBNETS, subnet_statuses, tightest_first
from ippolicy.account.view import View
from ippolicy.account.words import env_text, one_line, percent, shown_targets, span, timestamp
from ippolicy.account.writer import writer_status
from ippolicy.api import EnvKey
from ippolicy.api.status import (
    DayPartStatus,
    DecisionStatus,
    Effect,
    GroupStatus,
    LadderStatus,
    OptionStatus,
    PolicyStatus,
    RecommendationStatus,
    ScheduleStatus,
    Setting,
    Totals,
)
from ippolicy.decide.trust import Ladder
from ippolicy.decide.types import DayPlan, Decision, GroupAdvice, Prediction, Recommendation
from ippolicy.facts import DaemonSetFacts, EnvEntry, Snapshot, manager_kind

MAX_BYTES = 64 * 1024
MAX_GROUPS = 50
MAX_TRAPS = 10
MAX_CAUSES = 5
MAX_OPTIONS = 5
MAX_OWNERS = 5
_NAME_LENGTH = 63
_VALUE_LENGTH = 40
_TEXT_LENGTH = 300


def status_document(view: View, previous: Mapping[str, Any], now_s: float) -> dict[str, Any]:
    """The whole status of a policy as it stands in YAML, never above `MAX_BYTES` of JSON.

    `previous` is the status that the API server shows now; {} for none.
    """
    snapshot, decision = view.snapshot, view.decision
    groups = _groups(view, decision.groups if decision else ())
    subnets = tightest_first(snapshot)
    status = PolicyStatus(
        observed_generation=view.policy.generation,
        observed_time=timestamp(now_s),
        daemon_set=view.left_behind or str(view.policy.spec.daemon_set_ref),
        cni=cni_text(snapshot.cni),
        conditions=conditions(view, _list(previous, "conditions"), now_s),
        totals=totals_of(snapshot),
        in_force=_in_force(snapshot.daemon_set),
        writer=writer_status(view),
        recommendation=_recommendation(decision),
        decision=_decision(decision),
        groups=tuple(groups[:MAX_GROUPS]),
        more_groups=max(0, len(groups) - MAX_GROUPS),
        subnets=subnet_statuses(snapshot, view.ahead),
        more_subnets=max(0, len(subnets) - MAX_SUBNETS),
        subnet_left=f"{subnets[0].free} ({subnets[0].subnet_id})" if subnets else None,
        zones=zone_statuses(view),
        brake=brake_status(view),
        ladder=_ladder(view.ladder),
        dead_ends=dead_end_statuses(view),
        prefix_mode=prefix_mode(view),
        changes=change_statuses(view),
        saved=saved_status(view.record),
        traps=_traps(decision),
    )
    return bounded(status.to_raw())


def bounded(status: dict[str, Any], max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """`status` with its longest lists cut by half until it fits; what is cut is counted.

    The limits above keep any ordinary cluster far below it; this holds for names of any length.
    """
    cut = dict(status)
    while json_bytes(cut) > max_bytes:
        longest = max(("changes", "groups", "subnets"), key=lambda key: json_bytes(cut.get(key)))
        kept = cut.get(longest) or []
        if not kept:
            break
        cut[longest] = kept[: len(kept) // 2]
        more = {"groups": "moreGroups", "subnets": "moreSubnets"}.get(longest)
        if more is not None:
            cut[more] = cut.get(more, 0) + len(kept) - len(cut[longest])
    return cut


def json_bytes(value: Any) -> int:
    """Size of a value as the API server keeps it: compact JSON in UTF-8."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def totals_of(snapshot: Snapshot) -> Totals:
    """Nodes, pods and addresses of a snapshot; addresses are over the pools that were read."""
    pools = snapshot.pools.values()
    held, assigned = sum(p.held for p in pools), sum(p.assigned for p in pools)
    return Totals(
        nodes=len(snapshot.nodes),
        left_out={kind.value: count for kind, count in sorted(snapshot.left_out.items()) if count},
        pods=sum(snapshot.pods_per_node.values()),
        assigned=assigned,
        warm=held - assigned,
        held=held,
        enis=sum(p.enis for p in pools),
        endpoints_listed=snapshot.coverage.listed,
        endpoints_read=snapshot.coverage.read,
    )


def shown_value(entry: EnvEntry) -> str | None:
    """The value of an env entry, as the status shows it."""
    return None if entry.value is None else one_line(entry.value, _VALUE_LENGTH)


def _list(status: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    value = status.get(key)
    return value if isinstance(value, list) else ()


def _in_force(daemon_set: DaemonSetFacts | None) -> tuple[Setting, ...]:
    if daemon_set is None:
        return ()
    settings = []
    for key in EnvKey:
        entry = daemon_set.env.get(key)
        if entry is None:
            continue
        owners = daemon_set.owners.get(key, ())
        settings.append(
            Setting(
                key=key,
                value=shown_value(entry),
                value_from=one_line(entry.origin, 120) if entry.value is None else None,
                owners=tuple(one_line(owner, _NAME_LENGTH) for owner in owners[:MAX_OWNERS]),
                kinds=tuple(manager_kind(owner).value for owner in owners[:MAX_OWNERS]),
            )
        )
    return tuple(settings)


def _recommendation(decision: Decision | None) -> RecommendationStatus | None:
    if decision is None or decision.fleet is None:
        return None
    fleet = decision.fleet
    return RecommendationStatus(
        targets=shown_targets(fleet.targets),
        lower=shown_targets(fleet.lower),
        upper=shown_targets(fleet.upper),
        uncapped=shown_targets(fleet.uncapped),
        text=env_text(fleet.targets),
        binding=one_line(fleet.binding, _TEXT_LENGTH),
        present=_effect(fleet.present),
        predicted=_effect(fleet.predicted),
        saves=saves(fleet),
        observed=span(fleet.evidence.observed_s),
        evidence=one_line(fleet.evidence.message, _TEXT_LENGTH),
        raised=one_line(fleet.raised, _TEXT_LENGTH) or None,
        schedule=_schedule(fleet.plan),
        options=tuple(
            OptionStatus(
                text=env_text(option.targets),
                held=round(option.held),
                delayed=percent(option.delayed_share),
                calls_per_minute=f"{option.calls_per_minute:.3g}",
                why=option.why,
            )
            for option in fleet.runners_up[:MAX_OPTIONS]
        ),
    )


def _schedule(plan: DayPlan | None) -> ScheduleStatus | None:
    if plan is None:
        return None
    schedule = plan.schedule
    return ScheduleStatus(
        parts=tuple(
            DayPartStatus(
                start=f"{part.start_hour:02}:00",
                text=env_text(part.targets),
                held=round(part.held),
            )
            for part in schedule.parts
        ),
        now=f"{plan.part.start_hour:02}:00",
        next_switch=timestamp(plan.until_s),
        held=round(schedule.held),
        saves=round(schedule.single_held - schedule.held),
    )


def saves(recommendation: Recommendation) -> int:
    """Addresses that a recommendation gives back; below zero when it takes more."""
    return recommendation.present.held - recommendation.predicted.held


def _effect(prediction: Prediction) -> Effect:
    mean_held, delayed = prediction.mean_held, prediction.delayed_share
    calls = prediction.ec2_calls_per_minute
    return Effect(
        held=prediction.held,
        warm=prediction.warm,
        enis=prediction.enis,
        mean_held=None if mean_held is None else round(mean_held),
        delayed=None if delayed is None else percent(delayed),
        calls_per_minute=None if calls is None else f"{calls:.3g}",
    )


def _decision(decision: Decision | None) -> DecisionStatus | None:
    if decision is None:
        return None
    return DecisionStatus(
        verdict=decision.verdict.value,
        reason=decision.reason.value,
        message=one_line(decision.message, _TEXT_LENGTH),
    )


def _ladder(ladder: Ladder | None) -> LadderStatus | None:
    if ladder is None or not ladder.step:
        return None
    causes = ladder.causes[:MAX_CAUSES]
    return LadderStatus(
        step=ladder.step.word,
        causes=tuple(one_line(cause, _TEXT_LENGTH) for cause in causes),
    )


def _groups(view: View, advice: Sequence[GroupAdvice]) -> list[GroupStatus]:
    snapshot, births = view.snapshot, birth_statuses(view)
    held: dict[str, int] = defaultdict(int)
    assigned: dict[str, int] = defaultdict(int)
    for node in snapshot.nodes:
        pool = snapshot.pools.get(node.name)
        if pool is not None:
            held[node.group] += pool.held
            assigned[node.group] += pool.assigned
    return [
        GroupStatus(
            name=one_line(group.group, _NAME_LENGTH),
            nodes=group.nodes,
            pods=group.pods,
            held=held[group.group],
            assigned=assigned[group.group],
            text=env_text(group.recommendation.targets),
            saves=saves(group.recommendation),
            births=births.get(group.group),
        )
        for group in sorted(advice, key=lambda group: (-group.nodes, group.group))
    ]


def _traps(decision: Decision | None) -> tuple[str, ...]:
    traps = decision.traps if decision is not None else ()
    return tuple(one_line(trap, _TEXT_LENGTH) for trap in traps[:MAX_TRAPS])
