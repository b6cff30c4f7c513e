"""The demand history as a few bytes, so that it outlives the process: written whole, read strictly.

    4 bytes   "ippd"
    2 bytes   version, big endian
    4 bytes   size of the body, big endian
    n bytes   the body, compressed by zlib
    16 bytes  the first half of SHA-256 over all of the above

This frame is the same in every version, so a damaged checkpoint is told from one of a newer
operator. The body of version 1:

    4 bytes   size of the table, big endian
    n bytes   the table as JSON: when it was saved, the groups, and for each trace the node, the
              number of its group, since, until, level, weight, number of events
    4 x n     for all events of all traces: tenths of a second since the one before it in its trace
              (the first: since the trace begins), all lowest bytes first, the highest last
    n / 8     for all events, one bit: whether a pod came

Where not all traces fit, a fair sample of them by group and level is kept, each weighing what it
stands for. An event takes some 12 bits, so 256 KiB hold 75 node days of 100 events an hour.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ippolicy.decide.resample import FairOrder
from ippolicy.errors import CorruptCheckpoint, NewerCheckpoint
from ippolicy.facts import NodeTrace

VERSION: Final = 1
MAX_BYTES: Final = 256 * 2**10
"""What an operator writes at most: a fourth of what a ConfigMap holds."""
MOST_EVENTS: Final = 2 * MAX_BYTES
"""As many as would fit if each took four bits; no more need be copied out of a history."""

_READ_BYTES: Final = 2**20  # what a ConfigMap holds at most
_BODY_BYTES: Final = 8 * 2**20
_TRACES: Final = 50_000
_LATEST_S: Final = 2.0**36  # the year 4147; later times are nonsense

_FRAME: Final = struct.Struct(">4sHI")
_MAGIC: Final = b"ippd"
_DIGEST_BYTES: Final = 16
_SIZE: Final = struct.Struct(">I")
_TICKS_PER_SECOND: Final = 10
_ROUNDING_TICKS: Final = 1e-3
_SLACK: Final = 0.98

_NAME_LENGTH: Final = 253
_HEAVIEST: Final = 1e9

_Name = Annotated[str, msgspec.Meta(max_length=_NAME_LENGTH)]
_Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]
_Moment = Annotated[float, msgspec.Meta(ge=0, le=_LATEST_S)]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds: demand as it was known at `saved_at_s`."""

    saved_at_s: float
    traces: tuple[NodeTrace, ...]


class _Row(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    node: _Name
    group: _Count
    since_s: _Moment
    until_s: _Moment
    level: _Count
    weight: Annotated[float, msgspec.Meta(ge=1, le=_HEAVIEST)]
    events: _Count


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    saved_at_s: _Moment
    groups: Annotated[list[_Name], msgspec.Meta(max_length=_TRACES)]
    traces: Annotated[list[_Row], msgspec.Meta(max_length=_TRACES)]


_TABLE = msgspec.json.Decoder(_Table)


def encode(traces: Sequence[NodeTrace], now_s: float, *, max_bytes: int = MAX_BYTES) -> bytes:
    """`traces` in at most `max_bytes` bytes: all of them whole, or a fair sample.

    The same traces give the same bytes. What is no trace (`decode` would refuse it) is left out.
    Raises ValueError where `max_bytes` is too little for a checkpoint without any trace.
    """
    sound = [trace for trace in traces if _sound(trace)]
    fair = FairOrder(
        groups=[trace.group for trace in sound],
        levels=[_mean_level(trace) for trace in sound],
        weights=[trace.weight for trace in sound],
        spans_s=[trace.span_s for trace in sound],
        events=[len(trace.times_s) for trace in sound],
    )
    sizes = np.cumsum(fair.costs[fair.order])
    count = min(_TRACES, int(np.searchsorted(sizes, _BODY_BYTES / 4, "right")))
    while True:
        drawn = [replace(sound[i], weight=sound[i].weight * n) for i, n in fair.first(count)]
        body = _body(drawn, now_s)
        data = framed(body)
        room = min(max_bytes / len(data), _BODY_BYTES / len(body))
        if room >= 1:
            return data
        if not count:
            raise ValueError(f"max_bytes is {max_bytes}: a checkpoint takes {len(data)} or more")
        fitting = int(np.searchsorted(sizes, room * _SLACK * sizes[count - 1], "right"))
        count = min(count - 1, fitting)


def decode(data: bytes) -> Checkpoint:
    """What `encode` was given, or the sample of it that fitted.

    Raises:
        CorruptCheckpoint: these are not the bytes that were written.
        NewerCheckpoint: they are whole, but of a version that is not known here.
    """
    body = unframed(data)
    try:
        return _read_body(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, struct.error, RecursionError) as error:
        raise CorruptCheckpoint(f"its table cannot be read ({error})") from error


def framed(body: bytes) -> bytes:
    """`body` in the frame of every checkpoint."""
    data = _FRAME.pack(_MAGIC, VERSION, len(body)) + zlib.compress(body)
    return data + _digest(data)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_DIGEST_BYTES]


def unframed(data: bytes) -> bytes:
    """The body, once everything that can be known without reading it is right.

    Raises:
        CorruptCheckpoint: these are not the bytes that were written.
        NewerCheckpoint: they are whole, but of a version that is not known here.
    """
    content, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not _FRAME.size < len(content) <= _READ_BYTES:
        raise CorruptCheckpoint(f"it has {len(data)} bytes")
    magic, version, size = _FRAME.unpack_from(content)
    if magic != _MAGIC or version < 1 or digest != _digest(content):
        raise CorruptCheckpoint("its checksum is wrong")
    if version > VERSION:
        raise NewerCheckpoint(f"it is of version {version}, known here is {VERSION}")
    if size > _BODY_BYTES:
        raise CorruptCheckpoint(f"it would unpack to {size} bytes")
    unpacking = zlib.decompressobj()
    try:
        body = unpacking.decompress(content[_FRAME.size :], size + 1)
    except zlib.error as error:
        raise CorruptCheckpoint(f"it cannot be unpacked ({error})") from error
    if len(body) != size or not unpacking.eof or unpacking.unused_data:
        raise CorruptCheckpoint(f"it does not unpack to the {size} bytes that it names")
    return body


def _body(traces: Sequence[NodeTrace], now_s: float) -> bytes:
    groups = {group: number for number, group in enumerate(sorted({t.group for t in traces}))}
    rows = [
        _Row(
            trace.node,
            groups[trace.group],
            trace.since_s,
            trace.until_s,
            trace.level,
            trace.weight,
            len(trace.times_s),
        )
        for trace in traces
    ]
    table = msgspec.json.encode(_Table(now_s, list(groups), rows))
    deltas = np.concatenate([np.zeros(0, dtype="<u4"), *map(_deltas, traces)])
    changes = np.concatenate([np.zeros(0, dtype=np.int8), *(trace.changes for trace in traces)])
    bytes_of_each = deltas.view(np.uint8).reshape(len(deltas), 4)
    return b"".join(
        (
            _SIZE.pack(len(table)),
            table,
            bytes_of_each.T.tobytes(),
            np.packbits(changes > 0).tobytes(),
        )
    )


def _read_body(body: bytes) -> Checkpoint:
    (table_bytes,) = _SIZE.unpack_from(body)
    at = _SIZE.size + table_bytes
    table = _TABLE.decode(body[_SIZE.size : at])
    events = sum(row.events for row in table.traces)
    if len(body) != at + 4 * events + math.ceil(events / 8):
        raise CorruptCheckpoint(f"its table names {events} events, and it holds others")
    columns = np.frombuffer(body, dtype=np.uint8, offset=at)
    deltas = columns[: 4 * events].reshape(4, events).T.copy().view("<u4")[:, 0]
    changes = np.unpackbits(columns[4 * events :], count=events).astype(np.int8) * 2 - 1
    traces, first = [], 0
    for row in table.traces:
        part = slice(first, first := first + row.events)
        if row.group >= len(table.groups):
            raise CorruptCheckpoint(f"it has no group {row.group}")
        ticks = _tick(row.since_s) + np.cumsum(deltas[part], dtype=np.int64)
        trace = NodeTrace(
            node=row.node,
            group=table.groups[row.group],
            since_s=row.since_s,
            until_s=row.until_s,
            level=row.level,
            times_s=ticks / _TICKS_PER_SECOND,
            changes=changes[part],
            weight=row.weight,
        )
        if not _sound(trace):
            raise CorruptCheckpoint(f"the demand of node {row.node!r} cannot be")
        traces.append(trace)
    return Checkpoint(table.saved_at_s, tuple(traces))


def _sound(trace: NodeTrace) -> bool:
    """Whether it is the demand of a node: names of a length that they can have, times that ascend
    within the time watched, and never less than no pods."""
    times, levels = trace.times_s, trace.level + np.cumsum(trace.changes, dtype=np.int64)
    ends = (*times[:1], *times[-1:])
    latest_s = min(_LATEST_S, trace.since_s + 2**31 / _TICKS_PER_SECOND)
    return bool(
        max(len(trace.node), len(trace.group)) <= _NAME_LENGTH
        and 0 <= trace.since_s <= trace.until_s <= latest_s
        and 0 <= trace.level < 2**31
        and 1 <= trace.weight <= _HEAVIEST
        and np.all(levels >= 0)
        and np.all(np.isfinite(times))
        and np.all(np.diff(times) >= 0)
        and all(_tick(trace.since_s) <= _tick(at_s) <= _tick(trace.until_s) for at_s in ends)
    )


def _tick(at_s: float) -> int:
    return math.floor(at_s * _TICKS_PER_SECOND + _ROUNDING_TICKS)


def _deltas(trace: NodeTrace) -> NDArray[np.uint32]:
    ticks = np.floor(trace.times_s * _TICKS_PER_SECOND + _ROUNDING_TICKS).astype(np.int64)
    return np.diff(ticks, prepend=_tick(trace.since_s)).astype("<u4")


def _mean_level(trace: NodeTrace) -> float:
    return trace.level + float(trace.changes @ (trace.until_s - trace.times_s)) / (
        trace.span_s or 1.0
    )
