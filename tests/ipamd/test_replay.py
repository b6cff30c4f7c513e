"""Traces are replayed second by second, with EC2's own time."""

from __future__ import annotations

import pytest

from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.cloud import Latency
from ippolicy.ipamd.replay import TraceResult, replay_trace
from ippolicy.ipamd.scenario import Event, Scenario, observe

NODE = NodeShape("m5.xlarge", 4, 15, 58)


def replay(
    pods: list[tuple[int, int]], warm_ip: int = 0, horizon_s: int = 3600, **more: object
) -> TraceResult:
    settings = PoolSettings(WarmTargets(1, warm_ip))
    return replay_trace(NODE, settings, pods, seed=1, horizon_s=horizon_s, **more)


def test_a_node_without_pods_holds_its_first_pool_and_calls_nothing_more() -> None:
    result = replay([], leak_scans=False)
    assert (result.mean_held, result.mean_assigned, result.mean_enis) == (14, 0, 1)
    assert result.calls == result.calls_at_start
    assert result.delayed_share == 0
    assert result.mean_idle == 14


def test_levels_are_means_over_time() -> None:
    result = replay([(0, 1800)], warm_ip=5, leak_scans=False)
    assert result.mean_assigned == pytest.approx(0.5, abs=0.001)
    assert result.mean_idle == pytest.approx(5, abs=0.01)
    assert (result.max_held, result.max_assigned) == (6, 1)


def test_a_pod_waits_for_the_pass_and_for_ec2() -> None:
    result = replay([(10, 100), (10, 100), (10, 100)], warm_ip=2)
    assert result.delayed_pods == 1
    # The pass at 12.5 s asks, EC2 answers at 14.5 s, and the pod asks again at 15 s.
    assert result.wait_s == result.max_wait_s == 5
    assert result.delayed_cooling == result.unserved_pods == 0


def test_retries_come_as_often_as_told() -> None:
    pods = [(10, 100), (10, 100), (10, 100)]
    assert replay(pods, warm_ip=2, retry_s=3).wait_s == 6
    assert replay(pods, warm_ip=2, retry_s=20).wait_s == 20


def test_a_new_eni_takes_twenty_seconds() -> None:
    result = replay([(10, 1000)] * 15)
    assert result.delayed_pods == 1
    assert result.wait_s == 23  # asked for at 12.5 s, there at 32.3 s, and the pod is at 33 s


def test_pods_left_over_at_the_end_are_unserved() -> None:
    result = replay([(10, 10_000)] * 60, horizon_s=600, subnet_free=20)
    assert result.pods == 60
    assert result.unserved_pods == 46
    assert result.delayed_share == pytest.approx(46 / 60)


def test_a_pod_that_finds_only_cooling_addresses_is_told_apart() -> None:
    result = replay([(10, 30), (39, 100), (41, 10)], warm_ip=1, latency=Latency.none())
    assert (result.delayed_pods, result.delayed_cooling) == (1, 1)


def test_the_hourly_scan_costs_a_call_an_hour() -> None:
    result = replay([], horizon_s=24 * 3600)
    assert result.calls["DescribeNetworkInterfaces"] - 1 in {22, 23}
    assert result.total_calls == sum(result.calls.values())


def test_events_happen_in_their_order_and_pods_leave_from_the_end_named() -> None:
    scenario = Scenario(
        NODE,
        PoolSettings(WarmTargets(1, 1)),
        (
            Event(60, "end"),
            Event(10, "add", 3),
            Event(20, "del_new", 1),
            Event(20, "del_old", 9),
            Event(30, "restart"),
            Event(40, "free", 7),
            Event(50, "replace", 2),
        ),
        subnet_free=3,
    )
    looks = {look.at: look for look in observe(scenario, seed=1)}
    assert (looks[10].pods, looks[10].pending, looks[10].failed_adds) == (3, 2, 2)
    assert (looks[20].pods, looks[20].pending) == (0, 0)
    assert looks[40].subnet_free == looks[35].subnet_free + 7
    assert looks[50].pods == 2
    assert max(looks) == 60
