"""Targets go through a group node by node: tried, widened, promoted, proven; or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

import builders
from birth_fleet import STEP_S, Fleet
from ippolicy.decide.births.roll import Step
from ippolicy.decide.births.table import TEMPLATE, Stage
from ippolicy.decide.types import Reason, Verdict

WITHIN_S = 900.0
GRACES = pytest.mark.parametrize("grace_s", [0.0, 10.0, 40.0])
STEPS = int(WITHIN_S / STEP_S)
CHANGE = {"stabilization": "0s", "rollback": {"within": "15m"}}


def fleet(nodes: int = 20, *, change: dict[str, object] | None = None, **facts: object) -> Fleet:
    """One group that would hold half with W=2, and whose operator has looked for a while."""
    made = Fleet(spec={"change": {**CHANGE, **(change or {})}}, **facts)  # type: ignore[arg-type]
    made.add("web", nodes)
    made.now_s += 3_600.0
    made.want("web", 2)
    return made


def takers(made: Fleet) -> list[str]:
    """The nodes that run what is tried, in the order of their names."""
    return [n for n in made.of("web") if made.pods[n].digest == digest_of(made)]


def settled(made: Fleet, names: list[str]) -> bool:
    return not set(names) & set(made.down("web"))


def digest_of(made: Fleet) -> str:
    return made.table.trials["web"].targets.digest


def proven(made: Fleet) -> bool:
    return "web" in made.table.groups


def in_stage(made: Fleet, stage: Stage) -> bool:
    trial = made.table.trials.get("web")
    return trial is not None and trial.stage is stage


def test_one_node_tries_first_and_the_others_are_let_be() -> None:
    made = fleet()
    made.step(STEPS // 2)
    tried = digest_of(made)
    assert made.table.trials["web"].stage is Stage.CANARY
    assert made.running("web") == {tried: 1, TEMPLATE: 19}


def test_of_a_large_group_a_fiftieth_tries_first() -> None:
    made = fleet(200)
    made.step(10)
    assert made.running("web")[digest_of(made)] == 4


def test_a_node_that_is_born_meanwhile_does_not_try() -> None:
    made = fleet()
    made.step(5)
    (born,) = made.add("web", 1)
    assert made.pods[born].digest == TEMPLATE


def test_after_a_while_without_harm_a_quarter_tries_and_then_whoever_is_born() -> None:
    made = fleet()
    made.until(lambda: in_stage(made, Stage.SHARE))
    tried = digest_of(made)
    assert made.now_s - made.table.since_s <= STEP_S
    made.step(STEPS // 2)
    assert made.running("web")[tried] == 5
    made.until(lambda: in_stage(made, Stage.PROMOTED))
    (born,) = made.add("web", 1)
    assert made.pods[born].digest == tried


def test_each_stage_is_watched_for_as_long_as_a_rollback_may_take() -> None:
    made = fleet()
    began_s = made.now_s
    made.until(lambda: proven(made))
    assert made.now_s - began_s >= 3 * WITHIN_S
    steps = [one.step for one in made.news]
    assert steps == [Step.BEGUN, Step.WIDENED, Step.PROMOTED, Step.PROVEN]


def test_in_the_end_all_nodes_run_the_targets_each_restarted_once() -> None:
    made = fleet()
    made.until(lambda: proven(made) and made.running("web")[TEMPLATE] == 0)
    assert set(made.restarts.values()) == {1}
    assert len(made.restarts) == 20


def test_never_are_more_restarted_at_once_than_the_policy_allows() -> None:
    made = fleet(40, change={"restarts": {"atOnce": "5%", "most": 10}})
    while not proven(made):
        before = dict(made.pods)
        made.step()
        assert sum(made.pods[name].uid != pod.uid for name, pod in before.items()) <= 2


def test_of_a_small_group_never_two_are_restarted_at_once() -> None:
    made = fleet(3, change={"restarts": {"atOnce": "100%", "most": 10}})
    made.add("big", 30)
    made.spec["change"]["restarts"] = {"atOnce": "5%"}  # type: ignore[index]
    for _ in range(6 * STEPS):
        before = dict(made.pods)
        made.step()
        gone = [n for n, p in before.items() if made.pods[n].uid != p.uid]
        assert sum(name.startswith("web") for name in gone) <= 1


def test_a_node_that_is_soon_gone_is_not_restarted_but_for_trying() -> None:
    made = Fleet(spec={"change": CHANGE})
    made.add("web", 20, created_at_s=made.now_s - 600.0)
    made.want("web", 2)
    made.until(lambda: in_stage(made, Stage.PROMOTED))
    assert len(made.restarts) == 1, "the canary alone"
    born = made.add("web", 3)
    assert {made.pods[name].digest for name in born} == {digest_of(made)}


def test_a_cordoned_node_and_one_whose_pods_wait_are_not_restarted() -> None:
    made = fleet(4)
    for name in made.of("web")[:3]:
        made.nodes[name] = replace(made.nodes[name], unschedulable=True)
    made.step(5)
    assert [name for name, _ in made.restarts] == [made.of("web")[3]]


def test_nothing_is_restarted_before_all_who_answer_can_have_read_the_table() -> None:
    made = fleet()
    made.step()
    assert made.table.trials
    assert not made.restarts
    made.step()
    assert len(made.restarts) == 1


def test_a_pause_stops_trials_and_restarts() -> None:
    made = fleet()
    made.verdict, made.reason = Verdict.HOLD, Reason.PAUSED
    made.step(5)
    assert (made.restarts, made.table.trials) == ({}, {})
    made.verdict, made.reason = Verdict.CHANGE, Reason.AT_BIRTH
    made.step()
    began = made.table
    made.verdict = Verdict.HOLD
    made.step(3 * STEPS)
    assert made.table.trials == began.trials
    assert not made.restarts


# -- harm -----------------------------------------------------------------------------------------


def harmful(made: Fleet) -> None:
    """Whatever is not the template's makes two pods wait in each step, out of two and two."""
    made.late = lambda _, digest: 2 if digest != TEMPLATE else 0


def test_harmful_targets_never_get_beyond_the_first_node_and_are_undone() -> None:
    made = fleet()
    harmful(made)
    made.until(lambda: bool(made.told(Step.REFUSED)))
    refused = made.told(Step.REFUSED)[0].targets.digest
    assert len(made.ran[refused]) == 1
    made.until(lambda: made.running("web") == {TEMPLATE: 20})
    assert "DelayedStarts" in made.told(Step.REFUSED)[0].text
    assert made.now_s - made.table.since_s < WITHIN_S


def test_of_a_large_group_a_fiftieth_at_most_ever_ran_harmful_targets() -> None:
    made = fleet(150)
    harmful(made)
    made.until(lambda: bool(made.told(Step.REFUSED)))
    made.step(4 * STEPS)
    assert len(made.ran[made.told(Step.REFUSED)[0].targets.digest]) <= 3


def test_what_befalls_all_alike_is_not_the_doing_of_the_targets() -> None:
    made = fleet()
    made.late = lambda *_: 1
    made.until(lambda: proven(made))
    assert not made.told(Step.REFUSED)


def test_refused_targets_are_not_tried_again_before_a_while() -> None:
    made = fleet()
    harmful(made)
    made.until(lambda: bool(made.told(Step.REFUSED)))
    since_s = made.now_s
    made.until(lambda: len(made.told(Step.BEGUN)) == 2)
    assert made.now_s - since_s >= 3_600.0 - STEP_S
    made.until(lambda: len(made.told(Step.REFUSED)) == 2)
    since_s = made.now_s
    made.until(lambda: len(made.told(Step.BEGUN)) == 3)
    assert made.now_s - since_s >= 7_200.0 - STEP_S


def test_more_generous_targets_are_tried_at_once_after_leaner_ones_were_refused() -> None:
    made = fleet()
    harmful(made)
    made.until(lambda: bool(made.told(Step.REFUSED)))
    made.want("web", 6)
    made.step()
    assert made.table.trials["web"].targets.targets.warm_ip == 6


def test_what_a_group_has_refused_does_not_come_to_it_from_another_group() -> None:
    made = fleet()
    made.add("batch", 20)
    made.want("batch", 2)
    made.late = lambda group, digest: 2 if group == "web" and digest != TEMPLATE else 0
    made.until(lambda: "batch" in made.table.groups)
    made.step(STEPS // 2)
    refused = made.told(Step.REFUSED)[0].targets.digest
    assert refused == made.table.families["r5"].digest
    assert len(made.ran[refused] & set(made.of("web"))) == 1
    assert made.running("web") == {TEMPLATE: 20}
    (born,) = made.add("web", 1)
    assert made.pods[born].digest == TEMPLATE


def test_no_node_is_restarted_for_targets_that_its_group_only_borrows() -> None:
    made = fleet()
    made.add("batch", 6)
    made.until(lambda: proven(made))
    made.step(2 * STEPS)
    assert made.running("batch") == {TEMPLATE: 6}
    (born,) = made.add("batch", 1)
    assert made.pods[born].digest == made.table.families["r5"].digest


def test_harm_that_shows_late_undoes_what_was_promoted() -> None:
    made = fleet()
    made.until(lambda: in_stage(made, Stage.PROMOTED))
    # Late starts on those that try, and none on the few that are left of the others.
    harmful(made)
    made.until(lambda: bool(made.told(Step.REFUSED)))
    made.until(lambda: made.running("web") == {TEMPLATE: 20})
    assert not proven(made)


@pytest.mark.parametrize("nodes", [2, 4, 20])
def test_an_aws_node_that_the_targets_keep_from_starting_is_made_anew(nodes: int) -> None:
    made = fleet(nodes)
    made.breaks = lambda digest: digest != TEMPLATE
    made.until(lambda: bool(made.told(Step.REFUSED)))
    assert "PodsNotReady" in made.told(Step.REFUSED)[0].text
    made.until(lambda: made.running("web") == {TEMPLATE: nodes}, most=5)


def test_an_aws_node_that_does_not_start_for_another_reason_is_let_be() -> None:
    made = fleet()
    made.breaks = lambda digest: digest == TEMPLATE
    made.step(STEPS)
    assert not made.restarts


def test_undoing_goes_on_while_the_decision_holds_and_stops_in_a_pause() -> None:
    made = fleet()
    harmful(made)
    made.until(lambda: made.running("web")[TEMPLATE] == 19)
    made.verdict, made.reason = Verdict.HOLD, Reason.GROW_ONLY
    made.until(lambda: bool(made.told(Step.REFUSED)))
    made.until(lambda: made.running("web") == {TEMPLATE: 20})


# -- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [0, 1])
def test_who_goes_on_after_a_death_deletes_what_was_not_deleted_and_no_successor(
    deleted: int,
) -> None:
    made = fleet()
    for number in range(60):
        made.step(dies_before_deleting=deleted)
        made.step(number % 7 * 16)
    assert proven(made)
    assert made.running("web")[TEMPLATE] == 0
    assert set(made.restarts.values()) == {1}


def test_pods_born_without_the_webhook_are_counted_and_made_anew_within_budget() -> None:
    made = fleet()
    made.until(lambda: proven(made) and made.running("web")[TEMPLATE] == 0)
    made.webhook = False
    made.add("web", 100)
    made.webhook = True
    restarted = len(made.restarts)
    assert made.running("web")[TEMPLATE] == 100
    while made.running("web")[TEMPLATE]:
        before = dict(made.pods)
        made.step()
        assert sum(made.pods[n].uid != p.uid for n, p in before.items()) <= 6
    assert len(made.restarts) == restarted + 100


@GRACES
def test_a_node_that_comes_back_without_its_targets_is_not_restarted_again_at_once(
    grace_s: float,
) -> None:
    made = fleet(grace_s=grace_s)
    made.webhook = False
    made.until(lambda: bool(made.restarts))
    ((canary, _),) = made.restarts
    made.until(lambda: canary not in made.down("web"))
    made.webhook = True
    made.step(10)
    assert made.restarts[canary, digest_of(made)] == 1
    assert made.running("web")[digest_of(made)] == 1, "another node tries in its place"


@GRACES
def test_with_a_webhook_that_nobody_reaches_few_nodes_are_restarted_in_vain(grace_s: float) -> None:
    made = fleet(40, grace_s=grace_s)
    made.until(lambda: in_stage(made, Stage.PROMOTED))
    before, made.webhook = len(made.restarts), False
    made.step(STEPS // 2)
    assert len(made.restarts) - before <= 4, "three in vain, and one on its way"
    assert made.last is not None
    assert "does not reach the webhook" in made.last.held
    made.step(8 * STEPS)
    assert sum(made.restarts.values()) - before <= 4 * 4, "tried again after waits that double"
    made.webhook = True
    made.until(lambda: made.running("web")[TEMPLATE] == 0)


def test_while_the_watch_of_pods_stalls_those_that_were_told_to_go_stay_counted() -> None:
    made = fleet(40, grace_s=20.0, change={"restarts": {"atOnce": "10%"}})
    made.until(lambda: in_stage(made, Stage.PROMOTED) and len(made.down("web")) == 4)
    made.stalls = True
    made.waits = dict.fromkeys(made.down("web"), 1)
    for _ in range(3):
        made.step()
        assert not made.went
    made.stalls, made.waits = False, {}
    made.until(lambda: made.running("web")[TEMPLATE] == 0)


def test_a_canary_that_is_without_an_aws_node_for_long_is_waited_for() -> None:
    made = fleet(grace_s=120.0)
    made.until(lambda: bool(made.went))
    (canary,) = made.went
    made.left_out = True
    made.step(6)
    made.left_out = False
    made.until(lambda: in_stage(made, Stage.SHARE))
    assert made.ran[digest_of(made)] == {canary}


def test_nodes_that_are_without_an_aws_node_for_long_stay_counted() -> None:
    made = fleet(40, change={"restarts": {"atOnce": "10%"}})
    made.until(lambda: in_stage(made, Stage.SHARE))
    made.grace_s = 3_600.0
    made.until(lambda: len(made.down("web")) == 4)
    made.left_out = True
    for _ in range(200):
        made.step()
        assert not made.went
    made.left_out, made.grace_s = False, 0.0
    made.until(lambda: made.running("web")[TEMPLATE] == 0)


def test_a_node_that_went_while_its_aws_node_was_made_anew_holds_up_no_other() -> None:
    made = fleet(40, grace_s=20.0, change={"restarts": {"most": 1}})
    made.until(lambda: in_stage(made, Stage.PROMOTED) and len(made.down("web")) == 1)
    made.remove(made.down("web")[0])
    made.step()
    assert made.went
    made.until(lambda: made.running("web")[TEMPLATE] == 0)
    assert len(made.table.restarts) <= 1, "and is forgotten after a while"


@pytest.mark.parametrize("stage", list(Stage))
def test_a_pod_that_somebody_tells_to_go_is_no_harm_of_its_targets(stage: Stage) -> None:
    made = fleet(grace_s=40.0)
    made.until(
        lambda: in_stage(made, stage) and bool(tried := takers(made)) and settled(made, tried)
    )
    made.step(STEPS // 2)
    made.end(takers(made)[0])
    made.until(lambda: proven(made))
    assert not made.table.refused


@pytest.mark.parametrize(("unready_s", "trips"), [(60.0, False), (240.0, True)])
def test_an_old_pod_that_is_not_ready_is_harm_once_it_was_so_for_a_while(
    unready_s: float, *, trips: bool
) -> None:
    made = fleet()
    made.until(lambda: in_stage(made, Stage.PROMOTED))
    made.step(20)
    (one, *_) = takers(made)
    made.pods[one].unready_since_s = made.now_s
    made.step(round(unready_s / STEP_S))
    assert bool(made.table.refused) is trips


def test_ready_pods_that_were_not_read_yet_are_no_harm_of_their_targets() -> None:
    made = fleet()
    made.until(lambda: in_stage(made, Stage.PROMOTED))
    made.step(20)
    made.unread = set(takers(made)[:1])
    made.forget()
    made.step(3)
    assert not made.table.refused
    assert in_stage(made, Stage.PROMOTED)


def test_a_canary_that_goes_is_replaced() -> None:
    made = fleet()
    made.step(5)
    (canary,) = made.table.trials["web"].nodes
    made.remove(canary)
    made.step(5)
    (other,) = made.table.trials["web"].nodes
    assert other != canary
    assert made.pods[other].digest == digest_of(made)


def test_while_the_owner_rolls_the_daemonset_nothing_is_restarted() -> None:
    made = fleet()
    original = made.snapshot

    def rolling():  # noqa: ANN202
        found = original()
        assert found.daemon_set is not None
        rollout = replace(found.daemon_set.rollout, updated=12)
        return replace(found, daemon_set=replace(found.daemon_set, rollout=rollout))

    made.snapshot = rolling  # type: ignore[method-assign]
    made.step(10)
    assert not made.restarts
    assert made.last is not None
    assert "rolled out by its owner" in made.last.held


def test_a_group_in_need_of_more_addresses_has_them_within_minutes() -> None:
    made = fleet()
    made.want("web", 30, present_meets=False)
    began_s = made.now_s
    made.until(lambda: made.running("web")[TEMPLATE] == 0)
    assert made.now_s - began_s < 3_600.0


def test_no_group_has_more_for_an_hour_after_the_brake_gave_back_addresses() -> None:
    made = fleet()
    braked = builders.change(reason=Reason.SUBNET_PRESSURE, group="jobs", intended_at_s=made.now_s)
    made.record = replace(builders.record(), group_changes=(braked,))
    made.want("web", 30, present_meets=False)
    began_s = made.now_s
    made.until(lambda: "web" in made.table.trials)
    assert made.now_s - began_s >= 3_600.0


@pytest.mark.parametrize(("sure", "restarted"), [(0.05, 20), (0.5, 5)])
def test_running_nodes_are_restarted_for_more_only_where_they_hardly_ever_serve(
    sure: float, restarted: int
) -> None:
    made = fleet()
    made.want("web", 30, present_meets=False, present_sure=sure)
    made.until(lambda: proven(made))
    made.step(2 * STEPS)
    assert len(made.restarts) <= restarted
    assert (len(made.restarts) == 20) == (restarted == 20)
    (born,) = made.add("web", 1)
    assert made.pods[born].digest == made.table.groups["web"].digest


def test_what_a_group_is_in_need_of_takes_the_place_of_what_it_tries_at_leisure() -> None:
    made = fleet()
    made.step(5)
    made.want("web", 30, present_meets=False)
    made.step()
    trial = made.table.trials["web"]
    assert (trial.targets.targets.warm_ip, trial.urgent) == (30, True)
    made.until(lambda: proven(made))
    assert made.table.groups["web"].targets.warm_ip == 30


@pytest.mark.parametrize("nodes", [1, 2, 5, 20])
def test_groups_of_any_size_come_to_rest(nodes: int) -> None:
    made = fleet(nodes)
    made.step(20 * STEPS)
    texts = {made.stored}
    made.step(10)
    assert {made.stored} == texts
