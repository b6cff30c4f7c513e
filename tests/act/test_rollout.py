from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW_S, agent, daemon_set, rollout, snapshot
from ippolicy.act import RolloutPhase, RolloutWatch, rollout_state
from ippolicy.act.rollout import begun_s, nodes_left
from ippolicy.facts import Agent, DaemonSetFacts


def facts(generation: int = 2, **changes: Any) -> DaemonSetFacts:
    return daemon_set(generation=generation, rollout=rollout(**changes))


def agents(*made_s: float) -> dict[str, Agent]:
    """An aws-node pod a node, made then."""
    return {f"node-{n}": agent(n, created_at_s=at_s) for n, at_s in enumerate(made_s)}


ROLLING = {"observed_generation": 2, "updated": 4, "available": 9}


@pytest.mark.parametrize(
    ("now", "idle_s", "phase", "message"),
    [
        (facts(observed_generation=1), 5, RolloutPhase.NOT_STARTED, "not started yet"),
        (
            facts(observed_generation=1, available=4),
            5,
            RolloutPhase.UNHEALTHY,
            "only 4 of 10 pods available: look at its pods",
        ),
        (facts(**ROLLING), 5, RolloutPhase.ROLLING, "4 of 10 pods updated, 9 of 10"),
        (facts(**ROLLING), 600, RolloutPhase.STUCK, "no progress for 600 s: look at its events"),
        (facts(observed_generation=1), 600, RolloutPhase.STUCK, "has not seen the change"),
        (facts(**ROLLING, strategy="OnDelete"), 600, RolloutPhase.BLOCKED, "restart the other"),
        (
            facts(observed_generation=2, available=3, strategy="OnDelete"),
            600,
            RolloutPhase.ROLLING,
            "10 of 10 pods updated, 3 of 10 pods available",
        ),
        (facts(observed_generation=2), 600, RolloutPhase.COMPLETE, "10 of 10 pods updated"),
        (
            facts(observed_generation=2, desired=0, updated=0, available=0),
            0,
            RolloutPhase.COMPLETE,
            "0",
        ),
    ],
)
def test_where_a_rollout_stands(
    now: DaemonSetFacts, idle_s: float, phase: RolloutPhase, message: str
) -> None:
    watch = RolloutWatch.seen(None, now, now_s=1000.0)
    state = rollout_state(now, watch, generation=2, stuck_after_s=300.0, now_s=1000.0 + idle_s)
    assert state.phase is phase
    assert message in state.message
    assert state.message.startswith("DaemonSet kube-system/aws-node: ")


def test_pods_of_the_former_template_are_not_counted_as_updated() -> None:
    now = facts(observed_generation=1, updated=10)
    watch = RolloutWatch.seen(None, now, now_s=0.0)
    state = rollout_state(now, watch, generation=2, stuck_after_s=300.0, now_s=0.0)
    assert (state.updated, state.desired) == (0, 10)


def test_only_going_further_than_ever_is_progress() -> None:
    watch = RolloutWatch.seen(None, facts(**ROLLING), now_s=0.0)
    fewer = facts(**ROLLING | {"available": 7})
    same = facts(**ROLLING)
    further = facts(**ROLLING | {"updated": 5, "available": 7})
    for at_s, seen in ((10.0, fewer), (20.0, same)):
        watch = RolloutWatch.seen(watch, seen, now_s=at_s)
        assert watch.since_s == 0.0
    assert RolloutWatch.seen(watch, further, now_s=30.0).since_s == 30.0


def test_another_change_begins_anew() -> None:
    watch = RolloutWatch.seen(None, facts(**ROLLING), now_s=0.0)
    newer = replace(facts(**ROLLING | {"updated": 0}), generation=3)
    assert RolloutWatch.seen(watch, newer, now_s=40.0) == RolloutWatch(3, 0, 9, 40.0)


def test_a_change_that_waits_for_restarts_of_the_user_names_the_nodes_without_it() -> None:
    written_at_s = NOW_S + 0.7
    made_s = [NOW_S if n < 3 else NOW_S - 1 for n in range(10)]
    left = nodes_left(snapshot(agents=agents(*made_s)), written_at_s)
    assert left == [f"node-{n}" for n in range(3, 10)]
    now = facts(observed_generation=2, updated=3, strategy="OnDelete")
    watch = RolloutWatch.seen(None, now, now_s=0.0)
    state = rollout_state(now, watch, generation=2, stuck_after_s=300.0, now_s=864_000.0, left=left)
    assert state.phase is RolloutPhase.BLOCKED
    assert state.message == (
        "DaemonSet kube-system/aws-node: 3 of 10 pods updated, updateStrategy OnDelete: restart "
        "the other pods yourself, or set RollingUpdate; not yet on node-3, node-4, node-5, node-6, "
        "node-7 and 2 more"
    )


def test_a_change_begins_with_the_first_pod_that_the_user_restarts() -> None:
    some = agents(NOW_S - 9, NOW_S + 60, NOW_S + 90)
    waits = snapshot(agents=some, daemon_set=facts(strategy="OnDelete"))
    assert begun_s(waits, NOW_S + 0.5) == NOW_S + 60
    assert begun_s(snapshot(agents=some), NOW_S + 0.5) == NOW_S + 0.5
    nobody = snapshot(agents=agents(NOW_S - 9), daemon_set=facts(strategy="OnDelete"))
    assert begun_s(nobody, NOW_S + 0.5) == NOW_S + 0.5
