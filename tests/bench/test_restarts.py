"""A switch of targets is a restart of aws-node, and is charged as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from warmpool import restarts
from warmpool.families import pods_of
from warmpool.restarts import RESTART_S, RestartedNode, Switch, play_switched
from warmpool.statics import play_statics
from warmpool.terms import LEARN_S, SPAN_S

from ippolicy.ipamd import PoolSettings, WarmTargets

LEAN, AMPLE = WarmTargets(warm_ip=2), WarmTargets(warm_ip=2, minimum_ip=20)


def node(*switches: Switch, first: WarmTargets = LEAN) -> RestartedNode:
    made = RestartedNode(switches, seed=1)
    made.boot(PoolSettings(first))
    made.advance(60.0)
    return made


def test_every_add_fails_for_ten_seconds_and_pods_keep_their_addresses() -> None:
    made = node(Switch(100, AMPLE))
    assert made.add_pod("before")
    for second in range(100, 100 + RESTART_S):
        made.advance(second + 0.05)
        assert not made.add_pod("meanwhile")
    made.advance(100 + RESTART_S + 0.05)
    assert made.add_pod("after")
    assert set(made.ipamd.checkpoint()) == {"before", "after"}


@pytest.mark.parametrize(("first", "enis"), [(LEAN, 1), (WarmTargets(), 2)])
def test_a_restart_costs_two_calls_and_two_an_eni(first: WarmTargets, enis: int) -> None:
    made = node(Switch(200, first), first=first)
    assert made.add_pod("one")
    made.advance(199.0)
    assert len(made.ipamd.store.enis) == enis
    before = made.cloud.calls.total()
    made.advance(200.0 + RESTART_S)
    assert made.cloud.calls.total() - before == 2 + 2 * enis == made.restart_calls


def test_nothing_is_managed_while_aws_node_restarts_and_the_new_targets_rule_after_it() -> None:
    made = node(Switch(100, AMPLE))
    made.advance(100.0)
    for pod in range(2):
        assert made.ipamd.add_pod(f"pod-{pod}")  # past the CNI: nothing is left to spare
        made.touch()
    made.advance(109.0)
    assert made.ipamd.store.count().total == 2
    made.advance(140.0)
    assert made.ipamd.store.count().total == 20


def test_switches_are_scored_with_their_calls_and_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = pods_of("hourly-batch", 1, 10)
    plain = play_switched(pods, AMPLE, [], floor_pct=0.0, seed=1)
    hour = LEARN_S + 9 * 3_600
    early = play_switched(pods, AMPLE, [Switch(hour - 600, AMPLE)], floor_pct=0.0, seed=1)
    assert 4 <= early.calls - plain.calls <= 80  # one restart, and what is undone by it
    late = play_switched(pods, AMPLE, [Switch(hour, AMPLE)], floor_pct=0.0, seed=1)
    in_time = np.count_nonzero((pods[:, 0] >= hour) & (pods[:, 0] < hour + RESTART_S))
    scored = np.count_nonzero((pods[:, 0] >= LEARN_S) & (pods[:, 0] < SPAN_S))
    assert in_time >= 6
    assert late.delayed_pct - plain.delayed_pct > 50.0 * in_time / scored
    assert replace(plain, avoidable_pct=0.0) == play_switched(
        pods, AMPLE, [], floor_pct=100.0, seed=1
    )
    assert restarts.RESTART_S == 10


def test_without_switches_it_is_the_same_as_a_setting_that_stays() -> None:
    pods = pods_of("diurnal", 3, 10)
    stays = play_statics(pods, [LEAN], seed=1).of(0)
    mine = play_switched(pods, LEAN, [], floor_pct=0.0, seed=1)
    assert mine.idle == pytest.approx(stays.idle, rel=0.01)
    assert mine.calls == pytest.approx(stays.calls, rel=0.03)
    assert mine.simple_calls == pytest.approx(stays.simple_calls, rel=0.03)
    assert mine.delayed_pct == pytest.approx(stays.delayed_pct, abs=0.8)
