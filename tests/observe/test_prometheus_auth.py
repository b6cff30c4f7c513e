"""What a policy may have sent to the url that it names, and what it may not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ippolicy.api import Prometheus
from ippolicy.errors import PrometheusUnavailable
from ippolicy.observe.prometheus_auth import TOKEN_MAX_BYTES, authorizer
from ippolicy.offloop import call_off_loop
from observe_servers import Handler, serving

URL = "https://prometheus.test:9090"
FOLDER = "/var/run/secrets/ippolicy"
ROLE = "arn:aws:iam::123456789012:role/reader"


def headers(secrets: Path, file: str = f"{FOLDER}/token") -> dict[str, str]:
    asked = Prometheus(url=URL, bearer_token_file=file)
    return dict(authorizer(asked, secrets)(URL, b"", {}))


def test_a_policy_without_credentials_sends_none() -> None:
    assert authorizer(Prometheus(url=URL))(URL, b"", {}) == {}


def test_a_token_is_sent_as_it_stands_in_the_file_now(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("one\n")
    assert headers(tmp_path) == {"Authorization": "Bearer one"}
    token.write_text("two")
    assert headers(tmp_path) == {"Authorization": "Bearer two"}


def test_a_mounted_secret_is_read_through_its_links(tmp_path: Path) -> None:
    version = tmp_path / "prometheus" / "..2026_01_01"
    version.mkdir(parents=True)
    (version / "token").write_text("mounted")
    (tmp_path / "prometheus" / "..data").symlink_to("..2026_01_01")
    (tmp_path / "prometheus" / "token").symlink_to("..data/token")
    seen = headers(tmp_path, f"{FOLDER}/prometheus/token")
    assert seen == {"Authorization": "Bearer mounted"}


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside, secrets = tmp_path / "outside", tmp_path / "secrets"
    outside.write_text("of-the-service-account")
    secrets.mkdir()
    (secrets / "token").symlink_to(outside)
    with pytest.raises(PrometheusUnavailable, match="is no file in") as caught:
        headers(secrets)
    assert "of-the-service-account" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"two words",
        b"line\r\nX-Injected: yes",
        b"\xff\xfe",
        b"x" * (TOKEN_MAX_BYTES + 1),
    ],
    ids=["empty", "line-end", "words", "header", "binary", "long"],
)
def test_what_is_no_token_is_not_sent_and_not_shown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(PrometheusUnavailable, match="does not hold a token") as caught:
        headers(tmp_path)
    assert caught.value.reason == "no-token"
    assert "Injected" not in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "loop", "pipe"])
def test_a_file_that_cannot_be_read_says_where_to_mount_it(tmp_path: Path, kind: str) -> None:
    token = tmp_path / "token"
    if kind == "folder":
        token.mkdir()
    elif kind == "loop":
        token.symlink_to(token)
    elif kind == "pipe":
        os.mkfifo(token)
    with pytest.raises(PrometheusUnavailable, match=f"{FOLDER}/token .*: mount the token"):
        headers(tmp_path)


def signing(**sig_v4: str) -> Any:
    asked = {"url": URL, "sigV4": {"region": "eu-west-1", **sig_v4}}
    return authorizer(Prometheus.model_validate(asked))


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def credentials(no_credentials: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDOWN")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.usefixtures("no_credentials")
def test_without_aws_credentials_the_fix_is_named_and_later_ones_are_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sign = signing()
    with pytest.raises(PrometheusUnavailable, match="Pod Identity or IRSA") as caught:
        sign(URL, b"", {})
    assert caught.value.reason == "no-credentials"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDLATER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert "Credential=AKIDLATER/" in sign(URL, b"", {})["Authorization"]


@pytest.mark.usefixtures("credentials")
def test_the_service_signed_for_is_the_one_named() -> None:
    assert "/eu-west-1/aps/aws4_request" in signing()(URL, b"", {})["Authorization"]
    other = signing(service="execute-api")(URL, b"", {})["Authorization"]
    assert "/eu-west-1/execute-api/aws4_request" in other


def sts(asked: list[dict[str, Any]], status: int) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        asked.append(dict(await request.post()))
        if status != 200:
            return web.Response(
                status=status,
                text="<ErrorResponse><Error><Code>AccessDenied</Code>"
                f"<Message>User {ROLE} is not authorized</Message></Error></ErrorResponse>",
            )
        return web.Response(
            text="<AssumeRoleResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'>"
            "<AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>"
            "<SecretAccessKey>s</SecretAccessKey><SessionToken>of-the-role</SessionToken>"
            "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult>"
            "</AssumeRoleResponse>"
        )

    return answer


@pytest.mark.usefixtures("credentials")
async def test_a_role_is_assumed_once_and_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    async with serving(sts(asked, 200)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        sign = signing(roleArn=ROLE)
        first = await call_off_loop(lambda: sign(URL, b"", {}))
        second = await call_off_loop(lambda: sign(URL, b"", {}))
    (question,) = asked
    assert (question["Action"], question["RoleArn"]) == ("AssumeRole", ROLE)
    for signed in (first, second):
        assert "Credential=ASIAROLE/" in signed["Authorization"]
        assert signed["X-Amz-Security-Token"] == "of-the-role"


@pytest.mark.usefixtures("credentials")
async def test_a_role_that_is_refused_is_told_without_its_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(sts([], 403)) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        sign = signing(roleArn=ROLE)
        with pytest.raises(PrometheusUnavailable, match="sts:AssumeRole") as caught:
            await call_off_loop(lambda: sign(URL, b"", {}))
    assert caught.value.reason == "role-refused"
    assert "123456789012" not in str(caught.value)
