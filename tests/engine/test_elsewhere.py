"""One rollout at a time over all policies, and no write once a pause has come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine_fakes import OTHER, REF, Rig, raw_policy
from ippolicy.account.view import View
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.api import IPPolicy
from ippolicy.decide.decision import Inputs
from ippolicy.decide.types import Decision, Reason, Verdict
from ippolicy.engine import deciding
from ippolicy.engine.elsewhere import Elsewhere
from ippolicy.engine.policies import Standing
from ippolicy.facts import ChangePhase
from views import a_change, a_daemon_set, a_decision, a_record, a_snapshot
from virtual_loop import in_virtual_time

A = Standing(IPPolicy.from_raw(raw_policy("a")), REF, None)
B = Standing(IPPolicy.from_raw(raw_policy("b", OTHER)), OTHER, None)
NOT_YET = "DaemonSet kube-system/aws-node of policy a was not looked at yet, and may be rolling out"
ROLLS = (
    "DaemonSet kube-system/aws-node of policy a is rolling out: "
    "one rollout at a time over all policies"
)


def seen(phase: ChangePhase = ChangePhase.COMPLETE, **rollout: Any) -> View:
    facts = a_daemon_set()
    facts = replace(facts, rollout=replace(facts.rollout, **rollout))
    record = a_record(a_change(phase))
    return View(A.policy, a_snapshot(daemon_set=facts), record=record)


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (seen(), ""),
        (seen(ChangePhase.INTENDED), ROLLS),
        (seen(ChangePhase.ROLLING), ROLLS),
        (seen(updated=3), ROLLS),  # somebody else's rollout
        (seen(ChangePhase.ROLLING, updated=3, strategy="OnDelete"), ""),
    ],
)
def test_what_rolls_elsewhere_is_told_by_its_policy(view: View, told: str) -> None:
    elsewhere = Elsewhere()
    assert elsewhere.rollout(OTHER, [A, B]) == NOT_YET
    elsewhere.note(A, view)
    assert elsewhere.rollout(OTHER, [A, B]) == told
    assert elsewhere.rollout(REF, [A]) == ""


def test_a_pass_that_fails_changes_nothing_known() -> None:
    elsewhere = Elsewhere()
    elsewhere.note(A, None)
    assert elsewhere.rollout(OTHER, [A, B]) == ""
    elsewhere.note(A, seen(ChangePhase.ROLLING))
    elsewhere.note(A, None)
    assert elsewhere.rollout(OTHER, [A, B]) == ROLLS


def test_a_policy_that_leaves_its_daemon_set_to_an_older_one_says_nothing_of_it() -> None:
    elsewhere = Elsewhere()
    elsewhere.note(A, seen(ChangePhase.ROLLING))
    young = replace(A, rival="a")
    elsewhere.note(young, View(A.policy, a_snapshot(), rival="a"))
    assert elsewhere.rollout(OTHER, [A, young, B]) == ROLLS


def test_a_daemon_set_of_no_policy_is_forgotten() -> None:
    elsewhere = Elsewhere()
    elsewhere.note(A, seen(ChangePhase.ROLLING))
    elsewhere.keep({OTHER})
    assert elsewhere.rollout(OTHER, [A, B]) == NOT_YET


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Every policy is to change unless something rolls elsewhere; what the list has comes then."""
    meanwhile: list[Callable[[], None]] = []

    def decide(inputs: Inputs) -> Decision:
        for happen in meanwhile:
            happen()
        if inputs.elsewhere:
            held = a_decision(Reason.OTHER_ROLLOUT)
            return replace(held, message=inputs.elsewhere)
        change = a_decision(Reason.SAVES_ADDRESSES)
        return replace(change, verdict=Verdict.CHANGE, env={"WARM_IP_TARGET": "2"})

    monkeypatch.setattr(deciding, "decide", decide)
    return meanwhile


@in_virtual_time
async def test_two_policies_never_roll_at_once(decided: list[Callable[[], None]]) -> None:
    rig = Rig()
    rig.actor.outcome = Outcome(OutcomeKind.WRITTEN, "set", change=a_change(ChangePhase.ROLLING))
    rig.take(raw_policy("a"), raw_policy("b", OTHER))
    await rig.engine.tick()
    # Of the other's DaemonSet, only the second knew.
    assert [what["ref"] for what in rig.actor.carried_out] == [OTHER]
    await rig.engine.tick()
    decision = rig.view("a").decision
    assert decision is not None
    assert "policy b is rolling out" in decision.message
    assert REF not in [what["ref"] for what in rig.actor.carried_out]


@in_virtual_time
async def test_a_pause_that_comes_in_while_the_lease_is_confirmed_stops_the_write(
    decided: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig()
    rig.take(raw_policy())

    async def confirm() -> bool:
        paused = {"annotations": {"ippolicy.dev/paused": "true"}}
        rig.take(raw_policy(metadata=paused))
        return True

    monkeypatch.setattr(rig.engine._office, "confirm", confirm)
    await rig.engine.tick()
    assert rig.actor.carried_out == []
    outcome = rig.view().outcome
    assert outcome is not None
    assert outcome.message == "policy default changed meanwhile: decide again"
