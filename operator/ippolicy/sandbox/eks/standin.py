"""The endpoint of EKS: what boto3 asks of an add-on, over HTTP on the loopback."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from ippolicy.sandbox.eks.addon import ADDON, SCHEMA, AddonState, EksCallError

log = logging.getLogger(__name__)

CLUSTER: Final = "sandbox"


class EksStandIn:
    """Answers for one cluster from construction until `stop()`; use it in `with`.

    Attributes:
        addon: the add-on, None where the cluster has none.
        refusals: by API, what the next calls of it are refused with, one each.
        lost: APIs whose next call is carried out and not answered.
        calls: API -> how often it was called.
    """

    def __init__(self, cluster: str = CLUSTER, addon: AddonState | None = None) -> None:
        self.cluster = cluster
        self.addon = addon
        self.schema: str = json.dumps(SCHEMA)
        self.refusals: dict[str, list[EksCallError]] = {}
        self.lost: list[str] = []
        self.calls: Counter[str] = Counter()
        standin = self

        class Handler(_Handler):
            def carry_out(self, method: str, body: dict[str, Any]) -> tuple[str, Any]:
                return standin.answer(method, self.path, body)

            def is_lost(self, api: str) -> bool:
                if api not in standin.lost:
                    return False
                standin.lost.remove(api)
                return True

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), name="eks-stand-in", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[str, Any]:
        """The API that was called, and its answer. Raises EksCallError."""
        url = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        api = self._api(method, url.path.strip("/").split("/"))
        self.calls[api] += 1
        if self.refusals.get(api):
            raise self.refusals[api].pop(0)
        if api == "DescribeAddonConfiguration":
            return api, {"configurationSchema": self.schema, **query}
        steps = url.path.strip("/").split("/")
        if steps[1] != self.cluster:
            raise _missing(f"No cluster found for name: {steps[1]}.")
        if self.addon is None or ADDON not in (steps[3], query.get("addonName")):
            raise _missing(f"No addon: {steps[3]} found in cluster: {steps[1]}")
        if api == "DescribeAddon":
            return api, {"addon": {"clusterName": self.cluster, **self.addon.describe()}}
        if api == "UpdateAddon":
            return api, {"update": self.addon.update(body)}
        return api, {"update": self.addon.describe_update(steps[3])}

    @staticmethod
    def _api(method: str, steps: list[str]) -> str:
        match method, *steps:
            case "GET", "addons", "configuration-schemas":
                return "DescribeAddonConfiguration"
            case "GET", "clusters", _, "addons", _:
                return "DescribeAddon"
            case "POST", "clusters", _, "addons", _, "update":
                return "UpdateAddon"
            case "GET", "clusters", _, "updates", _:
                return "DescribeUpdate"
        raise EksCallError("UnknownOperationException", "not an operation of EKS", 404)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def carry_out(self, method: str, body: dict[str, Any]) -> tuple[str, Any]:
        raise NotImplementedError

    def is_lost(self, api: str) -> bool:
        raise NotImplementedError

    def do_GET(self) -> None:
        self._serve("GET", {})

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        self._serve("POST", json.loads(self.rfile.read(length) or b"{}"))

    def _serve(self, method: str, body: dict[str, Any]) -> None:
        try:
            api, answer = self.carry_out(method, body)
        except EksCallError as error:
            self._send(error.status, {"message": str(error)}, error.code)
            return
        if self.is_lost(api):
            self.close_connection = True
            return
        self._send(200, answer)

    def _send(self, status: int, answer: Any, code: str = "") -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if code:
            self.send_header("x-amzn-ErrorType", code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        log.debug(format, *args)


def _missing(message: str) -> EksCallError:
    return EksCallError("ResourceNotFoundException", message, 404)
