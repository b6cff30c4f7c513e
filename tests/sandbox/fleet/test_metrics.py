"""The page at :61678/metrics, and what may be wrong with it."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fleet_world import Build, World
from ippolicy.sandbox.fleet import METRICS_PORT, MetricsFault
from ippolicy.sandbox.fleet.metrics import _number
from ippolicy.sandbox.fleet.objects import pod_path

Families = dict[str, Any]


def url(world: World) -> str:
    return f"http://{world.fleet.node(world.nodes[0]).identity.address}:{METRICS_PORT}/metrics"


async def read(world: World) -> str:
    async with aiohttp.ClientSession() as session, session.get(url(world)) as response:
        assert response.status == 200
        return await response.text()


def parsed(page: str) -> Families:
    return {family.name: family for family in text_string_to_metric_families(page)}


def value(families: Families, name: str, **labels: str) -> float:
    return float(next(s.value for s in families[name].samples if s.labels == labels))


async def test_the_page_says_what_the_node_holds(build: Build) -> None:
    world = await build()
    [node] = world.nodes
    await world.workload.scale({node: 20})
    await world.fleet.settled(pods=20)
    page = await read(world)
    families = parsed(page)
    assert value(families, "awscni_total_ip_addresses") == 42
    assert value(families, "awscni_assigned_ip_addresses") == 20
    assert value(families, "awscni_eni_allocated") == 3
    assert value(families, "awscni_eni_max") == 4
    assert value(families, "awscni_ip_max") == 56
    assert value(families, "awscni_add_ip_req_count") >= 20
    assert sum(s.value for s in families["awscni_assigned_ip_per_eni"].samples) == 20
    assert sum(s.value for s in families["awscni_assigned_ip_per_cidr"].samples) == 20
    assert all(
        s.labels["cidr"].endswith("/32") for s in families["awscni_assigned_ip_per_cidr"].samples
    )
    calls = {s.labels["fn"]: s.value for s in families["awscni_ec2api_req_count"].samples}
    assert calls["CreateNetworkInterface"] == 2
    latency = {s.labels["api"] for s in families["awscni_aws_api_latency_ms"].samples}
    assert latency == set(calls)
    assert value(families, "awscni_build_info", version="v1.23.1", goversion="go1.26.0") == 1
    assert {"go_goroutines", "process_start_time_seconds"} <= families.keys()
    for name, family in families.items():
        assert family.documentation, name
        assert family.type in {"gauge", "counter", "summary", "histogram"}, name
    assert list(families) == sorted(families)


async def test_a_cidr_keeps_its_series_when_its_pod_is_gone(build: Build) -> None:
    world = await build()
    [node] = world.nodes
    await world.workload.scale({node: 3})
    await world.fleet.settled(pods=3)
    await read(world)
    await world.workload.scale({node: 1})
    await world.fleet.settled(pods=1)
    samples = parsed(await read(world))["awscni_assigned_ip_per_cidr"].samples
    assert sorted(s.value for s in samples) == [0, 0, 1]


async def test_counters_start_anew_with_the_process_and_nothing_answers_in_between(
    build: Build,
) -> None:
    world = await build()
    [node] = world.nodes
    await world.workload.scale({node: 2})
    await world.fleet.settled(pods=2)
    before = parsed(await read(world))
    await world.client.delete(pod_path(await world.aws_node_pod()))
    refused = False
    while world.fleet.report().nodes[0].starts < 2:
        try:
            await read(world)
        except aiohttp.ClientConnectorError:
            refused = True
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0)
    await world.fleet.settled(pods=2)
    after = parsed(await read(world))
    assert refused
    assert value(before, "awscni_add_ip_req_count") >= 2
    assert value(after, "awscni_add_ip_req_count") == 0
    assert value(after, "awscni_assigned_ip_addresses") == 2
    assert value(after, "process_start_time_seconds") > value(before, "process_start_time_seconds")


async def test_failures_show_in_the_error_counters(build: Build) -> None:
    world = await build(settle=False)
    world.ec2.faults.fail(
        "AssignPrivateIpAddresses", code="RequestLimitExceeded", status=503, times=2
    )
    await world.workload.scale({world.nodes[0]: 1})
    await world.fleet.settled(pods=1)
    world_now = parsed(await read(world))
    # The start fails and aws-node crashes, or a pass fails: either way EC2 has refused twice.
    refused = world.ec2.calls.count("AssignPrivateIpAddresses", result="RequestLimitExceeded")
    assert refused == 2
    assert value(world_now, "awscni_total_ip_addresses") >= 14


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (MetricsFault.REFUSE, "ClientConnectorError"),
        (MetricsFault.HALF_PAGE, "ClientPayloadError"),
        (MetricsFault.HANG, "TimeoutError"),
        (MetricsFault.ERROR_500, "500"),
        (MetricsFault.GARBAGE, "garbage"),
    ],
)
async def test_a_metrics_port_can_go_wrong_in_every_way_and_recover(
    build: Build, fault: MetricsFault, seen: str
) -> None:
    world = await build()
    await world.fleet.set_metrics_fault(world.nodes[0], fault)
    assert await outcome(world) == seen
    await world.fleet.set_metrics_fault(world.nodes[0], None)
    assert await outcome(world) == "metrics"


async def outcome(world: World) -> str:
    timeout = aiohttp.ClientTimeout(total=0.3)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url(world)) as response,
        ):
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__.removeprefix("ServerTimeoutError") or "TimeoutError"
    if response.status != 200:
        return str(response.status)
    return "metrics" if body.startswith(b"# HELP awscni_") else "garbage"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (42, "42"),
        (0.25, "0.25"),
        (999_999, "999999"),
        (1_000_000, "1e+06"),
        (1_048_576, "1.048576e+06"),
        (1795368435.5, "1.7953684355e+09"),
    ],
)
def test_numbers_are_written_as_go_writes_them(number: float, text: str) -> None:
    assert _number(number) == text
