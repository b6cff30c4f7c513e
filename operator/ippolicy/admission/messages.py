"""What the operator and the webhook's process tell each other: msgpack, after its length.

operator -> process   Shown, Tabled, Placed, in any order and at any time; Listen, once
process -> operator   Listening or Refused, once; then Counted
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import msgspec

_LENGTH_BYTES = 4


class Shown(msgspec.Struct, frozen=True, tag=True):
    """The certificate to show, and its key, in PEM."""

    certificate: bytes
    key: bytes


class Tabled(msgspec.Struct, frozen=True, tag=True):
    """All tables: namespace and name of a DaemonSet, and its table as `document` writes it."""

    tables: tuple[tuple[str, str, str], ...]


class Placed(msgspec.Struct, frozen=True, tag=True):
    """Some nodes of a DaemonSet: group and instance type of each, None for one that is gone."""

    namespace: str
    name: str
    places: dict[str, tuple[str, str] | None]


class Listen(msgspec.Struct, frozen=True, tag=True):
    """All is told that answers rest on: begin to answer."""


class Listening(msgspec.Struct, frozen=True, tag=True):
    """It answers, at this port."""

    port: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It cannot answer, and why; it ends."""

    message: str


class Counted(msgspec.Struct, frozen=True, tag=True):
    """Answers by verdict, since the process began."""

    counts: dict[str, int]


Order: TypeAlias = Shown | Tabled | Placed | Listen
Report: TypeAlias = Listening | Refused | Counted

_ORDER: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_REPORT: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def write(writer: asyncio.StreamWriter, message: Order | Report) -> None:
    """Have a message sent."""
    body = msgspec.msgpack.encode(message)
    writer.write(len(body).to_bytes(_LENGTH_BYTES) + body)


async def read_order(reader: asyncio.StreamReader) -> Order:
    """The next order. Raises IncompleteReadError or ConnectionError when the operator is gone."""
    return _ORDER.decode(await _body(reader))


async def read_report(reader: asyncio.StreamReader) -> Report:
    """The next report. Raises IncompleteReadError or ConnectionError when the process is gone."""
    return _REPORT.decode(await _body(reader))


async def _body(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
    return await reader.readexactly(length)
