"""Demand is read whole from CSV and JSONL, or refused with the line at fault."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import written
from ippolicy.cli import traces
from ippolicy.cli.traces import parse_trace, read_trace
from ippolicy.errors import InvalidInput

PODS = """node,start_s,end_s
n1,0,100
n1,10,60
n1,20,
n2,50,90
"""


def test_pods_become_arrivals_and_departures() -> None:
    one, two = parse_trace(PODS)
    assert (one.node, one.group, one.since_s, one.until_s, one.level) == ("n1", "trace", 0, 100, 1)
    assert one.times_s.tolist() == [10, 20, 60, 100]
    assert one.changes.tolist() == [1, 1, -1, -1]
    assert (two.since_s, two.until_s, two.level) == (0, 100, 0)
    assert two.times_s.tolist() == [50, 90]


def test_events_may_change_by_more_than_one_and_pods_may_go_that_never_came() -> None:
    (trace,) = parse_trace("node,time_s,change\nn1,0,+2\nn1,10,-3\nn1,20,1\n")
    # Three went although two came: one was there before.
    assert trace.level == 3
    assert trace.times_s.tolist() == [10, 10, 10, 20]
    assert trace.changes.tolist() == [-1, -1, -1, 1]


def test_at_one_moment_pods_go_before_others_come() -> None:
    (trace,) = parse_trace("node,start_s,end_s\nn1,0,10\nn1,10,20\n")
    assert (trace.level, trace.changes.tolist()) == (1, [-1, 1, -1])


def test_json_lines_and_moments_say_the_same_as_csv_and_seconds() -> None:
    rows = [
        {"node": "n1", "start": "2026-03-01T09:30:00Z", "end": "2026-03-01T10:31:40+01:00"},
        {"node": "n1", "start": "2026-03-01T09:30:10Z", "end": None, "pod": "web-1"},
    ]
    (told,) = parse_trace("\n".join(json.dumps(row) for row in rows))
    (plain,) = parse_trace("node,start_s,end_s,pod\nn1,1772357400,1772357500,x\nn1,1772357410,,y\n")
    assert told.since_s == plain.since_s == 1_772_357_400
    assert told.times_s.tolist() == plain.times_s.tolist()
    assert told.changes.tolist() == plain.changes.tolist()


def test_a_group_is_kept_and_so_is_the_order_of_nodes() -> None:
    found = parse_trace("node,group,time_s,change\nb,blue,0,1\na,red,5,1\nb,blue,9,1\n")
    assert [(trace.node, trace.group) for trace in found] == [("b", "blue"), ("a", "red")]


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(1, 500)), min_size=1, max_size=40))
def test_pods_are_never_lost(lives: list[tuple[int, int]]) -> None:
    rows = [f"n1,{start},{start + life}" for start, life in lives]
    (trace,) = parse_trace("\n".join(["node,start_s,end_s", *rows]))
    first = min(start for start, _ in lives)
    assert trace.level == sum(start == first for start, _ in lives)
    assert trace.level_at_end == 0
    levels = trace.level + np.cumsum(trace.changes, dtype=np.int64)
    assert levels.min(initial=0) >= 0
    assert int((trace.changes > 0).sum()) + trace.level == len(lives)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("node,start_s,end_s\nn1,60,30\n", "line 2: end '30' is not after start '60'"),
        ("node,start_s,end_s\nn1,0,9\nn1,x,\n", "line 3: start 'x' is no time"),
        ("node,start_s,end_s\nn1,nan,9\n", "line 2: start 'nan' is no time"),
        ("node,start_s,end_s\nn1,1e300,\n", "line 2: start '1e300' is no time"),
        ("node,start_s,end_s\nn1,2026-03-01T09:30:00,\n", "is no time"),  # of no time zone
        ("node,start_s,end_s\n,0,9\n", "line 2: node '' is no name"),
        ("node,start_s,end_s\nn1,0,9,7\n", "line 2: it has more cells than the header"),
        ("node,start_s\nn1,0\n", "line 2: it has neither end_s nor change"),
        ('node,start_s,end_s\n"n1,0,9\n', "it is no CSV"),
        ("node,time_s,change\nn1,0,0\n", "line 2: change '0' is no number of pods"),
        ("node,time_s,change\nn1,0,many\n", "line 2: change 'many' is no number of pods"),
        ("node,time_s,change\nn1,0,99999\n", "line 2: change '99999' is no number of pods"),
        ('{"node": "n1", "time_s": 0, "change": 1.5}', "line 1: change 1.5 is no number of pods"),
        ('{"node": "n1", "time_s": true, "change": 1}', "line 1: time True is no time"),
        ('{"node": 7, "time_s": 0, "change": 1}', "line 1: node 7 is no name"),
        ('{"node": "n1", "time_s": 0, "change": 1}\n[]', "line 2: it is no JSON object"),
        ('{"node": "n1", "time_s": 0, "change": 1}\n{', "line 2: it is no JSON"),
        ("node,group,time_s,change\nn1,a,0,1\nn1,b,1,1\n", "node n1 is in group b and in a"),
        ("", "spans no time"),
        ("node,time_s,change\nn1,0,1\n", "spans no time"),
        ("node,time_s,change\nn1,0,1\nn1,1772357400,1\n", "are all its times of one kind?"),
    ],
)
def test_a_file_is_refused_whole_with_line_and_cause(text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_trace(text, "day.csv")
    assert told in str(refused.value)
    assert str(refused.value).startswith("day.csv")
    assert "\n" not in str(refused.value)


def test_what_would_take_too_much_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = written(tmp_path, "day.csv", PODS.splitlines())
    for limit, least, told in (
        ("MAX_BYTES", 10, "bytes, at most 10 are read"),
        ("MAX_EVENTS", 6, "line 5: more than 6 pods come and go"),
        ("MAX_NODES", 1, "line 5: more than 1 nodes"),
        ("MAX_PODS", 2, "has more than 2 pods at a time"),
        ("MAX_SPAN_S", 10.0, "spans 0 days"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(traces, limit, least)
            with pytest.raises(InvalidInput, match=told):
                read_trace(path)
    assert len(read_trace(path)) == 2


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="no text in UTF-8"):
        read_trace(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_trace(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_bytes(b"\xef\xbb\xbf" + PODS.encode())
    assert len(read_trace(path)) == 2
