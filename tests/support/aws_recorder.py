"""An AWS endpoint that writes down the IAM action of each request, and has others answer it.

    with AwsRecorder() as aws:
        aws.answers["ec2"] = standin.endpoint_url
        ...                      # with AWS_ENDPOINT_URL=aws.url
        assert set(aws.asked) == {"ec2:DescribeSubnets"}

The service is the one that the request is signed for. STS gives any role, Managed Prometheus knows
no series; requests for other services go on to the URL in `answers`, as they are.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from botocore.loaders import create_loader

_SIGNED_FOR = re.compile(r"Credential=[^/]+/[0-9]{8}/[^/]+/([^/]+)/aws4_request")
_FORM = "application/x-www-form-urlencoded"
_ROLE = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<Credentials><AccessKeyId>role</AccessKeyId><SecretAccessKey>role</SecretAccessKey>
<SessionToken>role</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"""
_NO_SERIES = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}})
OWN_ANSWERS = {"sts": _ROLE, "aps": _NO_SERIES}


def action_of(service: str, method: str, path: str, body: bytes, content_type: str) -> str:
    """The IAM action that a request to `service` needs, such as eks:DescribeAddon.

    Raises KeyError where the service has no such operation.
    """
    if service == "aps" and re.search(r"/api/v1/query(_range)?$", path):
        return "aps:QueryMetrics"
    if content_type.startswith(_FORM):
        return f"{service}:{parse_qs(body.decode())['Action'][0]}"
    for name, (verb, pattern) in _operations(service).items():
        if verb == method and pattern.fullmatch(path):
            return f"{service}:{name}"
    raise KeyError(f"{service} has no {method} {path}")


@cache
def _operations(service: str) -> Mapping[str, tuple[str, re.Pattern[str]]]:
    """Method and path of each operation of a REST service, as botocore describes it."""
    found = create_loader().load_service_model(service, "service-2")["operations"]
    return {
        name: (one["http"]["method"], _pattern(one["http"]["requestUri"]))
        for name, one in found.items()
    }


def _pattern(uri: str) -> re.Pattern[str]:
    parts = re.split(r"\{[^}]+\}", uri.partition("?")[0])
    return re.compile("[^/]+".join(map(re.escape, parts)))


class AwsRecorder:
    """Answers on 127.0.0.1 while in `with`.

    Attributes:
        asked: the IAM action of each request; one that is none fails where `with` ends.
        answers: signing name of a service -> URL of what stands in for it.
        url: for AWS_ENDPOINT_URL.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, str] = {}
        self._strange: list[str] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()
        assert self._strange == []

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        """Write the request down, and have it answered: status and body."""
        signed = _SIGNED_FOR.search(headers.get("Authorization", ""))
        service = signed[1] if signed else "unsigned"
        path, content_type = urlsplit(target).path, headers.get("Content-Type", "")
        try:
            self.asked.append(action_of(service, method, path, body, content_type))
        except (KeyError, OSError) as error:
            self._strange.append(str(error))
            return 400, b""
        if service in OWN_ANSWERS:
            return 200, OWN_ANSWERS[service].encode()
        passed = {name: value for name, value in headers.items() if name != "Host"}
        url = self.answers[service] + target
        request = urllib.request.Request(url, body or None, passed, method=method)  # noqa: S310  (a stand-in on loopback)
        try:
            with urllib.request.urlopen(request, timeout=10) as answered:  # noqa: S310
                return answered.status, answered.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answered = answer(self.command, self.path, self.headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answered)))
                self.end_headers()
                self.wfile.write(answered)

            do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815  (as the base calls them)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
