"""The webhook's process, as `process.WebhookProcess` starts it: it ends when the operator does.

python -m ippolicy.admission HOST PORT DESCRIPTOR-OF-A-SOCKET
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from contextlib import suppress

from ippolicy.admission import messages
from ippolicy.admission.certificates import Identity
from ippolicy.admission.server import WebhookServer
from ippolicy.decide.births.document import read_table
from ippolicy.decide.births.table import NodePlace
from ippolicy.errors import InvalidSetting
from ippolicy.facts import DaemonSetRef

COUNT_S = 0.2


async def _serve(host: str, port: int, descriptor: int) -> None:
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
    server = WebhookServer(host=host, port=port)
    counting = asyncio.create_task(_count(server, writer))
    try:
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # the operator is gone
            while True:
                await _obey(server, await messages.read_order(reader), writer)
                await asyncio.sleep(0)  # answers go before the next order, however many there are
    finally:
        counting.cancel()
        await server.stop()
        with suppress(ConnectionError):
            messages.write(writer, _counted(server))
            await writer.drain()
        writer.close()


async def _obey(server: WebhookServer, order: messages.Order, writer: asyncio.StreamWriter) -> None:
    match order:
        case messages.Shown():
            server.present(Identity(order.certificate, order.key))
        case messages.Tabled():
            server.answer_by(
                {DaemonSetRef(space, name): read_table(text) for space, name, text in order.tables}
            )
        case messages.Placed():
            places = {
                node: NodePlace(*place) if place is not None else None
                for node, place in order.places.items()
            }
            server.place(DaemonSetRef(order.namespace, order.name), places)
        case messages.Listen():
            gc.collect()
            gc.freeze()  # what stays for good need not be looked through while pods wait
            try:
                await server.start()
            except InvalidSetting as error:
                messages.write(writer, messages.Refused(str(error)))
            else:
                messages.write(writer, messages.Listening(server.port))


async def _count(server: WebhookServer, writer: asyncio.StreamWriter) -> None:
    told = _counted(server)
    while True:
        await asyncio.sleep(COUNT_S)
        if (counted := _counted(server)) != told:
            messages.write(writer, told := counted)


def _counted(server: WebhookServer) -> messages.Counted:
    return messages.Counted({verdict.value: count for verdict, count in server.counts.items()})


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
