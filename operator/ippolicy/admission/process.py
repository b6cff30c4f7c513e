"""The webhook in a process of its own, kept running, and told all that its answers rest on.

the operator           the process
---------------------  --------------------------------------------------------------
searches, collects     answers on, for it shares no lock and no memory
ends, however it does  ends, since their socket does
sees it end            is started again, and told everything before it answers
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
import time
from asyncio.subprocess import Process
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from ippolicy.admission import messages
from ippolicy.admission.certificates import Identity
from ippolicy.admission.mutate import Verdict
from ippolicy.admission.server import show
from ippolicy.decide.births.document import write_table
from ippolicy.decide.births.table import NodePlace, PolicyTable
from ippolicy.errors import InvalidSetting
from ippolicy.facts import DaemonSetRef

AGAIN_S = 1.0
"""Time from the end of a process to the start of the next."""
START_S = 60.0
"""Time in which a process has to listen; it takes a second, and longer on a busy machine."""
END_S = 5.0
"""Time that a process has to end in order."""
NODES_AT_ONCE = 250
"""Nodes in one message: the process answers between two of them."""

_log = logging.getLogger("ippolicy")


@dataclass(frozen=True, slots=True)
class _Line:
    """A process that runs, and both ways to it."""

    process: Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class WebhookProcess:
    """A `WebhookServer` elsewhere. To be called on one event loop."""

    def __init__(
        self, *, host: str, port: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._host, self._port = host, port
        self._clock = clock
        self._identity: Identity | None = None
        self._tables: Mapping[DaemonSetRef, PolicyTable] = {}
        self._places: defaultdict[DaemonSetRef, dict[str, NodePlace]] = defaultdict(dict)
        self._line: _Line | None = None
        self._listens_at = port
        self._keeping: asyncio.Task[None] | None = None
        self._down_since_s: float | None = None
        self._before: Counter[Verdict] = Counter()
        self._counts: Counter[Verdict] = Counter()

    @property
    def running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._keeping is not None

    @property
    def down_s(self) -> float:
        """How long nobody has answered, in spite of all starts; 0 while somebody does."""
        return 0.0 if self._down_since_s is None else self._clock() - self._down_since_s

    @property
    def pid(self) -> int | None:
        """The process's id, None where there is none."""
        return self._line.process.pid if self._line is not None else None

    @property
    def port(self) -> int:
        """The port that is listened on, which the system chose if it was given as 0."""
        return self._listens_at

    @property
    def counts(self) -> Mapping[Verdict, int]:
        """How many answers of each kind were given; a moment old."""
        total = self._before + self._counts
        return MappingProxyType({verdict: total[verdict] for verdict in Verdict})

    def answer_by(self, tables: Mapping[DaemonSetRef, PolicyTable]) -> None:
        """Answer by these tables, and no others, from now on."""
        if tables == self._tables:
            return
        self._tables = dict(tables)
        self._tell(self._tabled())

    def place(self, ref: DaemonSetRef, places: Mapping[str, NodePlace | None]) -> None:
        """Tell what the targets of some nodes go by; None forgets a node."""
        known = self._places[ref]
        changed = {node: place for node, place in places.items() if known.get(node) != place}
        for node, place in changed.items():
            if place is None:
                del known[node]
            else:
                known[node] = place
        for message in _placed(ref, changed):
            self._tell(message)

    def present(self, identity: Identity) -> None:
        """Show this certificate to new connections, a moment from now; open ones stay open.

        Raises:
            CertificatesUnreadable: it cannot be shown; the one before still is.
        """
        self._take(identity)
        self._tell(messages.Shown(identity.certificate, identity.key))

    async def start(self, identity: Identity) -> None:
        """Listen.

        Raises:
            CertificatesUnreadable: the certificate cannot be shown.
            InvalidSetting: the port is taken, or there can be no process.
        """
        self._take(identity)
        self._line = await self._started()
        self._keeping = asyncio.create_task(self._keep(self._line), name="webhook")

    async def stop(self) -> None:
        """Stop listening; the API server then lets pods through as their template says."""
        keeping, self._keeping = self._keeping, None
        if keeping is None:
            return
        if self._line is not None:
            self._line.writer.write_eof()
        else:
            keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        self._down_since_s = None
        self._listens_at = self._port

    def _take(self, identity: Identity) -> None:
        show(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), identity)  # here it is told if it cannot be
        self._identity = identity

    async def _keep(self, line: _Line | None) -> None:
        """Hear what the process reports, and start the next when it is gone."""
        while True:
            if line is not None:
                await self._hear(line.reader)
                code = await self._hung_up(line)
                if not self.running:
                    return
                self._down_since_s = self._clock()
                _log.error("the webhook's process ended with %s: it is started again", code)
            await asyncio.sleep(AGAIN_S)
            line = await self._started_again()

    async def _started_again(self) -> _Line | None:
        try:
            self._line = await self._started()
        except InvalidSetting as error:
            _log.error("the webhook's process cannot be started again: %s", error)
        else:
            self._down_since_s = None
        return self._line

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        """Take in what is reported until the process closes its end."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                report = await messages.read_report(reader)
                if isinstance(report, messages.Counted):
                    self._counts = Counter({Verdict(key): n for key, n in report.counts.items()})

    async def _started(self) -> _Line:
        """A process that listens and knows everything. Raises InvalidSetting."""
        ours, theirs = socket.socketpair()
        arguments = (self._host, str(self._listens_at), str(theirs.fileno()))
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "ippolicy.admission", *arguments),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    process_group=0,  # Ctrl-C is for the operator, which ends it in order
                )
            except OSError as error:
                ours.close()
                raise InvalidSetting(f"the webhook's process cannot be started: {error}") from error
        line = _Line(process, *await asyncio.open_connection(sock=ours))
        try:
            self._listens_at = await self._introduced(line)
        except BaseException:
            await self._hung_up(line)
            raise
        return line

    async def _introduced(self, line: _Line) -> int:
        """The port that a new process listens at, once it was told everything."""
        self._line = line  # what changes while it starts is told as well
        for order in self._everything():
            messages.write(line.writer, order)
        try:
            async with asyncio.timeout(START_S):
                report = await messages.read_report(line.reader)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
            raise InvalidSetting(
                "the webhook's process does not listen: its own words are in the log above"
            ) from error
        match report:
            case messages.Listening(port):
                return port
            case messages.Refused(message):
                raise InvalidSetting(message)
            case messages.Counted():
                raise InvalidSetting("the webhook's process counts before it listens")

    def _everything(self) -> Iterator[messages.Order]:
        assert self._identity is not None  # noqa: S101  (`start` was given one)
        yield messages.Shown(self._identity.certificate, self._identity.key)
        yield self._tabled()
        for ref, places in self._places.items():
            yield from _placed(ref, places)
        yield messages.Listen()

    def _tabled(self) -> messages.Tabled:
        tables = self._tables.items()
        return messages.Tabled(
            tuple((ref.namespace, ref.name, write_table(table)) for ref, table in tables)
        )

    def _tell(self, order: messages.Order) -> None:
        if self._line is not None:
            messages.write(self._line.writer, order)

    async def _hung_up(self, line: _Line) -> int:
        """The exit code of a process that is gone, or is made to go; what it counted is kept."""
        self._line = None
        self._before, self._counts = self._before + self._counts, Counter()
        line.writer.close()
        try:
            async with asyncio.timeout(END_S):
                return await line.process.wait()
        except TimeoutError:
            line.process.kill()
            return await line.process.wait()


def _placed(ref: DaemonSetRef, places: Mapping[str, NodePlace | None]) -> Iterator[messages.Placed]:
    rows = [
        (node, (place.group, place.instance_type) if place is not None else None)
        for node, place in places.items()
    ]
    for first in range(0, len(rows), NODES_AT_ONCE):
        yield messages.Placed(ref.namespace, ref.name, dict(rows[first : first + NODES_AT_ONCE]))
