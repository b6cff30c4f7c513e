"""What groups try, what they were refused and who is behind is told where people look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import builders
from ippolicy.account import birth_metrics
from ippolicy.account.conditions import conditions
from ippolicy.account.samples import samples
from ippolicy.account.status import MAX_BYTES, json_bytes, status_document
from ippolicy.account.transitions import transitions
from ippolicy.account.view import View
from ippolicy.account.words import timestamp
from ippolicy.api import PAUSED_ANNOTATION
from ippolicy.decide.births.ledger import follow
from ippolicy.decide.births.progress import progress
from ippolicy.decide.births.table import (
    Grounds,
    GroupTargets,
    PolicyTable,
    Refused,
    Restart,
    Stage,
    Trial,
)
from ippolicy.decide.types import GroupAdvice
from ippolicy.facts import Agent, Measured, NodeFacts, Record
from ippolicy.ipamd import WarmTargets
from views import NOW_S, a_decision, a_policy, a_recommendation, a_snapshot, a_view

LEAN = GroupTargets(WarmTargets(warm_ip=2, minimum_ip=10), 3)
CAUSE = "DelayedStarts: 9 of 20 starts waited for EC2, 0 of 400 on the other nodes of the group"
REFUSED = Refused(LEAN, NOW_S + 3_600, 1, "", CAUSE)
ADMISSION = {"mode": "Apply", "apply": {"method": "Admission"}}


def tries(stage: Stage = Stage.CANARY, since_s: float = NOW_S - 720.0) -> Trial:
    nodes = () if stage is Stage.PROMOTED else ("node-0",)
    return Trial(LEAN, stage, since_s, nodes, Grounds(NOW_S - 900.0))


def nodes_of(groups: Mapping[str, int]) -> tuple[NodeFacts, ...]:
    named = [group for group, count in groups.items() for _ in range(count)]
    return tuple(builders.node(n, group=group) for n, group in enumerate(named))


def told(table: PolicyTable, *, groups: Mapping[str, int] | None = None, **other: Any) -> View:
    """A pass over groups whose pods are born by `table`, and were all born by their template."""
    nodes = nodes_of(groups or {"web": 20})
    agents: dict[str, Agent] = {node.name: builders.agent() for node in nodes}
    snapshot = replace(a_snapshot(), nodes=nodes, agents=agents)
    advice = tuple(
        GroupAdvice(group, count, 20 * count, a_recommendation())
        for group, count in (groups or {"web": 20}).items()
    )
    known = {
        "policy": a_policy(spec=ADMISSION),
        "snapshot": snapshot,
        "decision": replace(a_decision(), groups=advice),
        "table": table,
        "births": progress(table, nodes, agents, {"web": 0.0} if table.groups else {}),
    }
    return a_view(**known | other)


def condition(view: View, kind: str) -> tuple[str, str, str]:
    found = next(one for one in conditions(view, (), NOW_S) if one.type == kind)
    return found.status, found.reason, found.message


def group(view: View) -> dict[str, Any]:
    (found,) = status_document(view, {}, NOW_S)["groups"]
    births: dict[str, Any] = found["births"]
    return births


TRYING = PolicyTable("default", trials={"web": tries()})


def test_a_trial_is_told_in_one_line_and_in_the_status_of_its_group() -> None:
    view = told(TRYING)
    assert condition(view, "Progressing") == (
        "True",
        "TrialUnderWay",
        "group web tries WARM_IP_TARGET=2 MINIMUM_IP_TARGET=10 on 1 of its 20 nodes (Canary, for "
        "12m); 0 of 1 nodes have the targets of their group, a node is restarted where that "
        "repays; behind are node-0",
    )
    assert condition(view, "RolledBack")[0] == "False"
    assert group(view)["trial"] == {
        "stage": "Canary",
        "text": "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=10",
        "nodes": 1,
        "names": ["node-0"],
        "since": timestamp(NOW_S - 720.0),
    }
    assert group(view)["behind"] == ["node-0"]


def test_once_promoted_whoever_is_born_tries_it() -> None:
    view = told(PolicyTable("default", trials={"web": tries(Stage.PROMOTED)}))
    assert "on whoever is born of its 20 nodes (Promoted" in condition(view, "Progressing")[2]
    assert group(view)["trial"]["nodes"] == 20
    assert group(view)["trial"]["names"] == []


def test_of_many_trials_the_newest_is_told_and_the_others_counted() -> None:
    trials = {"web": tries(), "batch": tries(Stage.SHARE, NOW_S - 60.0)}
    view = told(PolicyTable("default", trials=trials), groups={"web": 20, "batch": 3})
    assert condition(view, "Progressing")[2].startswith(
        "group batch tries WARM_IP_TARGET=2 MINIMUM_IP_TARGET=10 on 1 of its 3 nodes (Share, for "
        "1m), 1 more groups try others;"
    )


def test_a_pause_says_that_a_trial_stands_still() -> None:
    paused = a_policy(spec=ADMISSION, annotations={PAUSED_ANNOTATION: "true"})
    message = condition(told(TRYING, policy=paused), "Progressing")[2]
    assert "; all stands still: " in message


def test_a_refusal_names_group_targets_guard_and_until_when() -> None:
    view = told(PolicyTable("default", refused={"web": (REFUSED,)}))
    status, reason, message = condition(view, "RolledBack")
    assert (status, reason) == ("True", "DelayedStarts")
    assert message.startswith(
        f"group web tried WARM_IP_TARGET=2 MINIMUM_IP_TARGET=10, which did harm, {CAUSE}: its nodes"
        " go back, and it is not tried before "
    )
    assert condition(view, "Progressing") == ("False", "Idle", "no change is under way")
    (shown,) = group(view)["refused"]
    assert (shown["text"], shown["cause"]) == ("WARM_IP_TARGET=2 MINIMUM_IP_TARGET=10", CAUSE)


def test_it_is_told_until_it_may_be_tried_again_or_another_got_through() -> None:
    over = told(PolicyTable("default", refused={"web": (replace(REFUSED, until_s=NOW_S - 1),)}))
    assert condition(over, "RolledBack")[0] == "False"
    own = {"web": GroupTargets(WarmTargets(warm_ip=4, minimum_ip=10), 4)}
    through = told(PolicyTable("default", groups=own, refused={"web": (REFUSED,)}))
    assert condition(through, "RolledBack")[0] == "False"
    before = {"web": GroupTargets(WarmTargets(warm_ip=4, minimum_ip=10), 2)}
    back = told(PolicyTable("default", groups=before, refused={"web": (REFUSED,)}))
    assert condition(back, "RolledBack")[0] == "True"


def test_nodes_that_were_born_without_are_counted_and_named() -> None:
    view = told(PolicyTable("default", groups={"web": LEAN}))
    message = condition(view, "Progressing")[2]
    assert message == (
        "0 of 20 nodes have the targets of their group, a node is restarted where that repays, 20 "
        "of the others were born without though they were in force; behind are node-0, node-1, "
        "node-10, node-11, node-12, …"
    )
    assert group(view)["missed"] == 20
    assert len(group(view)["behind"]) == 5


def test_gauges_tell_of_trials_refusals_and_restarts() -> None:
    table = replace(
        TRYING,
        refused={"batch": (REFUSED,)},
        restarts={"node-0": Restart("uid", LEAN.digest, NOW_S)},
    )
    view = told(table, groups={"web": 20, "batch": 2})
    found = {(one.metric, one.labels): one.value for one in samples(view, ())}
    assert found[birth_metrics.TRIAL_NODES, ("default", "web", "Canary")] == 1
    assert found[birth_metrics.REFUSED_TARGETS, ("default", "batch")] == 1
    assert found[birth_metrics.REFUSED_TARGETS, ("default", "web")] == 0
    assert found[birth_metrics.RESTARTS_UNDER_WAY, ("default",)] == 1
    assert found[birth_metrics.MISSED_NODES, ("default", "web")] == 0
    assert found[birth_metrics.BORN_NODES, ("default", "web", "template")] == 20


def recorded(table: PolicyTable) -> Record:
    return follow(Record("1b", "uid", {}, ()), table, NOW_S)


def test_changes_of_groups_are_shown_with_the_group_newest_first() -> None:
    trials = {
        "web": replace(tries(Stage.PROMOTED), grounds=Grounds(NOW_S - 900.0, "SavesAddresses")),
        "batch": replace(tries(), grounds=Grounds(NOW_S - 60.0, "StartsFaster")),
    }
    table = PolicyTable("default", trials=trials)
    view = told(table, record=recorded(table))
    batch, web = status_document(view, {}, NOW_S)["changes"]
    assert (batch["group"], batch["phase"], batch["reason"]) == (
        "batch",
        "Rolling",
        "StartsFaster",
    )
    assert (web["group"], web["phase"], web["took"]) == ("web", "Complete", "3m")
    assert "generation" not in web
    assert view.change_under_way is None, "no rollout of the DaemonSet is under way"
    assert not view.drifts


def test_what_was_measured_of_a_group_is_told_once() -> None:
    table = PolicyTable("default", trials={"web": tries(Stage.PROMOTED)})
    record = recorded(table)
    before = told(table, record=record)
    shown = status_document(before, {}, NOW_S)
    (change,) = record.group_changes
    found = Measured(900, NOW_S, 400, 440.0)
    after = told(table, record=replace(record, group_changes=(replace(change, measured=(found,)),)))
    again = status_document(after, shown, NOW_S)
    (event,) = [one for one in transitions(after, shown, again) if one.reason == "ChangeMeasured"]
    assert event.message.startswith("group web: MINIMUM_IP_TARGET=10 WARM_IP_TARGET=2: 15m after")
    assert not [one for one in transitions(after, again, again) if one.reason == "ChangeMeasured"]


def test_of_five_thousand_nodes_in_fifty_groups_the_status_stays_small() -> None:
    groups = {f"eks-{'x' * 40}-{n:02}": 100 for n in range(50)}
    long_name = "ip-10-120-130-140.ap-southeast-2.compute.internal"
    refused = tuple(replace(REFUSED, cause=CAUSE * 5, targets=LEAN) for _ in range(4))
    trial = replace(tries(Stage.SHARE), nodes=(long_name,) * 25)
    table = PolicyTable(
        "default",
        groups=dict.fromkeys(groups, LEAN),
        trials=dict.fromkeys(groups, trial),
        refused=dict.fromkeys(groups, refused),
    )
    view = told(table, groups=groups, record=recorded(table))
    births = tuple(replace(one, behind=(long_name,) * 5, missed=7) for one in view.births)
    document = status_document(replace(view, births=births), {}, NOW_S)
    assert json_bytes(document) <= MAX_BYTES
    assert len(document["groups"]) + document.get("moreGroups", 0) == 50
    assert len(document["groups"]) >= 25
    assert document["changes"]
