"""The engine put together: its settings, its probes, its start and stop on a real API."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any, Protocol

import aiohttp
import pytest
from kubernetes.client import ApiClient, CustomObjectsApi

from engine_fakes import invalid_policy, raw_policy
from ippolicy.api import GROUP, PLURAL, VERSION
from ippolicy.engine import Operator
from ippolicy.engine.births import Births
from ippolicy.engine.operator import COMPILING, WEBHOOK_DOWN, observe_settings
from ippolicy.errors import ClusterUnavailable, InvalidSetting
from ippolicy.observe import ObserveSettings
from ippolicy.settings import Settings, load
from observe_fakes import until_real

SHARED = {
    "list_page_size": ("123", 123),
    "api_timeout": ("7s", 7.0),
    "watch_timeout": ("2m", 120.0),
    "watch_backoff_max": ("9s", 9.0),
    "facts_max_age": ("4m", 240.0),
    "scrape_interval": ("11s", 11.0),
    "scrape_timeout": ("1500ms", 1.5),
    "scrape_concurrency": ("5", 5),
    "scrape_port": ("1234", 1234),
    "scrape_via": ("proxy", "proxy"),
    "ec2_timeout": ("3s", 3.0),
    "ec2_subnets_interval": ("90s", 90.0),
    "ec2_instances_interval": ("6m", 360.0),
    "ec2_interfaces_interval": ("7m", 420.0),
    "ec2_reservations_interval": ("1h", 3600.0),
    "ec2_calls_per_minute": ("30", 30),
}
OWN = {
    "watch_idle_s",
    "watch_backoff_s",
    "aws_node_grace_s",
    "scrape_scheme",
    "scrape_max_bytes",
    "scrape_max_misses",
    "ec2_attempts",
    "ec2_retry_s",
    "ec2_poll_s",
}


class API(Protocol):
    """What the fixture `kube_api` gives."""

    @property
    def kubeconfig(self) -> Any: ...

    def client(self) -> ApiClient: ...


def field_of(setting: str) -> str:
    """Where the observe room keeps a setting."""
    return setting if setting in ObserveSettings.__dataclass_fields__ else f"{setting}_s"


def test_every_shared_setting_reaches_the_observe_room_in_its_own_units() -> None:
    observed = observe_settings(load({}, {name: text for name, (text, _) in SHARED.items()}))
    for name, (_, value) in SHARED.items():
        found = getattr(observed, field_of(name))
        assert (found, type(found)) == (value, type(value)), name


def test_every_setting_of_the_observe_room_is_either_shared_or_its_own() -> None:
    names = {field.name for field in fields(ObserveSettings)}
    assert names == OWN | {field_of(name) for name in SHARED}
    assert set(SHARED) <= set(Settings.model_fields)
    assert not OWN & {field_of(name) for name in Settings.model_fields}


def test_the_observe_room_s_own_settings_keep_their_defaults() -> None:
    observed, defaults = observe_settings(Settings()), ObserveSettings()
    assert {name: getattr(observed, name) for name in OWN} == {
        name: getattr(defaults, name) for name in OWN
    }


@asynccontextmanager
async def running(
    api: API, monkeypatch: pytest.MonkeyPatch, **settings: str
) -> AsyncIterator[Operator]:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
    flags = {"http_host": "127.0.0.1", "http_port": "0", "interval": "50ms", **settings}
    operator = Operator(load({}, flags))
    await operator.start()
    try:
        yield operator
    finally:
        await operator.stop()


async def get(operator: Operator, path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{operator.server.port}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_it_becomes_ready_and_tells_what_it_finds(
    kube_api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies: Any = CustomObjectsApi(kube_api.client())
    raw = raw_policy("whole")
    del raw["metadata"]["uid"], raw["status"]
    created = policies.create_cluster_custom_object(GROUP, VERSION, PLURAL, raw)

    def conditions() -> dict[str, str]:
        got = policies.get_cluster_custom_object(GROUP, VERSION, PLURAL, "whole")
        return {c["type"]: c["reason"] for c in (got.get("status") or {}).get("conditions", ())}

    async with running(kube_api, monkeypatch) as operator:
        assert await get(operator, "/healthz") == (200, "ok\n")
        status, reasons = await get(operator, "/readyz")
        assert status == 503
        assert "not listed yet" in reasons
        operator.engine.take(created)
        await until_real(lambda: operator._ready().ok)
        assert await get(operator, "/readyz") == (200, "ok\n")
        await until_real(lambda: conditions().get("Degraded") == "NoDaemonSet")
        # No API server lets it become invalid: the watch would tell of the valid one again.
        operator._tasks[0].cancel()
        operator.engine.take(invalid_policy("whole", metadata=created["metadata"]))
        await until_real(lambda: conditions().get("Ready") == "InvalidPolicy")
        listed = 'ippolicy_api_calls_total{kind="kubernetes",operation="list"}'
        await until_real(lambda: listed in operator.server._exporter.render().decode())
        metrics = (await get(operator, "/metrics"))[1]
        assert listed in metrics
        assert 'ippolicy_nodes{policy="whole"' in metrics


async def test_a_loop_that_stands_still_is_not_alive(
    kube_api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(kube_api, monkeypatch, interval="10s") as operator:
        await operator.engine.stop()
        now_s = time.time()
        for age_s, alive in ((95, 200), (105, 503)):
            operator.engine.last_pass_s = now_s - age_s
            assert (await get(operator, "/healthz"))[0] == alive
        assert (await get(operator, "/healthz"))[1].startswith("the loop made no pass for 1m4")


async def test_a_webhook_that_cannot_be_started_again_is_not_alive(
    kube_api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(kube_api, monkeypatch) as operator:
        for down_s, alive in ((59.0, 200), (61.0, 503)):
            monkeypatch.setattr(Births, "down_s", down_s)
            assert (await get(operator, "/healthz"))[0] == alive
        assert (await get(operator, "/healthz"))[1] == f"{WEBHOOK_DOWN}\n"


async def test_short_intervals_do_not_make_the_operator_impatient(
    kube_api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(kube_api, monkeypatch, interval="1s") as operator:
        await operator.engine.stop()
        operator.engine.last_pass_s = time.time() - 55
        assert (await get(operator, "/healthz"))[0] == 200
        operator.engine.last_pass_s = time.time() - 65
        assert (await get(operator, "/healthz"))[0] == 503


async def test_a_port_that_is_taken_ends_the_start(
    kube_api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(kube_api, monkeypatch) as first:
        flags = {"http_host": "127.0.0.1", "http_port": str(first.server.port)}
        second = Operator(load({}, flags))
        with pytest.raises(InvalidSetting, match="IPPOLICY_HTTP_PORT"):
            await second.start()
        await second.stop()


async def test_stopping_leaves_no_task_behind(
    kube_api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asyncio.all_tasks()
    async with running(kube_api, monkeypatch) as operator:
        await until_real(lambda: len(asyncio.all_tasks()) > len(before))
        assert operator.engine.observer.refs == frozenset()
    assert asyncio.all_tasks() == before


def test_without_a_cluster_it_is_not_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path_factory.mktemp("none") / "config"))
    with pytest.raises(ClusterUnavailable, match="set KUBECONFIG"):
        Operator(Settings())


async def test_an_operator_that_still_compiles_looks_on_and_is_not_ready(
    kube_api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()

    def compile_kernel() -> object:
        may_end.wait(10)
        return object()

    monkeypatch.setattr("ippolicy.engine.operator.compile_kernel", compile_kernel)
    monkeypatch.setenv("KUBECONFIG", str(kube_api.kubeconfig))
    operator = Operator(load({}, {"http_host": "127.0.0.1", "http_port": "0"}))
    await operator.start()
    assert await get(operator, "/healthz") == (200, "ok\n")
    status, said = await get(operator, "/readyz")
    assert (status, COMPILING in said) == (503, True)
    assert not operator._can_decide()
    may_end.set()
    await until_real(operator._can_decide)
    assert COMPILING not in (await get(operator, "/readyz"))[1]
    await operator.stop()
