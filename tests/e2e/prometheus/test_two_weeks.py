"""Two weeks out of a real Prometheus: what really happened comes back, within the step."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession, web

from builders import node
from ippolicy.api import Prometheus
from ippolicy.decide.history import DemandHistory
from ippolicy.errors import PrometheusUnavailable
from ippolicy.facts import NodeTrace
from ippolicy.observe import prometheus as reading
from ippolicy.observe.prometheus import LAG_S, PrometheusReader
from ippolicy.observe.prometheus_auth import authorizer
from ippolicy.observe.prometheus_client import PrometheusClient
from observe_servers import serving
from prometheus_server import prometheus, write_blocks
from scraped import Event, History, Kind
from sigv4 import signed_by

DAY_S = 86_400.0
STEP_S = 120.0
START_S = 1_700_006_400.0
END_S = START_S + 14 * DAY_S
GAP = (START_S + 8 * DAY_S, START_S + 8 * DAY_S + 6 * 3_600)
NODES = tuple(node(n, created_at_s=START_S - DAY_S) for n in range(3))
PROD = 'cluster="prod"'


def happened(seed: int, since_s: float, until_s: float) -> list[Event]:
    """A pod comes or goes every five minutes or so, some in vain, and 30 at once each day."""
    draw, at_s, level, events = random.Random(seed), since_s, 0, []
    kinds: list[Kind] = ["arrive", "leave", "fail", "again"]
    while (at_s := at_s + draw.expovariate(1 / 300)) < until_s:
        kind = draw.choice(kinds) if level else "arrive"
        level += {"arrive": 1, "leave": -1}.get(kind, 0)
        events.append(Event(at_s, kind))
    day_s = since_s + 3_600
    while day_s < until_s:
        events += [Event(day_s + n / 10, "arrive") for n in range(30)]
        events += [Event(day_s + 1_800 + n / 10, "leave") for n in range(30)]
        day_s += DAY_S
    return sorted(events)


def scraped(
    name: str, seed: int, since_s: float = START_S, until_s: float = END_S, **labels: str
) -> History:
    """A node's history, scraped each `STEP_S` at a moment of its own."""
    scraped_s = np.arange(since_s + 17 * seed % STEP_S, until_s, STEP_S).tolist()
    told = {"cluster": "prod", **labels}
    return History(name, happened(seed, since_s, until_s), scraped_s, labels=told)


def the_fleet() -> list[History]:
    """A plain node, one whose aws-node starts anew, one with a gap, two that are gone, and one of
    another cluster."""
    restarted, gapped = scraped("node-1", 2), scraped("node-2", 3)
    restarts = [
        Event(START_S + 3 * DAY_S + 1_000, "replace"),
        Event(START_S + 6 * DAY_S + 500, "restart"),
    ]
    restarted.events = sorted([*restarted.events, *restarts])
    gapped.scraped_s = [s for s in gapped.scraped_s if not GAP[0] <= s < GAP[1]]
    gone = scraped(
        "gone-0", 4, START_S + 2 * DAY_S, START_S + 9 * DAY_S, eks_amazonaws_com_nodegroup="blue"
    )
    return [
        scraped("node-0", 1),
        restarted,
        gapped,
        gone,
        scraped("gone-1", 5, START_S + 4 * DAY_S, START_S + 5 * DAY_S),
        scraped("node-0", 6, START_S, START_S + DAY_S, cluster="test"),
    ]


FLEET = the_fleet()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has scraped the fleet for two weeks."""
    folder = tmp_path_factory.mktemp("prometheus")
    write_blocks(FLEET, folder, since_s=START_S, until_s=END_S)
    with prometheus(folder) as url:
        yield url


@dataclass
class Asked:
    """The requests made, as the client counts them; and what it waited."""

    counted: list[tuple[str, str | None]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    async def sleep(self, span_s: float) -> None:
        self.slept.append(span_s)

    def count(self, operation: str, reason: str | None) -> None:
        self.counted.append((operation, reason))

    @property
    def refused(self) -> set[str | None]:
        return {reason for _, reason in self.counted} - {None}


@asynccontextmanager
async def reader(
    url: str,
    *,
    window_s: float = 14 * DAY_S,
    secrets: Path | None = None,
    asked: Asked | None = None,
    limits: Mapping[str, Any] | None = None,
    **spec: Any,
) -> AsyncIterator[PrometheusReader]:
    """A reader of the window that ends with the fleet's last scrape."""
    asked = asked or Asked()
    wanted = Prometheus.model_validate({"url": url, "matchers": [PROD], **spec})
    authorize = authorizer(wanted, secrets) if secrets else authorizer(wanted)
    client = PrometheusClient(url, authorize, asked.count, **(limits or {}))
    try:
        yield PrometheusReader(
            client, wanted, NODES, window_s=window_s, clock=lambda: END_S + LAG_S, sleep=asked.sleep
        )
    finally:
        await client.close()


async def everything(reader: PrometheusReader) -> tuple[list[NodeTrace], set[str]]:
    """All traces as a history has them in the end, and the names of nodes left out."""
    history, left_out = DemandHistory(window_s=20 * DAY_S, started_at_s=END_S), set[str]()
    while (found := await reader.next()) is not None:
        history.adopt(found.traces)
        left_out |= found.left_out
    return list(history.traces(END_S)), left_out


def named(traces: Sequence[NodeTrace], name: str) -> list[NodeTrace]:
    return sorted((t for t in traces if t.node == name), key=lambda t: t.since_s)


def assert_true_levels(trace: NodeTrace, truth: History) -> None:
    """At each moment asked for, the level is that of the last scrape before it."""
    moments_s = np.arange(trace.since_s, trace.until_s, STEP_S)[1:]
    scrapes = np.array(truth.scraped_s)
    last_s = scrapes[np.searchsorted(scrapes, moments_s, side="right") - 1]
    ups = np.array([e.at_s for e in truth.events if e.kind == "arrive"])
    downs = np.array([e.at_s for e in truth.events if e.kind == "leave"])
    expected = np.searchsorted(ups, last_s, "right") - np.searchsorted(downs, last_s, "right")
    # A history keeps tenths of seconds, rounded down.
    seen = np.searchsorted(trace.times_s, moments_s, side="left")
    levels = trace.level + np.concatenate(([0], np.cumsum(trace.changes, dtype=np.int64)))[seen]
    assert levels.tolist() == expected.tolist()


def assert_true_moments(trace: NodeTrace, truth: History, kind: Kind, change: int) -> None:
    """The k-th arrival is the k-th that really was, a scrape and a step late at most."""
    times_s = trace.times_s[trace.changes == change]
    last_scrape_s = max(at_s for at_s in truth.scraped_s if at_s <= trace.since_s)
    before = truth.count(kind, last_scrape_s)
    really_s = [e.at_s for e in truth.events if e.kind == kind][before : before + len(times_s)]
    late_s = times_s - np.array(really_s)
    assert (late_s > -STEP_S - 0.1).all()
    assert (late_s < 2 * STEP_S).all()


async def test_two_weeks_come_back_as_they_were(server: str) -> None:
    async with reader(server) as asking:
        traces, left_out = await everything(asking)
        assert asking.step_s == STEP_S
        assert asking.left_s == 0
    assert {trace.node for trace in traces} == {"node-0", "node-1", "node-2", "gone-0"}
    assert {trace.group for trace in traces} == {"blue"}
    assert left_out == {"gone-1"}
    (plain,) = named(traces, "node-0")
    assert plain.span_s > 14 * DAY_S - 3 * STEP_S
    assert_true_levels(plain, FLEET[0])
    assert_true_moments(plain, FLEET[0], "arrive", 1)
    assert_true_moments(plain, FLEET[0], "leave", -1)


async def test_a_restart_of_aws_node_makes_no_pods_up(server: str) -> None:
    async with reader(server) as asking:
        traces, _ = await everything(asking)
    (restarted,) = named(traces, "node-1")
    assert_true_levels(restarted, FLEET[1])
    really = FLEET[1].count("arrive", END_S)
    assert really - 10 <= (restarted.changes > 0).sum() <= really


async def test_a_gap_is_in_no_trace(server: str) -> None:
    async with reader(server) as asking:
        traces, _ = await everything(asking)
    before, after = named(traces, "node-2")
    assert GAP[0] - STEP_S <= before.until_s <= GAP[0] + STEP_S
    assert GAP[1] <= after.since_s <= GAP[1] + STEP_S
    assert_true_levels(before, FLEET[2])
    assert_true_levels(after, FLEET[2])


async def test_a_node_that_is_gone_serves_its_group_for_as_long_as_it_was_there(
    server: str,
) -> None:
    async with reader(server) as asking:
        traces, _ = await everything(asking)
    (gone,) = named(traces, "gone-0")
    assert START_S + 2 * DAY_S <= gone.since_s <= START_S + 2 * DAY_S + STEP_S
    assert START_S + 9 * DAY_S - 2 * STEP_S <= gone.until_s <= START_S + 9 * DAY_S
    assert_true_levels(gone, FLEET[3])


async def test_many_small_slices_give_what_few_large_ones_do(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with reader(server) as asking:
        large, _ = await everything(asking)
    monkeypatch.setattr(reading, "SLICE_BYTES", 64 * 1024)
    asked = Asked()
    async with reader(server, asked=asked) as asking:
        small, _ = await everything(asking)
    assert len(asked.counted) > 60
    in_order = [sorted(some, key=lambda t: (t.node, t.since_s)) for some in (large, small)]
    for one, other in zip(*in_order, strict=True):
        assert (one.node, one.since_s, one.until_s) == (other.node, other.since_s, other.until_s)
        assert one.level == other.level
        assert (one.changes > 0).sum() == (other.changes > 0).sum()


async def test_an_answer_that_is_too_large_is_asked_for_in_halves(server: str) -> None:
    asked = Asked()
    async with reader(server, asked=asked, limits={"max_bytes": 200_000}) as asking:
        traces, _ = await everything(asking)
    assert asked.refused == {"too-large"}
    (plain,) = named(traces, "node-0")
    assert_true_levels(plain, FLEET[0])


async def test_a_prometheus_that_loads_few_samples_is_asked_for_less_at_once(
    tmp_path: Path,
) -> None:
    fleet = [scraped("node-0", 1, START_S, START_S + DAY_S)]
    write_blocks(fleet, tmp_path, since_s=START_S, until_s=START_S + DAY_S)
    asked = Asked()
    with prometheus(tmp_path, "--query.max-samples=300") as url:
        async with reader(url, asked=asked) as asking:
            traces, _ = await everything(asking)
    assert asked.refused == {"http-status"}
    (plain,) = traces
    assert_true_levels(plain, fleet[0])


async def test_the_step_is_as_coarse_as_keeps_the_import_within_bounds(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "VALUES_MAX", 10_000)
    async with reader(server, window_s=7 * DAY_S) as asking:
        traces, _ = await everything(asking)
        step_s = asking.step_s
    assert step_s is not None
    assert step_s % STEP_S == 0
    # At most four nodes at a time, four values each.
    assert 7 * DAY_S * 3 * 4 / 10_000 - STEP_S <= step_s <= 7 * DAY_S * 4 * 4 / 10_000 + STEP_S
    (plain,) = named(traces, "node-0")
    assert (plain.changes > 0).sum() == pytest.approx(
        FLEET[0].count("arrive", END_S, END_S - 7 * DAY_S), abs=30
    )


async def test_a_wish_for_a_coarser_step_is_met_and_one_for_a_finer_is_not(server: str) -> None:
    for wish, step_s in (("10m", 600.0), ("5s", STEP_S)):
        async with reader(server, window_s=DAY_S, step=wish) as asking:
            await asking.next()
            assert asking.step_s == step_s


async def test_no_series_at_all_says_what_to_check(server: str) -> None:
    async with reader(server, matchers=['cluster="elsewhere"']) as asking:
        with pytest.raises(PrometheusUnavailable, match="matchers") as caught:
            await asking.next()
    assert caught.value.reason == "no-series"


@asynccontextmanager
async def guarded(server: str, admits: Callable[[web.Request, bytes], bool]) -> AsyncIterator[str]:
    """Prometheus behind a door: 403 for those that are not admitted."""

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        if not admits(request, body):
            return web.Response(status=403)
        async with ClientSession() as session:
            headers = {"Content-Type": request.headers["Content-Type"]}
            url = f"{server}{request.path}"
            async with session.post(url, data=body, headers=headers) as answer:
                return web.Response(status=answer.status, body=await answer.read())

    async with serving(forward) as url:
        yield url


async def test_a_token_opens_the_door_and_is_read_anew_each_time(
    server: str, tmp_path: Path
) -> None:
    token = tmp_path / "prometheus" / "token"
    token.parent.mkdir()
    token.write_text("wrong\n")

    def admits(request: web.Request, _: bytes) -> bool:
        return request.headers.get("Authorization") == "Bearer right"

    file = "/var/run/secrets/ippolicy/prometheus/token"
    async with (
        guarded(server, admits) as door,
        reader(door, window_s=DAY_S, secrets=tmp_path, bearerTokenFile=file) as asking,
    ):
        with pytest.raises(PrometheusUnavailable, match="bearerTokenFile") as caught:
            await asking.next()
        assert caught.value.reason == "unauthorized"
        assert "wrong" not in str(caught.value)
        token.write_text("right\n")
        traces, _ = await everything(asking)
    assert named(traces, "node-0")


async def test_a_signature_opens_the_door_of_a_managed_prometheus(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session")

    def admits(request: web.Request, body: bytes) -> bool:
        return request.headers["X-Amz-Security-Token"] == "session" and signed_by(
            "AKIDEXAMPLE", "secret", request, body, region="eu-west-1", service="aps"
        )

    async with guarded(server, admits) as door:
        async with reader(door, window_s=DAY_S, sigV4={"region": "eu-west-1"}) as asking:
            traces, _ = await everything(asking)
        assert named(traces, "node-0")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
        async with reader(door, window_s=DAY_S, sigV4={"region": "eu-west-1"}) as asking:
            with pytest.raises(PrometheusUnavailable, match="aps:QueryMetrics"):
                await asking.next()


async def test_what_was_had_is_kept_when_the_server_goes_away_in_between(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "SLICE_BYTES", 1024 * 1024)
    up = True

    def admits(request: web.Request, _: bytes) -> bool:
        return up

    async with guarded(server, admits) as door, reader(door) as asking:
        first = await asking.next()
        assert first is not None
        up, left_s = False, asking.left_s
        with pytest.raises(PrometheusUnavailable):
            await asking.next()
        assert asking.left_s == left_s
        up = True
        second = await asking.next()
        assert second is not None
        newer, older = named(first.traces, "node-0"), named(second.traces, "node-0")
        assert older[-1].until_s == newer[0].since_s
        assert older[-1].level_at_end == newer[0].level
