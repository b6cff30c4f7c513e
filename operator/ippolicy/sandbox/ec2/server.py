"""The HTTP endpoint: one thread a connection, on a free port of 127.0.0.1."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qsl

from ippolicy.sandbox.ec2.actions import ACTIONS, perform, unknown_action
from ippolicy.sandbox.ec2.calls import OK, Call, CallLog, caller_of
from ippolicy.sandbox.ec2.errors import Ec2CallError
from ippolicy.sandbox.ec2.faults import Faults, Loss
from ippolicy.sandbox.ec2.network import Network
from ippolicy.sandbox.ec2.protocol import protocol, write_error

log = logging.getLogger(__name__)

JOIN_S = 0.5


@dataclass(frozen=True, slots=True)
class _Answer:
    """`loss` says how much of it the caller gets."""

    status: int
    body: bytes
    loss: Loss | None = None


class Server:
    """Answers from construction until `close()`."""

    def __init__(
        self, network: Network, faults: Faults, calls: CallLog, clock: Callable[[], float]
    ) -> None:
        self._network = network
        self._faults = faults
        self._calls = calls
        self._clock = clock
        self._protocol = protocol()
        self._closing = Event()
        self._http = _Http(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = Thread(
            target=self._http.serve_forever, args=(0.05,), name="ec2-stand-in", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Returns once the port, the connections and their threads are gone."""
        self._closing.set()
        self._http.shutdown()
        self._thread.join(JOIN_S)
        self._http.server_close()
        self._http.close_connections()

    def answer(self, values: dict[str, str], user_agent: str) -> _Answer:
        """Meet the faults, do the call, write it down."""
        api = values.get("Action", "")
        caller = caller_of(user_agent)
        verdict = self._faults.judge(api, caller)
        loss = verdict.loss
        if loss is Loss.HANG:
            self._closing.wait()
        if loss in (Loss.HANG, Loss.DROP):
            self._record(api, caller, user_agent, loss.value)
            return _Answer(0, b"", loss)
        self._closing.wait(verdict.delay_s)
        try:
            if verdict.error is not None:
                raise verdict.error
            body = self._perform(api, values)
        except Ec2CallError as error:
            self._record(api, caller, user_agent, loss.value if loss else error.code)
            return _Answer(error.status, write_error(error), loss)
        self._record(api, caller, user_agent, loss.value if loss else OK)
        return _Answer(200, body, loss)

    def _perform(self, api: str, values: dict[str, str]) -> bytes:
        if api not in ACTIONS:
            raise unknown_action(api)
        result = perform(self._network, api, self._protocol.parse(api, values))
        return self._protocol.write(api, result)

    def _record(self, api: str, caller: str, user_agent: str, result: str) -> None:
        self._calls.record(Call(api, caller, user_agent, result, self._clock()))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(_Handler):
            def answer(self, values: dict[str, str], user_agent: str) -> _Answer:
                return answer(values, user_agent)

        return Handler


class _Http(ThreadingHTTPServer):
    """Knows its open connections, so that closing ends them all at once."""

    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connections: dict[socket.socket, Thread] = {}
        self._lock = Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        with self._lock:
            self._connections[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._lock:
            self._connections.pop(request, None)

    def close_connections(self) -> None:
        with self._lock:
            connections = dict(self._connections)
        for connection in connections:
            _shut(connection)
        for thread in connections.values():
            thread.join(JOIN_S)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's
        """Callers may go away at any time; anything else that ends a thread is a defect here."""
        failure = sys.exception()
        if isinstance(failure, ConnectionError):
            log.debug("connection from %s broke off: %s", client_address, failure)
        else:
            log.error("a call from %s failed in the stand-in", client_address, exc_info=failure)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def answer(self, values: dict[str, str], user_agent: str) -> _Answer:
        raise NotImplementedError

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        values = dict(parse_qsl(body.decode(), keep_blank_values=True))
        answer = self.answer(values, self.headers.get("User-Agent", ""))
        if answer.loss in (Loss.HANG, Loss.DROP):
            self._cut()
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", "text/xml;charset=UTF-8")
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if answer.loss is Loss.TRUNCATE:
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self._cut()
        else:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        log.debug(format, *args)

    def _cut(self) -> None:
        self.close_connection = True
        _shut(self.connection)


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("a connection was gone before it was closed")
