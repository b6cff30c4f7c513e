"""What may go wrong between us and a Prometheus, and what is made of it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from builders import node
from certificates import issued, write
from ippolicy.api import Prometheus
from ippolicy.errors import PrometheusUnavailable
from ippolicy.observe.prometheus import HALVINGS, TRIES, PrometheusReader
from ippolicy.observe.prometheus_auth import authorizer
from ippolicy.observe.prometheus_client import PrometheusClient
from observe_servers import Handler, serving
from prometheus_fake import MoodyPrometheus

NOW_S = 1_700_006_400.0
ONE = {"status": "success", "data": {"resultType": "matrix", "result": []}}
Counted = list[tuple[str, str | None]]


def client(url: str, counted: Counted | None = None, **limits: Any) -> PrometheusClient:
    def count(operation: str, reason: str | None) -> None:
        if counted is not None:
            counted.append((operation, reason))

    return PrometheusClient(url, authorizer(Prometheus(url=url)), count, **limits)


async def refusal(handler: Handler, **limits: Any) -> PrometheusUnavailable:
    """What asking this server fails of."""
    async with serving(handler) as url:
        asking = client(url, **limits)
        try:
            with pytest.raises(PrometheusUnavailable) as caught:
                await asking.range("up", since_s=0, until_s=10, step_s=5)
            return caught.value
        finally:
            await asking.close()


def answering(status: int, body: str = "SECRET OF ANOTHER SERVER", **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers=headers)

    return answer


async def test_a_question_is_posted_and_its_series_are_read() -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.path, dict(await request.post())))
        series = {"metric": {"node": "n"}, "values": [[1.5, "3"], [2, "NaN"], [3, "+Inf"]]}
        return web.json_response({"status": "success", "data": {"result": [series]}})

    counted: Counted = []
    async with serving(answer) as url:
        asking = client(f"{url}/sub/", counted)
        (series,) = await asking.range("up", since_s=1, until_s=10.25, step_s=5)
        await asking.samples("up[1m]", at_s=7)
        await asking.close()
    assert series.labels == {"node": "n"}
    assert series.times_s.tolist() == [1.5, 2.0, 3.0]
    np.testing.assert_array_equal(series.values, [3.0, np.nan, np.inf])
    form = {"query": "up", "start": "1.000", "end": "10.250", "step": "5.000", "timeout": "54.000"}
    assert asked == [
        ("/sub/api/v1/query_range", form),
        ("/sub/api/v1/query", {"query": "up[1m]", "time": "7.000", "timeout": "54.000"}),
    ]
    assert counted == [("query_range", None), ("query", None)]


@pytest.mark.parametrize(
    ("status", "reason", "too_much", "passing"),
    [
        (301, "redirected", False, False),
        (400, "http-status", True, False),
        (401, "unauthorized", False, False),
        (403, "unauthorized", False, False),
        (404, "not-found", False, False),
        (413, "http-status", True, False),
        (422, "http-status", True, False),
        (429, "throttled", False, True),
        (500, "http-status", False, True),
        (502, "http-status", False, True),
        (503, "http-status", False, True),
        (504, "timeout", True, True),
    ],
)
async def test_a_refusal_says_its_status_and_nothing_that_the_server_said(
    status: int, reason: str, too_much: bool, passing: bool
) -> None:
    error = await refusal(answering(status))
    assert (error.reason, error.too_much, error.passing) == (reason, too_much, passing)
    assert f"HTTP {status}" in str(error)
    assert "SECRET" not in str(error)


async def test_a_query_that_took_too_long_for_the_server_may_be_asked_in_parts() -> None:
    error = await refusal(answering(503, '{"status":"error","errorType":"timeout","error":"x"}'))
    assert (error.reason, error.too_much) == ("timeout", True)


async def test_a_redirect_is_not_followed_anywhere() -> None:
    hit: list[str] = []

    async def other(request: web.Request) -> web.Response:
        hit.append(request.path)
        return web.json_response(ONE)

    async with serving(other) as elsewhere:
        error = await refusal(answering(307, Location=f"{elsewhere}/api/v1/query_range"))
    assert error.reason == "redirected"
    assert hit == []


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        "[]",
        "{}",
        '{"data": {"result": [{"metric": {}, "values": [[1, "many"]]}]}}',
        '{"data": {"result": [{"metric": {}, "value": [1, "2"]}]}}',
        '{"data": {"result": [{"metric": {}, "values": [["1", 2]]}]}}',
        '{"data": {"result"',
    ],
)
async def test_what_is_no_answer_of_prometheus_is_garbage(body: str) -> None:
    error = await refusal(answering(200, body))
    assert (error.reason, error.too_much, error.passing) == ("garbage", False, False)


async def test_an_endless_answer_is_read_no_further_than_allowed() -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 100_000_000:
            await response.write(b"x" * 65_536)
            sent += 65_536
        return response

    error = await refusal(endless, max_bytes=1_000_000)
    assert (error.reason, error.too_much) == ("too-large", True)
    assert sent < 50_000_000


async def test_a_packed_answer_is_not_asked_for() -> None:
    wished: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        wished.append(request.headers.get("Accept-Encoding"))
        return web.Response(status=404)

    await refusal(answer)
    assert wished == ["identity"]


async def test_no_answer_in_time_and_no_answer_at_all() -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    error = await refusal(hang, timeout_s=0.05)
    assert (error.reason, error.too_much, error.passing) == ("timeout", True, True)
    nobody = client("http://127.0.0.1:1")
    with pytest.raises(PrometheusUnavailable) as caught:
        await nobody.samples("up[1m]", at_s=0)
    await nobody.close()
    assert (caught.value.reason, caught.value.passing) == ("refused", True)


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"server": issued("server", issued("nobody", None))})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    async with serving(answering(200), context) as url:
        asking = client(url)
        with pytest.raises(PrometheusUnavailable, match="SSL_CERT_FILE") as caught:
            await asking.samples("up[1m]", at_s=0)
        await asking.close()
    assert (caught.value.reason, caught.value.passing) == ("tls", False)


@asynccontextmanager
async def reading(
    prometheus: MoodyPrometheus, window_s: float = 86_400
) -> AsyncIterator[PrometheusReader]:
    """A reader of its last day."""
    async with serving(prometheus.answer) as url:
        asking = client(url, timeout_s=0.2)
        try:
            yield PrometheusReader(
                asking,
                Prometheus(url=url),
                [node(0, created_at_s=0.0)],
                window_s=window_s,
                clock=lambda: NOW_S,
                sleep=prometheus.sleep,
            )
        finally:
            await asking.close()


async def test_what_may_pass_is_asked_again_with_longer_and_longer_waits() -> None:
    prometheus = MoodyPrometheus(NOW_S, [500, 503, 429])
    async with reading(prometheus) as reader:
        assert await reader.next() is not None
    assert prometheus.slept == [1.0, 4.0, 16.0]


async def test_a_server_that_asks_to_wait_is_waited_for() -> None:
    prometheus = MoodyPrometheus(NOW_S, [429, 429], retry_after_s=7)
    async with reading(prometheus) as reader:
        assert await reader.next() is not None
    assert prometheus.slept == [7.0, 7.0]
    endless = MoodyPrometheus(NOW_S, [429], retry_after_s=86_400)
    async with reading(endless) as reader:
        await reader.next()
    assert endless.slept == [300.0]


async def test_what_does_not_pass_is_raised_and_the_next_call_goes_on() -> None:
    prometheus = MoodyPrometheus(NOW_S, [503] * TRIES)
    async with reading(prometheus) as reader:
        with pytest.raises(PrometheusUnavailable, match="503"):
            await reader.next()
        found = await reader.next()
        assert found is not None
        assert reader.left_s == 0
        assert await reader.next() is None
    assert len(prometheus.slept) == TRIES - 1


async def test_what_will_never_pass_is_not_asked_again() -> None:
    prometheus = MoodyPrometheus(NOW_S, [403])
    async with reading(prometheus) as reader:
        with pytest.raises(PrometheusUnavailable, match="403"):
            await reader.next()
    assert prometheus.slept == []


async def test_a_refused_slice_is_halved_for_good() -> None:
    prometheus = MoodyPrometheus(NOW_S, [422, 413])
    async with reading(prometheus) as reader:
        while await reader.next() is not None:
            pass
    slices = prometheus.steps[2:]
    assert slices[0] > slices[1] > slices[2]
    assert max(slices[2:]) == slices[2]
    assert prometheus.slept == []


async def test_a_slice_that_takes_too_long_is_halved_a_few_times_and_grows_again() -> None:
    prometheus = MoodyPrometheus(NOW_S, [0] * (HALVINGS + 1))
    async with reading(prometheus) as reader:
        with pytest.raises(PrometheusUnavailable, match="in time"):
            await reader.next()
        while await reader.next() is not None:
            pass
    slices = prometheus.steps[2:]
    assert slices[HALVINGS] == slices[0] // 2**HALVINGS
    assert max(slices[HALVINGS:]) > slices[HALVINGS]


async def test_a_node_whose_pods_never_change_has_a_trace_without_events() -> None:
    async with reading(MoodyPrometheus(NOW_S)) as reader:
        found = await reader.next()
    assert found is not None
    (trace,) = found.traces
    assert (trace.level, len(trace.times_s)) == (1, 0)
    assert trace.span_s == pytest.approx(86_400, abs=600)


async def test_a_window_too_short_to_be_asked_for_has_nothing_to_read() -> None:
    async with reading(MoodyPrometheus(NOW_S), window_s=10) as reader:
        while await reader.next() is not None:
            pass
        assert reader.left_s == 0
