"""Death and loss at every request: the same end, one rollout a change, no original lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from aws_node import AwsNode, decision, policy
from fate import HOWS, Fate, Killed, change_round, live_on, mortal
from ippolicy.act import Actor
from ippolicy.act.history import IN_DOUBT_S
from ippolicy.facts import ChangePhase, EnvEntry

W, M, E = "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_ENI_TARGET"
WANTED = {W: "2", M: "20", E: "0"}
MAX_ROUNDS = 8


def live(node: AwsNode, fate: Fate, work: Callable[[Actor], bool]) -> None:
    """Work until it is done, whatever befalls."""

    def time_goes_by() -> None:
        node.quiet()
        node.clock.now_s += IN_DOUBT_S

    live_on(lambda: mortal(node, fate), work, time_goes_by, rounds=MAX_ROUNDS)


def run_a_whole_life(node: AwsNode, fate: Fate) -> None:
    original = node.env()
    live(node, fate, change_round(node, policy(E), decision(**WANTED)))
    assert node.env() == original | WANTED
    assert node.generation == 2, "one rollout for one change"
    record = node.actor().follow(node.ref, None)
    assert record is not None
    assert record.originals == {W: None, M: None, E: EnvEntry("1")}
    assert [change.phase for change in record.changes] == [ChangePhase.COMPLETE]

    live(node, fate, lambda actor: actor.restore(node.ref).settled)
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
        def befall(self, request: Callable[[], Any], lost: Exception | None = None) -> Any:
            if self.requests and self.requests % self.at == 0 and self.requests < 6 * self.at:
                self.requests += 1
                request()
                raise Killed
            self.requests += 1
            return request()

    run_a_whole_life(aws_node, EveryNth(at + 4, "killed after"))
