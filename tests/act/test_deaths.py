"""Death and loss at every request: the same end, one rollout a change, no original lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from aws_node import AwsNode, decision, policy
from fate import HOWS, Fate, Killed, mortal
from ippolicy.act import Actor, OutcomeKind
from ippolicy.act.history import IN_DOUBT_S
from ippolicy.errors import ActError
from ippolicy.facts import ChangePhase, EnvEntry

W, M, E = "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_ENI_TARGET"
WANTED = {W: "2", M: "20", E: "0"}
MAX_ROUNDS = 8


def live_on(node: AwsNode, fate: Fate, round_of_work: Callable[[Actor], bool]) -> None:
    """Work until it is done, restarting after each death, with time going by in between."""
    actor = mortal(node, fate)
    for _ in range(MAX_ROUNDS):
        try:
            if round_of_work(actor):
                return
        except Killed:
            actor = mortal(node, fate)
        except ActError:
            pass
        node.quiet()
        node.clock.now_s += IN_DOUBT_S
    raise AssertionError(f"not done after {MAX_ROUNDS} rounds")


def change_round(node: AwsNode) -> Callable[[Actor], bool]:
    """What the operator does each time: follow, decide as long as nothing is open, carry out."""

    def work(actor: Actor) -> bool:
        facts = node.facts()
        record = actor.follow(node.ref, facts)
        last = record.last_change if record else None
        if last is not None and last.phase in (ChangePhase.INTENDED, ChangePhase.ROLLING):
            return False
        outcome = actor.carry_out(
            policy=policy(E),
            ref=node.ref,
            decision=decision(**WANTED),
            decided_on=facts,
            now_s=node.clock(),
        )
        return outcome.kind is OutcomeKind.IN_PLACE

    return work


def run_a_whole_life(node: AwsNode, fate: Fate) -> None:
    original = node.env()
    live_on(node, fate, change_round(node))
    assert node.env() == original | WANTED
    assert node.generation == 2, "one rollout for one change"
    record = node.actor().follow(node.ref, None)
    assert record is not None
    assert record.originals == {W: None, M: None, E: EnvEntry("1")}
    assert [change.phase for change in record.changes] == [ChangePhase.COMPLETE]

    live_on(node, fate, lambda actor: actor.restore(node.ref).settled)
    node.quiet()
    assert node.env() == original
    assert node.generation == 3, "one rollout to put it back"
    assert node.record_text() is None
    assert node.our_fields() == {}


@pytest.mark.parametrize("how", HOWS)
def test_whatever_befalls_any_one_request_the_end_is_the_same(aws_node: AwsNode, how: str) -> None:
    for at in itertools.count():
        fate = Fate(at, how)
        run_a_whole_life(aws_node, fate)
        if not fate.struck:
            break
        aws_node.delete()
        aws_node.create()
    assert at >= 15, "a whole life is made of more requests than that"


@pytest.mark.parametrize("at", range(2, 6))
def test_a_process_that_dies_again_and_again_gets_there_in_the_end(
    aws_node: AwsNode, at: int
) -> None:
    class EveryNth(Fate):
        def befall(self, request: Callable[[], Any]) -> Any:
            if self.requests and self.requests % self.at == 0 and self.requests < 6 * self.at:
                self.requests += 1
                request()
                raise Killed
            self.requests += 1
            return request()

    run_a_whole_life(aws_node, EveryNth(at + 4, "killed after"))
