"""TLS to the Kubernetes API, with certificates as old EKS clusters have them."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from certificates import issued, write
from ippolicy.errors import ClusterUnavailable
from ippolicy.kube import load_configuration, tls_context
from observe_servers import connected, kubeconfig, serving


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NAME.crt and NAME.key of a CA, a server and a client."""
    folder = tmp_path_factory.mktemp("tls")
    authority = issued("kubernetes", None)
    pairs = {"ca": authority, "server": issued("server", authority)}
    pairs["client"] = issued("client", authority)
    write(folder, pairs)
    return folder


def secure(path: Path, url: str, certificates: Path, *, trusted: bool, **cluster: Any) -> Path:
    kubeconfig(
        path,
        url,
        **{
            "client-certificate": str(certificates / "client.crt"),
            "client-key": str(certificates / "client.key"),
        },
    )
    config = yaml.safe_load(path.read_text())
    if trusted:
        config["clusters"][0]["cluster"]["certificate-authority"] = str(certificates / "ca.crt")
    config["clusters"][0]["cluster"] |= cluster
    path.write_text(yaml.safe_dump(config))
    return path


async def test_tls_checks_both_sides(tmp_path: Path, certificates: Path) -> None:
    async def who(request: web.Request) -> web.Response:
        peer = request.transport and request.transport.get_extra_info("peercert")
        return web.json_response(peer)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    context.load_verify_locations(certificates / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    async with serving(who, context) as url:
        good = secure(tmp_path / "good", url, certificates, trusted=True)
        async with connected(good) as api:
            assert "client" in json.dumps(await api.get_json("/"))
        named = secure(
            tmp_path / "n", url, certificates, trusted=True, **{"tls-server-name": "kube.test"}
        )
        async with connected(named) as api:
            assert await api.get_json("/")
        bad = secure(tmp_path / "bad", url, certificates, trusted=False)
        async with connected(bad) as api:
            with pytest.raises(ClusterUnavailable, match="TLS") as caught:
                await api.get_json("/")
            assert caught.value.reason == "tls"


def test_old_eks_certificates_are_accepted_but_still_checked(
    tmp_path: Path, certificates: Path
) -> None:
    path = secure(tmp_path / "config", "https://127.0.0.1:1", certificates, trusted=True)
    context = tls_context(load_configuration(str(path)))
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
