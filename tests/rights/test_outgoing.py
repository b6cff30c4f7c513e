"""Every way out of the operator: none follows a redirect, none talks to an unknown certificate."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from certificates import issued, write
from ippolicy.api.prometheus import SigV4
from ippolicy.errors import IPPolicyError
from ippolicy.kube import AsyncApi, api_client, load_configuration
from ippolicy.observe.ec2_client import Ec2Client
from ippolicy.observe.fetch import DirectFetch
from ippolicy.observe.prometheus_auth import _Signature
from ippolicy.observe.prometheus_client import PrometheusClient
from ippolicy.observe.settings import ObserveSettings
from observe_fakes import aws_node_pod
from observe_servers import kubeconfig, serving

SETTINGS = ObserveSettings(ec2_attempts=1, ec2_timeout_s=10.0)
ROLE = "arn:aws:iam::111122223333:role/reader"


async def metrics(url: str, _: Path) -> None:
    fetch = DirectFetch(SETTINGS, endpoint=lambda _: f"{url}/metrics")
    try:
        await fetch(aws_node_pod("a"))
    finally:
        await fetch.close()


async def kubernetes(url: str, folder: Path) -> None:
    api = AsyncApi(load_configuration(str(kubeconfig(folder / "config", url, token="secret"))))
    try:
        await api.get_json("/api/v1/nodes")
    finally:
        await api.close()


async def kubernetes_writes(url: str, folder: Path) -> None:
    from kubernetes.client import CoreV1Api

    from ippolicy.act.requests import send

    configuration = load_configuration(str(kubeconfig(folder / "config", url, token="secret")))
    with api_client(configuration) as client:
        create = CoreV1Api(client).create_namespaced_config_map
        await asyncio.to_thread(lambda: send("create", create, "default", {}))


async def prometheus(url: str, _: Path) -> None:
    client = PrometheusClient(url, lambda *_: {"Authorization": "Bearer secret"}, lambda *_: None)
    try:
        await client.samples("up[1m]", at_s=0)
    finally:
        await client.close()


async def ec2(_: str, __: Path) -> None:
    await asyncio.to_thread(lambda: Ec2Client(SETTINGS).subnets(["subnet-1"]))


async def sts(url: str, _: Path) -> None:
    signature = _Signature(SigV4(region="eu-west-1", role_arn=ROLE))
    await asyncio.to_thread(lambda: signature(url, b"", {}))


WAYS = (metrics, kubernetes, kubernetes_writes, prometheus, ec2, sts)
Way = Callable[[str, Path], Awaitable[None]]


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets AWS be at some URL, with credentials for it and nothing of the machine's own."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }.items():
        monkeypatch.setenv(name, value)
    return lambda url: monkeypatch.setenv("AWS_ENDPOINT_URL", url)


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("way", WAYS)
async def test_nobody_is_followed_to_another_host(
    way: Way, status: int, credentials: Callable[[str], None], tmp_path: Path
) -> None:
    led: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        led.append(request.path)
        return web.json_response({})

    async with serving(elsewhere) as other:

        async def redirect(request: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": f"{other}{request.path}"})

        async with serving(redirect) as url:
            credentials(url)
            with pytest.raises(IPPolicyError):
                await way(url, tmp_path)
    assert led == []


@pytest.mark.parametrize("way", WAYS)
async def test_a_certificate_of_nobody_known_ends_the_talk(
    way: Way, credentials: Callable[[str], None], tmp_path: Path
) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({})

    write(tmp_path, {"server": issued("server", issued("nobody", None))})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    async with serving(answer, context) as url:
        credentials(url)
        with pytest.raises(IPPolicyError):
            await way(url, tmp_path)
    assert asked == []
