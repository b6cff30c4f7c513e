"""When pods are read, and what becomes of their readings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from ippolicy.errors import ScrapeFailed
from ippolicy.facts import Coverage
from ippolicy.observe.records import AwsNodePod
from ippolicy.observe.scrape import COUNTERS_KEPT_S, FIRST_READING_S, Scraper
from ippolicy.observe.settings import ObserveSettings
from observe_fakes import FakeTime, aws_node_pod, cancelled, metrics_page, until

SETTINGS = ObserveSettings(scrape_interval_s=30.0)


class Pages:
    """A fetch that answers from a table, and says how many asked at once."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.at_s: dict[str, list[float]] = {}
        self.pages: dict[str, str | ScrapeFailed] = {}
        self.closed = False
        self.at_once = 0
        self.most_at_once = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self, pod: AwsNodePod) -> bytes:
        self.at_s.setdefault(pod.node, []).append(self.clock())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = self.pages[pod.node]
            await (self.gate.wait() if self.gate else asyncio.sleep(0))
        finally:
            self.at_once -= 1
        if isinstance(answer, ScrapeFailed):
            raise answer
        return answer.encode()

    async def close(self) -> None:
        self.closed = True


class Rig:
    def __init__(self, settings: ObserveSettings = SETTINGS) -> None:
        self.time = FakeTime()
        self.fetch = Pages(self.time.clock)
        self.pods: list[AwsNodePod] = []
        self.scraper = Scraper(
            lambda: self.pods,
            self.fetch,
            settings,
            clock=self.time.clock,
            sleep=self.time.sleep,
        )

    def coverage(self) -> Coverage:
        return self.scraper.coverage(self.pods, self.time.now_s)

    def held(self) -> dict[str, int]:
        pools = self.scraper.pools(self.pods, self.time.now_s)
        return {node: facts.held for node, facts in pools.items()}


def failed(reason: str = "timeout") -> ScrapeFailed:
    return ScrapeFailed("it did not answer", reason=reason)


async def test_three_misses_make_a_reading_stale_and_one_success_brings_it_back() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod("a"), aws_node_pod("b")]
    rig.fetch.pages = {"a": metrics_page(10), "b": metrics_page(20)}
    await rig.scraper.scrape_now()
    rig.fetch.pages["b"] = failed()
    for _ in range(2):
        await rig.scraper.scrape_now()
    assert rig.held() == {"a": 10, "b": 20}
    await rig.scraper.scrape_now()
    assert rig.held() == {"a": 10}
    assert rig.coverage() == Coverage(listed=2, read=1, stale=1)
    assert rig.scraper.errors == {"timeout": 3}
    assert rig.scraper.state(rig.pods, rig.time.now_s).error is None
    rig.fetch.pages["b"] = metrics_page(21)
    await rig.scraper.scrape_now()
    assert rig.held() == {"a": 10, "b": 21}


async def test_the_source_fails_when_no_pod_at_all_can_be_read() -> None:
    rig = Rig()
    assert rig.scraper.state([], 5.0).age_s(5.0) == 0
    rig.pods = [aws_node_pod("a"), aws_node_pod("b"), aws_node_pod("c")]
    rig.fetch.pages = {"a": failed(), "b": failed("refused"), "c": failed()}
    await rig.scraper.scrape_now()
    state = rig.scraper.state(rig.pods, rig.time.now_s)
    assert state.succeeded_at_s is None
    assert state.error is not None
    assert "none of 3 aws-node pods could be read (2 timeout, 1 refused)" in state.error


async def test_a_reading_grows_old_even_if_nothing_is_missed() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod("a")]
    rig.fetch.pages = {"a": metrics_page()}
    await rig.scraper.scrape_now()
    rig.time.now_s += 121
    assert rig.held() == {}


async def test_a_gone_pod_is_dropped_at_once() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod("a"), aws_node_pod("b")]
    rig.fetch.pages = {"a": metrics_page(), "b": metrics_page()}
    await rig.scraper.scrape_now()
    rig.pods = [aws_node_pod("a")]
    assert rig.coverage() == Coverage(1, 1, 0)
    assert rig.scraper.pools([aws_node_pod("b", uid="new")], rig.time.now_s) == {}


async def test_a_successor_starts_without_a_reading_but_goes_on_counting() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod("a", uid="one")]
    rig.fetch.pages = {"a": metrics_page(10, adds=5)}
    await rig.scraper.scrape_now()
    rig.fetch.pages = {"a": metrics_page(10, adds=8)}
    await rig.scraper.scrape_now()
    rig.pods = []
    await rig.scraper.scrape_now()
    rig.pods = [aws_node_pod("a", uid="two")]
    assert rig.coverage() == Coverage(listed=1, read=0, stale=0)
    rig.fetch.pages = {"a": metrics_page(12, adds=9, started_at_s=2.0)}
    await rig.scraper.scrape_now()
    facts = rig.scraper.pools(rig.pods, rig.time.now_s)["a"]
    assert facts.counters.add_requests == 3 + 9
    assert facts.restarts == 1


async def test_an_answer_that_comes_after_its_pod_is_gone_is_thrown_away() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod("a", uid="one")]
    rig.fetch.pages = {"a": metrics_page(10)}
    rig.fetch.gate = asyncio.Event()
    late = asyncio.create_task(rig.scraper.scrape_now())
    await asyncio.sleep(0.01)
    rig.pods = [aws_node_pod("a", uid="two")]
    second = asyncio.create_task(rig.scraper.scrape_now())
    await asyncio.sleep(0.01)
    rig.fetch.pages = {"a": failed()}
    rig.fetch.gate.set()
    await asyncio.gather(late, second)
    facts = rig.scraper.pools(rig.pods, rig.time.now_s)["a"]
    assert facts.restarts == 0
    assert rig.scraper.pools([aws_node_pod("a", uid="one")], rig.time.now_s) == {}


async def test_no_more_than_so_many_are_read_at_once() -> None:
    rig = Rig(replace(SETTINGS, scrape_concurrency=4))
    rig.pods = [aws_node_pod(f"n{n}") for n in range(40)]
    rig.fetch.pages = {p.node: metrics_page() for p in rig.pods}
    await rig.scraper.scrape_now()
    assert rig.fetch.most_at_once == 4
    assert rig.coverage() == Coverage(40, 40, 0)
    assert rig.scraper.durations.count == 40
    assert rig.scraper.durations.buckets[-1] == 40


async def test_readings_are_spread_over_the_interval_once_each() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod(f"n{n}") for n in range(200)]
    rig.fetch.pages = {p.node: metrics_page() for p in rig.pods}
    begun_s = rig.time.now_s
    task = asyncio.create_task(rig.scraper.run())
    await until(lambda: rig.time.now_s > begun_s + 91)
    await cancelled(task)
    at = rig.fetch.at_s
    assert set(at) == {p.node for p in rig.pods}
    assert all(3 <= len(times) <= 4 for times in at.values())
    assert all(times[1] - times[0] <= 31 for times in at.values())
    assert all(29 <= b - a <= 31 for times in at.values() for a, b in pairwise(times[1:]))
    settled = [times[1] % 30 for times in at.values()]
    thirds = [sum(lo <= t < lo + 10 for t in settled) for lo in (0, 10, 20)]
    assert all(count > 40 for count in thirds)
    assert rig.fetch.closed


async def moments(started_s: float) -> dict[str, float]:
    """Where in the interval each node's second reading is, for a scraper started then."""
    rig = Rig()
    rig.time.now_s = started_s
    rig.pods = [aws_node_pod(f"n{n}") for n in range(20)]
    rig.fetch.pages = {p.node: metrics_page() for p in rig.pods}
    task = asyncio.create_task(rig.scraper.run())
    at = rig.fetch.at_s
    await until(lambda: len(at) == 20 and all(len(times) > 1 for times in at.values()))
    await cancelled(task)
    return {node: times[1] % 30 for node, times in at.items()}


async def test_each_node_keeps_its_moment_in_the_interval_across_restarts() -> None:
    before, after = await moments(1_000.0), await moments(1_017.0)
    assert all(abs(after[node] - moment) <= 1 for node, moment in before.items())
    assert len(set(before.values())) > 10


@pytest.mark.parametrize(("interval_s", "within_s"), [(30.0, FIRST_READING_S), (2.0, 2.0)])
async def test_new_pods_are_read_within_seconds_but_not_all_at_once(
    interval_s: float, within_s: float
) -> None:
    rig = Rig(replace(SETTINGS, scrape_interval_s=interval_s))
    rig.pods = [aws_node_pod(f"n{n}") for n in range(100)]
    rig.fetch.pages = {p.node: metrics_page() for p in [*rig.pods, aws_node_pod("late")]}
    begun_s = rig.time.now_s
    task = asyncio.create_task(rig.scraper.run())
    await until(lambda: rig.time.now_s > begun_s + within_s + 1)
    first = [times[0] - begun_s for times in rig.fetch.at_s.values()]
    assert len(first) == 100
    assert max(first) <= within_s + 1
    assert max(first.count(moment) for moment in first) < 60
    came_s = rig.time.now_s
    rig.pods = [*rig.pods, aws_node_pod("late")]
    await until(lambda: "late" in rig.fetch.at_s)
    assert rig.fetch.at_s["late"][0] - came_s <= within_s + 1
    await cancelled(task)


async def test_a_new_pod_that_could_not_be_read_waits_for_its_own_moment() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod("a")]
    rig.fetch.pages = {"a": failed()}
    task = asyncio.create_task(rig.scraper.run())
    await until(lambda: len(rig.fetch.at_s.get("a", ())) == 4)
    await cancelled(task)
    times = rig.fetch.at_s["a"]
    assert [b - a for a, b in pairwise(times[1:])] == [30, 30]
    assert rig.coverage() == Coverage(listed=1, read=0, stale=1)


async def test_a_reading_tells_what_all_enis_would_hold() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod("a"), aws_node_pod("old")]
    rig.fetch.pages = {"a": metrics_page(held_max=56), "old": metrics_page()}
    await rig.scraper.scrape_now()
    pools = rig.scraper.pools(rig.pods, rig.time.now_s)
    assert {node: facts.held_max for node, facts in pools.items()} == {"a": 56, "old": 0}


async def test_once_all_had_their_turn_a_new_pod_is_no_longer_waited_for() -> None:
    rig = Rig()
    assert rig.scraper.untried() == 0
    rig.pods = [aws_node_pod("a"), aws_node_pod("b")]
    rig.fetch.pages = {"a": metrics_page(), "b": failed()}
    assert rig.scraper.untried() == 2
    await rig.scraper.scrape_now()
    assert rig.scraper.untried() == 0
    rig.pods = [aws_node_pod("a"), aws_node_pod("b", uid="new")]
    assert rig.scraper.untried() == 0


async def test_counters_of_nodes_that_are_long_gone_are_forgotten() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod("a", uid="one")]
    rig.fetch.pages = {"a": metrics_page(adds=5)}
    await rig.scraper.scrape_now()
    for gone_s, restarts in ((COUNTERS_KEPT_S - 1, 1), (COUNTERS_KEPT_S + 1, 0)):
        rig.pods = []
        rig.time.now_s += gone_s
        await rig.scraper.scrape_now()
        rig.pods = [aws_node_pod("a", uid=f"after-{gone_s}")]
        await rig.scraper.scrape_now()
        facts = rig.scraper.pools(rig.pods, rig.time.now_s)["a"]
        assert (facts.restarts, facts.counters.add_requests) == (restarts, 5 * restarts)


async def test_a_pod_that_answers_slowly_is_not_asked_twice_at_once() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod("a")]
    rig.fetch.pages = {"a": metrics_page()}
    rig.fetch.gate = asyncio.Event()
    begun_s = rig.time.now_s
    task = asyncio.create_task(rig.scraper.run())
    await until(lambda: rig.time.now_s > begun_s + 70)
    await rig.scraper.scrape_now()
    assert len(rig.fetch.at_s["a"]) == 1
    rig.fetch.gate.set()
    await until(lambda: len(rig.fetch.at_s["a"]) == 2)
    await cancelled(task)


async def test_stopping_gives_up_readings_under_way() -> None:
    rig = Rig()
    rig.pods = [aws_node_pod("a")]
    rig.fetch.pages = {"a": metrics_page()}
    rig.fetch.gate = asyncio.Event()
    task = asyncio.create_task(rig.scraper.run())
    await until(lambda: rig.fetch.at_once == 1)
    await cancelled(task)
    assert rig.fetch.at_once == 0
    assert rig.fetch.closed
