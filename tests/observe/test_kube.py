"""The connection to the Kubernetes API."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ippolicy.errors import ClusterUnavailable
from ippolicy.kube import AsyncApi, api_client, load_configuration, split_lines
from observe_fakes import turns, until_real
from observe_servers import connected, kubeconfig, serving


@pytest.fixture(autouse=True)
def _no_cluster_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


async def answer(request: web.Request) -> web.Response:
    seen = {"path": request.path_qs, "authorization": request.headers.get("Authorization")}
    return web.json_response(seen)


def test_without_any_configuration_the_message_says_what_to_set() -> None:
    with pytest.raises(ClusterUnavailable, match="set KUBECONFIG"):
        load_configuration()


def test_the_kubeconfig_is_found_by_argument_then_environment_then_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig(tmp_path / ".kube/config", "http://home:1")
    assert load_configuration().host == "http://home:1"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "env", "http://env:1")))
    assert load_configuration().host == "http://env:1"
    given = kubeconfig(tmp_path / "given", "http://given:1", token="t")
    assert load_configuration(str(given)).api_key == {"BearerToken": "Bearer t"}
    assert load_configuration(str(given), "two").api_key == {}


@pytest.mark.parametrize("text", ["", "a: [", "kind: Config", "[]", "- 1"])
def test_a_broken_kubeconfig_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ClusterUnavailable, match="kubeconfig") as caught:
        load_configuration(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_context_is_named(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", "http://x:1")
    with pytest.raises(ClusterUnavailable, match="nowhere"):
        load_configuration(str(path), "nowhere")


def test_a_pod_without_service_account_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    with pytest.raises(ClusterUnavailable, match="service account"):
        load_configuration()


def test_importing_the_connection_does_not_import_the_client() -> None:
    code = "import sys, ippolicy.kube; print('kubernetes' in sys.modules, 'boto3' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert out.stdout.split() == ["False", "False"]


async def test_json_is_read_with_parameters_and_token(tmp_path: Path) -> None:
    async with serving(answer) as url:
        path = kubeconfig(tmp_path / "config", url + "/prefix/", token="secret")
        async with connected(path) as api:
            selector = "spec.hostNetwork=false,status.phase!=Succeeded"
            seen = await api.get_json("/api/v1/pods", {"fieldSelector": selector})
    assert seen["authorization"] == "Bearer secret"
    assert seen["path"].startswith("/prefix/api/v1/pods?fieldSelector=spec.hostNetwork")


async def test_an_exec_plugin_is_asked_again_when_its_token_ends(tmp_path: Path) -> None:
    counter = tmp_path / "count"
    script = (
        "import json,pathlib,sys\n"
        f"p=pathlib.Path({str(counter)!r})\n"
        "n=int(p.read_text())+1 if p.exists() else 1\n"
        "p.write_text(str(n))\n"
        "print(json.dumps({'apiVersion':'client.authentication.k8s.io/v1','kind':'ExecCredential',"
        "'status':{'token':f't{n}','expirationTimestamp':'2020-01-01T00:00:00Z'}}))\n"
    )
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-c", script],
        "interactiveMode": "Never",
    }
    now = [0.0]
    async with serving(answer) as url:
        path = kubeconfig(tmp_path / "config", url, exec=plugin)
        async with connected(path, auth_refresh_s=10.0, clock=lambda: now[0]) as api:
            seen = [(await api.get_json("/"))["authorization"] for _ in range(2)]
            now[0] = 11.0
            seen.append((await api.get_json("/"))["authorization"])
    assert seen == ["Bearer t2", "Bearer t2", "Bearer t3"]


async def test_a_token_that_was_refused_is_asked_for_again(tmp_path: Path) -> None:
    tokens = iter(["old", "new"])

    async def strict(request: web.Request) -> web.Response:
        good = request.headers.get("Authorization") == "Bearer new"
        return web.json_response({}, status=200 if good else 401)

    async with serving(strict) as url:
        path = kubeconfig(tmp_path / "config", url, token="old")
        configuration: Any = load_configuration(str(path))

        def rotate(held: Any) -> None:
            held.api_key["BearerToken"] = f"Bearer {next(tokens)}"

        configuration.refresh_api_key_hook = rotate
        api = AsyncApi(configuration, auth_refresh_s=1_000.0)
        with pytest.raises(ClusterUnavailable) as caught:
            await api.get_json("/")
        assert caught.value.status == 401
        assert "old" not in str(caught.value)
        assert await api.get_json("/") == {}
        await api.close()


async def test_a_status_and_retry_after_are_carried(tmp_path: Path) -> None:
    async def busy(request: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    async with serving(busy) as url, connected(kubeconfig(tmp_path / "config", url)) as api:
        with pytest.raises(ClusterUnavailable) as caught:
            await api.get_bytes("/api/v1/nodes")
    assert (caught.value.status, caught.value.retry_after_s) == (429, 7.0)
    assert caught.value.reason == "http-status"


async def test_a_redirect_is_not_followed_by_either_client(tmp_path: Path) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/stolen"})

    async with serving(elsewhere) as url:
        path = kubeconfig(tmp_path / "config", url, token="secret")
        async with connected(path) as api:
            with pytest.raises(ClusterUnavailable) as caught:
                await api.get_bytes("/api/v1/nodes")
        assert caught.value.status == 302

        def listed() -> int:
            from kubernetes.client import ApiException, CoreV1Api

            with api_client(load_configuration(str(path))) as client:
                try:
                    CoreV1Api(client).list_node()
                except ApiException as error:
                    return int(error.status or 0)
            return 200

        assert await asyncio.get_running_loop().run_in_executor(None, listed) == 302
    assert asked == ["/api/v1/nodes"] * 2


async def test_a_body_is_bounded_in_size_and_time(tmp_path: Path) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if request.path == "/slow":
            await asyncio.sleep(5)
        await response.write(b"x" * 5000)
        return response

    async with serving(endless) as url, connected(kubeconfig(tmp_path / "config", url)) as api:
        with pytest.raises(ClusterUnavailable) as caught:
            await api.get_bytes("/", max_bytes=100)
        assert caught.value.reason == "too-large"
        with pytest.raises(ClusterUnavailable) as caught:
            await api.get_bytes("/slow", timeout_s=0.1)
        assert caught.value.reason == "timeout"


async def test_what_is_no_json_and_nobody_at_all_are_told_apart(tmp_path: Path) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>")

    async with serving(page) as url, connected(kubeconfig(tmp_path / "config", url)) as api:
        with pytest.raises(ClusterUnavailable) as caught:
            await api.get_json("/")
        assert caught.value.reason == "garbage"
    async with connected(kubeconfig(tmp_path / "config", url)) as api:
        with pytest.raises(ClusterUnavailable, match="could not connect") as caught:
            await api.get_json("/")
        assert caught.value.reason == "refused"
    async with connected(kubeconfig(tmp_path / "config", url.replace("http", "https"))) as api:
        with pytest.raises(ClusterUnavailable):
            await api.get_json("/")


async def test_a_watch_streams_lines_and_notices_silence(tmp_path: Path) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for part in (b'{"a":', b"1}\n{", b'"b":2}\n\n'):
            await response.write(part)
            await asyncio.sleep(0.01)
        if request.path == "/silent":
            await asyncio.sleep(5)
        return response

    async with serving(stream) as url, connected(kubeconfig(tmp_path / "config", url)) as api:
        async with api.watch_lines("/", {"watch": "true"}) as lines:
            assert [line async for line in lines] == [b'{"a":1}', b'{"b":2}']
        seen: list[bytes] = []
        with pytest.raises(ClusterUnavailable) as caught:
            async with api.watch_lines("/silent", {}, idle_timeout_s=0.1) as lines:
                seen.extend([line async for line in lines])
        assert caught.value.reason == "timeout"


async def test_a_watch_that_is_left_closes_its_connection(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def forever(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{}\n")
        await until_real(lambda: request.transport is None or request.transport.is_closing())
        ended.set()
        return response

    async with serving(forever) as url, connected(kubeconfig(tmp_path / "config", url)) as api:
        async with api.watch_lines("/", {}) as lines:
            assert await anext(lines) == b"{}"
        await until_real(ended.is_set)


class SlowSession:
    """A session whose answer comes when the test says so."""

    def __init__(self) -> None:
        self.answered = asyncio.Event()

    async def get(self, url: str, **options: Any) -> Any:
        await self.answered.wait()
        return SilentResponse()


class SilentResponse:
    """An accepted watch on which nothing ever comes."""

    status = 200

    def __init__(self) -> None:
        self.content = self

    async def iter_any(self) -> AsyncIterator[bytes]:
        await asyncio.sleep(30)
        yield b""

    def close(self) -> None: ...


@pytest.mark.parametrize("turns_later", range(6))
async def test_a_cancel_that_meets_the_answer_is_not_lost(tmp_path: Path, turns_later: int) -> None:
    async def watch() -> None:
        async with api.watch_lines("/", {}) as lines:
            async for _ in lines:
                pass

    api = AsyncApi(load_configuration(str(kubeconfig(tmp_path / "config", "http://x:1"))))
    session: Any = SlowSession()
    api._session = session
    task = asyncio.create_task(watch())
    await asyncio.sleep(0.05)
    session.answered.set()
    await turns(turns_later)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.2)
    task.cancel()
    assert done


async def chunks(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def lines_of(parts: Iterable[bytes], longest: int = 10) -> list[bytes]:
    return [line async for line in split_lines(chunks(parts), longest, "/x")]


async def test_lines_are_bounded_and_never_half() -> None:
    assert await lines_of([b"ab\ncd", b"e\n", b"\n\nf\n"]) == [b"ab", b"cde", b"f"]
    for parts in ([b"x" * 11 + b"\n"], [b"x" * 6, b"y" * 6], [b"x" * 11]):
        with pytest.raises(ClusterUnavailable) as caught:
            await lines_of(parts)
        assert caught.value.reason == "too-large"
    with pytest.raises(ClusterUnavailable) as caught:
        await lines_of([b"ab\ncd"])
    assert caught.value.reason == "dropped"


def test_the_client_for_threads_asks_before_each_write_and_sends_nothing_where_it_may_not(
    tmp_path: Path,
) -> None:
    import socket

    from kubernetes.client import ApiException, CoreV1Api

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        path = kubeconfig(tmp_path / "config", f"http://127.0.0.1:{server.getsockname()[1]}")
        with api_client(load_configuration(str(path)), may_write=lambda: False) as client:
            api = CoreV1Api(client)
            for write in (
                lambda: api.create_namespace({}),
                lambda: api.patch_namespace("a", {}),
                lambda: api.replace_namespace("a", {}),
                lambda: api.delete_namespace("a"),
            ):
                with pytest.raises(ApiException, match="out of office") as refused:
                    write()
                assert refused.value.status == 0
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_client_for_threads_times_out_and_does_not_retry(tmp_path: Path) -> None:
    import socket

    from kubernetes.client import CoreV1Api
    from urllib3.exceptions import TimeoutError as PoolTimeout

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        path = kubeconfig(tmp_path / "config", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with (
            api_client(load_configuration(str(path)), read_timeout_s=0.2) as client,
            pytest.raises(PoolTimeout),
        ):
            CoreV1Api(client).list_node()
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()
