"""A checkpoint gives back what it was given, keeps its bound, and never trusts what it reads."""

from __future__ import annotations

import hashlib
import struct
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import NOW_S, node, trace
from ippolicy.decide import checkpoint
from ippolicy.decide.checkpoint import MAX_BYTES, MOST_EVENTS, decode, encode
from ippolicy.decide.history import DemandHistory
from ippolicy.errors import CorruptCheckpoint, NewerCheckpoint
from ippolicy.facts import NodeTrace, watched_s

DAY_S = 86_400.0


def told(trace: NodeTrace) -> tuple[object, ...]:
    """All of a trace, comparable; times to a tenth of a second."""
    ticks = np.floor(trace.times_s * 10 + 1e-3).astype(np.int64).tolist()
    changes = trace.changes.tolist()
    scalars = (trace.node, trace.group, trace.since_s, trace.until_s, trace.level, trace.weight)
    return (*scalars, ticks, changes)


def busy(number: int, *, group: str = "blue", events: int = 400, level: int = 20) -> NodeTrace:
    """A day of a node whose pods come and go at random."""
    rng = np.random.default_rng(number)
    one = trace(number, level=level, span_s=DAY_S, group=group)
    steps = np.where(np.arange(events) % 2 == number % 2, 1, -1).astype(np.int8)
    return replace(one, times_s=one.since_s + np.sort(rng.uniform(0, DAY_S, events)), changes=steps)


@st.composite
def traces(draw: st.DrawFn) -> list[NodeTrace]:
    """Traces as histories give them: times in tenths of a second."""
    made = []
    for number in range(draw(st.integers(0, 8))):
        since_s = NOW_S + draw(st.floats(-90_000, 0))
        level = at = draw(st.integers(0, 5))
        times, changes, at_s = [], [], since_s
        for wait_s, arrives in draw(st.lists(st.tuples(st.floats(0, 900), st.booleans()))):
            at_s += wait_s
            step = 1 if arrives or at == 0 else -1
            at += step
            times.append(at_s)
            changes.append(step)
        made.append(
            NodeTrace(
                node=draw(st.text(max_size=10)) or f"node-{number}",
                group=draw(st.sampled_from(["blue", "green", "größe"])),
                since_s=since_s,
                until_s=at_s + draw(st.floats(0, 100)),
                level=level,
                times_s=np.array(times, dtype=np.float64),
                changes=np.array(changes, dtype=np.int8),
                weight=draw(st.sampled_from([1.0, 2.5])),
            )
        )
    return made


@given(given_traces=traces(), now_s=st.floats(NOW_S, NOW_S + 1e6))
def test_a_small_cluster_is_kept_whole(given_traces: list[NodeTrace], now_s: float) -> None:
    read = decode(encode(given_traces, now_s))
    assert read.saved_at_s == now_s
    assert list(map(told, read.traces)) == list(map(told, given_traces))


@given(given_traces=traces(), max_bytes=st.integers(120, 900))
def test_the_bound_is_kept_whatever_it_is(given_traces: list[NodeTrace], max_bytes: int) -> None:
    data = encode(given_traces, NOW_S, max_bytes=max_bytes)
    assert len(data) <= max_bytes
    known = {told(one)[:5] for one in given_traces}
    assert all(told(one)[:5] in known for one in decode(data).traces)


def test_a_bound_below_an_empty_checkpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="max_bytes is 40"):
        encode([], NOW_S, max_bytes=40)


def test_the_same_traces_give_the_same_bytes() -> None:
    fleet = [busy(number) for number in range(200)]
    assert encode(fleet, NOW_S, max_bytes=20_000) == encode(fleet, NOW_S, max_bytes=20_000)


def test_a_large_cluster_is_sampled_by_group_and_level_and_what_is_kept_is_whole() -> None:
    fleet = [
        *(busy(n, level=10 + 20 * (n % 3)) for n in range(300)),
        *(busy(1_000 + n, group="green") for n in range(100)),
        busy(2_000, group="alone"),
    ]
    whole = {told(one)[:5]: told(one) for one in fleet}
    data = encode(fleet, NOW_S, max_bytes=40_000)
    kept = decode(data).traces
    assert 35_000 < len(data) <= 40_000
    assert all(told(one)[6:] == whole[told(one)[:5]][6:] for one in kept)
    groups = Counter(one.group for one in kept)
    assert groups["alone"] == 1
    assert groups["blue"] == pytest.approx(3 * groups["green"], rel=0.15)
    levels = Counter(one.level for one in kept if one.group == "blue")
    assert max(levels.values()) - min(levels.values()) <= 2


def test_what_is_kept_weighs_as_much_as_all() -> None:
    fleet = [busy(n, group="blue" if n % 4 else "green") for n in range(200)]
    kept = decode(encode(fleet, NOW_S, max_bytes=20_000)).traces
    assert len(kept) < 50
    for group, nodes in (("blue", 150), ("green", 50)):
        weight = sum(one.weight for one in kept if one.group == group)
        assert weight == pytest.approx(nodes)
    again = decode(encode(kept, NOW_S, max_bytes=10_000)).traces
    assert sum(one.weight for one in again) == pytest.approx(200)


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": 0, "times_s": np.array([NOW_S - 9]), "changes": np.array([-1], dtype=np.int8)},
        {"times_s": np.array([NOW_S + 9]), "changes": np.array([1], dtype=np.int8)},
        {"times_s": np.array([np.inf]), "changes": np.array([1], dtype=np.int8)},
        {"times_s": np.array([np.nan]), "changes": np.array([1], dtype=np.int8)},
        {"since_s": -5.0},
        {"since_s": float("nan")},
        {"until_s": float("inf")},
        {"node": "n" * 254},
        {"weight": 0.5},
    ],
)
def test_what_is_no_trace_is_left_out(wrong: dict[str, Any]) -> None:
    data = encode([trace(1), replace(trace(2), **wrong), trace(3)], NOW_S)
    assert [one.node for one in decode(data).traces] == ["node-1", "node-3"]


# What is read


WHOLE = encode([busy(number, events=40) for number in range(5)], NOW_S)


@pytest.mark.parametrize("bit", range(8))
@given(at=st.integers(0, len(WHOLE) - 1))
def test_any_flipped_bit_is_found(bit: int, at: int) -> None:
    data = bytearray(WHOLE)
    data[at] ^= 1 << bit
    with pytest.raises(CorruptCheckpoint):
        decode(bytes(data))


def test_any_cut_is_found() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(CorruptCheckpoint):
            decode(WHOLE[:length])
    with pytest.raises(CorruptCheckpoint):
        decode(WHOLE + b"\0")


@given(data=st.binary(max_size=400))
def test_other_bytes_are_no_checkpoint(data: bytes) -> None:
    with pytest.raises(CorruptCheckpoint):
        decode(data)


def framed(body: bytes, *, version: int = 1, size: int | None = None) -> bytes:
    """A frame with a right checksum around any body."""
    unpacked = len(body) if size is None else size
    data = struct.pack(">4sHI", b"ippd", version, unpacked) + zlib.compress(body)
    return data + hashlib.sha256(data).digest()[:16]


def body(table: Any, columns: bytes = b"") -> bytes:
    """A body with any table."""
    packed = table if isinstance(table, bytes) else msgspec.json.encode(table)
    return struct.pack(">I", len(packed)) + packed + columns


def test_a_newer_version_is_told_from_a_damaged_one() -> None:
    with pytest.raises(NewerCheckpoint, match="version 2, known here is 1"):
        decode(framed(b"anything at all", version=2))
    with pytest.raises(CorruptCheckpoint):
        decode(framed(b"anything at all", version=0))
    with pytest.raises(CorruptCheckpoint):
        decode(framed(b"anything at all", version=2)[:-1])


ROW = ["node-1", 0, 100.0, 200.0, 1, 1.0, 1]
ONE_EVENT = b"\1\0\0\0\x80"


def table(row: Sequence[Any] = ROW, **changes: Any) -> dict[str, Any]:
    return {"saved_at_s": 200.0, "groups": ["blue"], "traces": [list(row)], **changes}


def test_a_body_made_by_hand_is_read() -> None:
    (read,) = decode(framed(body(table(), ONE_EVENT))).traces
    assert (read.node, read.times_s.tolist(), read.changes.tolist()) == ("node-1", [100.1], [1])


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"\xff" * 40,
        struct.pack(">I", 2**31),
        body(b"{}"),
        body(b"[" * 100_000),
        body(b'{"saved_at_s":' + b"[" * 100_000),
        body(b'{"saved_at_s":1e999,"groups":[],"traces":[]}'),
        body(b'{"saved_at_s":' + b"9" * 5_000 + b',"groups":[],"traces":[]}'),
        body(table(more=1), ONE_EVENT),
        body(table(saved_at_s=-1.0), ONE_EVENT),
        body(table(groups=[]), ONE_EVENT),
        body(table(groups=["g" * 254]), ONE_EVENT),
        body(table(), b""),
        body(table(), ONE_EVENT + b"\0"),
        body(table(), ONE_EVENT[:-1]),
        body(table(traces=[ROW, ROW]), ONE_EVENT),
        body(table(traces=[[]] * 50_001)),
        body(table(["node-1", 0, 100.0, 200.0, 0, 1.0, 1]), b"\1\0\0\0\0"),
        body(table(["node-1", -1, 100.0, 200.0, 1, 1.0, 1]), ONE_EVENT),
        body(table(["node-1", 0, 200.0, 100.0, 1, 1.0, 0])),
        body(table(["node-1", 0, 100.0, 1e12, 1, 1.0, 0])),
        body(table(["node-1", 0, 100.0, 200.0, 1, 0.0, 1]), ONE_EVENT),
        body(table(["node-1", 0, 100.0, 200.0, -1, 1.0, 1]), ONE_EVENT),
        body(table(["node-1", 0, 100.0, 200.0, 1, 1.0, 2**30]), ONE_EVENT),
        body(table(["node-1", 0, 100.0, 200.0, 1, 1.0, -1]), ONE_EVENT),
        body(table(), b"\xff\xff\xff\xff\x80"),
    ],
    ids=lambda wrong: repr(wrong[:24]),
)
def test_a_body_that_cannot_be_is_corrupt_though_its_checksum_is_right(wrong: bytes) -> None:
    with pytest.raises(CorruptCheckpoint):
        decode(framed(wrong))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(at=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.integers(0, 3))
def test_a_damaged_body_gives_a_checkpoint_or_is_corrupt_and_nothing_else(
    at: int, value: int, cut: int
) -> None:
    right = bytearray(zlib.decompress(WHOLE[10:-16]))
    right[at % len(right)] = value
    try:
        read = decode(framed(bytes(right[: len(right) - cut])))
    except CorruptCheckpoint:
        return
    for one in read.traces:
        assert np.all(one.level + np.cumsum(one.changes, dtype=np.int64) >= 0)
        assert np.all(np.diff(one.times_s) >= 0)


@pytest.mark.parametrize("size", [None, 4_096, 2**31])
def test_a_bomb_is_not_unpacked(size: int | None) -> None:
    bomb = framed(b"\0" * (64 * 2**20), size=size)
    tracemalloc.start()
    with pytest.raises(CorruptCheckpoint):
        decode(bomb)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(bomb) < 2**20
    assert peak_bytes < 2 * 2**20


def test_more_bytes_than_a_config_map_holds_are_not_looked_at() -> None:
    with pytest.raises(CorruptCheckpoint, match="bytes"):
        decode(framed(np.random.default_rng(1).bytes(2 * 2**20)))


# With a history


def test_a_history_goes_on_after_a_restart_where_the_checkpoint_ended() -> None:
    before = DemandHistory(window_s=2 * DAY_S, started_at_s=NOW_S)
    before.adopt([busy(number) for number in range(5)])
    before.sync([node(5)], {"node-5": 3}, NOW_S)
    data = encode(before.sample(NOW_S + 60, events=MOST_EVENTS), NOW_S + 60)
    after = DemandHistory(window_s=2 * DAY_S, started_at_s=NOW_S + 90.5)
    after.adopt(decode(data).traces)
    kept = before.traces(NOW_S + 60)
    assert sorted(map(told, after.traces(NOW_S + 91))) == sorted(map(told, kept))


def test_the_largest_cluster_is_sampled_without_copying_it() -> None:
    nodes, events_each = 400, 2_400
    history = DemandHistory(window_s=DAY_S, started_at_s=NOW_S)
    history.adopt(busy(number, events=events_each) for number in range(nodes))
    tracemalloc.start()
    drawn = history.sample(NOW_S, events=MOST_EVENTS)
    data = encode(drawn, NOW_S)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    started_s = time.process_time()
    encode(drawn, NOW_S)
    took_s = time.process_time() - started_s
    assert 0.9 * MAX_BYTES < len(data) <= MAX_BYTES
    assert sum(one.weight for one in decode(data).traces) == pytest.approx(nodes)
    assert peak_bytes < 40 * 2**20  # it is bounded by events, whatever the number of nodes
    assert took_s < 5


def test_a_day_outlives_any_number_of_restarts() -> None:
    nodes = 400
    members, levels = [node(n) for n in range(nodes)], {f"node-{n}": 3 for n in range(nodes)}
    at_s, kept, days = NOW_S, [busy(n, events=300) for n in range(nodes)], []
    for _ in range(6):
        history = DemandHistory(window_s=2 * DAY_S, started_at_s=at_s)
        history.adopt(kept)
        history.sync(members, levels, at_s)
        at_s += 600
        data = encode(history.sample(at_s, events=MOST_EVENTS), at_s, max_bytes=30_000)
        kept = list(decode(data).traces)
        days.append([one for one in kept if one.span_s == DAY_S])
        assert watched_s(kept) == pytest.approx(DAY_S + at_s - NOW_S)
        weight_s = sum(one.weight * one.span_s for one in kept)
        assert weight_s == pytest.approx(nodes * (DAY_S + at_s - NOW_S), rel=0.01)
    assert len(days[-1]) >= 0.7 * len(days[0]) > 20
    for day in days:
        assert sum(one.weight for one in day) == pytest.approx(nodes, rel=0.1)


def test_long_windows_are_sampled_by_the_day() -> None:
    month = [
        replace(
            busy(number, events=3_000),
            since_s=NOW_S - 30 * DAY_S,
            times_s=np.linspace(NOW_S - 30 * DAY_S, NOW_S - 864.0, 3_000),
        )
        for number in range(10)
    ]
    history = DemandHistory(window_s=30 * DAY_S, started_at_s=NOW_S)
    history.adopt(month)
    drawn = history.sample(NOW_S, events=5_000)
    assert 35 <= len(drawn) <= 50
    assert {one.span_s for one in drawn} == {DAY_S}
    assert len({one.node for one in drawn}) == 10
    assert sum(one.weight for one in drawn) == pytest.approx(300)
    everything = history.sample(NOW_S, events=MOST_EVENTS)
    again = DemandHistory(window_s=30 * DAY_S, started_at_s=NOW_S)
    again.adopt(everything)
    assert sorted(map(told, again.traces(NOW_S))) == sorted(map(told, month))


assert checkpoint.VERSION == 1  # a new version reads this one's checkpoints, and has tests of it
