"""How the demand of the past gets from Prometheus into a history, whatever happens on the way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from builders import NOW_S, REF, node, policy, snapshot
from engine_fakes import Rig, raw_policy
from ippolicy.account.exporter import Exporter
from ippolicy.api import IPPolicy
from ippolicy.decide.history import DemandHistory
from ippolicy.engine import imports
from ippolicy.engine.imports import ADOPTED_AT_ONCE, AWAY_S, FIRST_WAIT_S, Imports
from ippolicy.facts import NodeTrace, Snapshot, SourceName, SourceState, watched_s
from ippolicy.observe.prometheus_traces import Rebuilt
from observe_fakes import until_real
from observe_servers import serving
from prometheus_fake import MoodyPrometheus
from views import a_snapshot

DAY_S = 86_400.0
NODES = tuple(node(n, created_at_s=NOW_S - 30 * DAY_S) for n in range(3))
FACTS = snapshot(nodes=NODES)


@dataclass
class Setting:
    """Imports beside a Prometheus at `url`, and the history that they fill."""

    imports: Imports
    prometheus: MoodyPrometheus
    exporter: Exporter
    history: DemandHistory
    url: str

    def policy(self, **spec: Any) -> IPPolicy:
        return policy({"demand": {"prometheus": {"url": self.url, **spec}}})

    def serve(self, asked: IPPolicy | None = None, at_s: float = NOW_S, **facts: Any) -> Snapshot:
        """One pass over a policy."""
        seen = replace(FACTS, taken_at_s=at_s, **facts)
        return self.imports.serve(asked or self.policy(), REF, seen, self.history)

    def state(self, asked: IPPolicy | None = None) -> SourceState:
        return self.serve(asked).sources[SourceName.PROMETHEUS]

    def traces(self) -> tuple[NodeTrace, ...]:
        return self.history.traces(NOW_S)

    async def read(self, asked: IPPolicy | None = None) -> None:
        """Serve a policy until all is read."""
        self.serve(asked)
        await until_real(lambda: not running_imports())


def running_imports() -> list[str]:
    names = [task.get_name() for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("import ")]


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    async with a_setting() as made:
        yield made


@asynccontextmanager
async def a_setting(
    sleep: Callable[[float], Any] | None = None, nodes: tuple[str, ...] = ("node-0", "node-1")
) -> AsyncIterator[Setting]:
    prometheus = MoodyPrometheus(NOW_S, nodes=nodes)
    exporter = Exporter()
    history = DemandHistory(window_s=DAY_S, started_at_s=NOW_S)
    running = Imports(exporter, clock=lambda: NOW_S, sleep=sleep or prometheus.sleep)
    async with serving(prometheus.answer) as url:
        yield Setting(running, prometheus, exporter, history, url)
        await running.stop()


async def test_a_policy_that_names_a_prometheus_has_its_window_filled(setting: Setting) -> None:
    first = setting.serve()
    assert first.sources[SourceName.PROMETHEUS] == SourceState(None)
    await setting.read()
    assert {trace.node for trace in setting.traces()} == {"node-0", "node-1"}
    assert watched_s(setting.traces()) == pytest.approx(DAY_S, abs=120)
    assert setting.state() == SourceState(NOW_S)
    text = setting.exporter.render().decode()
    assert 'ippolicy_api_calls_total{kind="prometheus",operation="query_range"} 5.0' in text
    seconds = float(text.split('imported_node_seconds_total{policy="default"} ')[1].split()[0])
    assert seconds == pytest.approx(2 * DAY_S, abs=240)


async def test_it_is_read_once_and_not_again_at_each_pass(setting: Setting) -> None:
    await setting.read()
    asked = len(setting.prometheus.steps)
    setting.serve()
    await asyncio.sleep(0.01)
    assert not running_imports()
    assert len(setting.prometheus.steps) == asked


async def test_a_policy_without_a_prometheus_has_no_such_source(setting: Setting) -> None:
    assert setting.serve(policy()) == FACTS
    await asyncio.sleep(0)
    assert setting.prometheus.steps == []


async def test_nothing_is_read_before_nodes_are_listed(setting: Setting) -> None:
    unlisted = {**FACTS.sources, SourceName.NODES: SourceState(None)}
    assert setting.serve(sources=unlisted).sources == unlisted
    assert not running_imports()


async def test_another_url_or_window_is_read_anew(setting: Setting) -> None:
    await setting.read()
    asked = len(setting.prometheus.steps)
    await setting.read(setting.policy(window="2h"))
    assert len(setting.prometheus.steps) == 2 * asked


async def test_a_policy_that_comes_back_after_long_is_read_anew(setting: Setting) -> None:
    await setting.read()
    asked = len(setting.prometheus.steps)
    setting.serve(at_s=NOW_S + AWAY_S + 1)
    await until_real(lambda: len(setting.prometheus.steps) == 2 * asked)


async def test_reading_ends_with_the_policy_that_asked_for_it(setting: Setting) -> None:
    setting.prometheus.moods = [0]
    setting.serve()
    await until_real(lambda: len(setting.prometheus.steps) == 3)
    setting.imports.keep(())
    await until_real(lambda: not running_imports())
    assert setting.traces() == ()


async def test_what_fails_is_a_state_and_is_tried_again_from_where_it_stopped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    waiting, go_on = asyncio.Event(), asyncio.Event()
    waits: list[float] = []

    async def sleep(span_s: float) -> None:
        waits.append(span_s)
        waiting.set()
        await go_on.wait()

    async with a_setting(sleep) as setting:
        setting.prometheus.moods = [403]
        with caplog.at_level(logging.WARNING, "ippolicy"):
            setting.serve()
            await waiting.wait()
        state = setting.state()
        assert state.succeeded_at_s is None
        assert "HTTP 403" in (state.error or "")
        assert "next try in 30 s" in caplog.text
        assert waits == [FIRST_WAIT_S]
        go_on.set()
        await setting.read()
        assert setting.state() == SourceState(NOW_S)
        text = setting.exporter.render().decode()
    failed = 'errors_total{kind="prometheus",operation="query_range",reason="unauthorized"} 1.0'
    assert failed in text


async def test_each_failure_in_a_row_waits_longer() -> None:
    waits: list[float] = []

    async def sleep(span_s: float) -> None:
        waits.append(span_s)
        await asyncio.sleep(0)

    async with a_setting(sleep) as setting:
        setting.prometheus.moods = [403] * 7
        await setting.read()
    assert waits == [30.0, 60.0, 120.0, 240.0, 480.0, 600.0, 600.0]


async def test_series_that_are_of_no_node_here_say_what_to_check() -> None:
    waiting = asyncio.Event()

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with a_setting(sleep, nodes=("elsewhere-0", "elsewhere-1")) as setting:
        setting.serve()
        await waiting.wait()
        error = setting.state().error or ""
        text = setting.exporter.render().decode()
    assert "2 nodes left out" in error
    assert "nodeLabel" in error
    assert 'ippolicy_import_left_out_nodes_total{policy="default"} 2.0' in text


async def test_a_fault_of_ours_is_told_and_ends_the_reading_alone(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(imports, "PrometheusReader", broken)
    setting.serve()
    await until_real(lambda: not running_imports())
    assert "RuntimeError" in (setting.state().error or "")
    assert "fault of the operator" in caplog.text
    failed = 'errors_total{kind="engine",operation="import",reason="RuntimeError"} 1.0'
    assert failed in setting.exporter.render().decode()


@dataclass
class Hoard:
    """A reader that has all traces at once."""

    traces: tuple[NodeTrace, ...]
    left_s: float = DAY_S
    step_s: float = 30.0

    async def next(self) -> Rebuilt | None:
        if not self.left_s:
            return None
        self.left_s = 0.0
        return Rebuilt(self.traces, frozenset())


async def test_probes_and_watches_have_their_turn_while_much_is_adopted(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    times_s = np.linspace(NOW_S - DAY_S, NOW_S, 2_400)
    changes = np.tile(np.array([1, -1], dtype=np.int8), 1_200)
    hoard = Hoard(
        tuple(
            NodeTrace(f"node-{n}", "blue", NOW_S - DAY_S, NOW_S, 1, times_s, changes)
            for n in range(2_000)
        )
    )
    monkeypatch.setattr(imports, "PrometheusReader", lambda *_, **__: hoard)
    setting.serve()
    turns = 0
    while running_imports():
        await asyncio.sleep(0)
        turns += 1
    assert len(setting.traces()) == 2_000
    assert turns >= 2_000 / ADOPTED_AT_ONCE


async def test_the_engine_decides_on_what_was_read_and_tells_of_what_was_not() -> None:
    rig = Rig(choice="rule")
    now_s = rig.engine.last_pass_s
    nodes = tuple(replace(n, created_at_s=0.0) for n in a_snapshot().nodes)
    rig.observer.facts = lambda _: replace(a_snapshot(), nodes=nodes)
    prometheus = MoodyPrometheus(now_s, nodes=("node-0", "node-1"))
    async with serving(prometheus.answer) as url:
        rig.take(raw_policy(demand={"prometheus": {"url": url}}))
        await rig.engine.tick()
        await until_real(lambda: not running_imports())
        await rig.engine.tick()
        decision = rig.view().decision
        assert decision is not None
        assert decision.fleet is not None
        assert decision.fleet.evidence.observed_s == pytest.approx(DAY_S, abs=120)
        assert decision.fleet.evidence.sufficient
        assert rig.view().snapshot.sources[SourceName.PROMETHEUS].error is None
        rig.take(raw_policy(demand={"prometheus": {"url": f"{url}/no", "window": "1h"}}))
        prometheus.moods = [404]
        await rig.engine.tick()
        await until_real(lambda: not prometheus.moods)
        await until_real(lambda: 'reason="not-found"' in rig.publisher.exporter.render().decode())
        await rig.engine.tick()
        assert "HTTP 404" in (rig.view().snapshot.sources[SourceName.PROMETHEUS].error or "")
        await rig.engine.stop()
    assert running_imports() == []
