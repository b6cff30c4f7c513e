"""From series to traces: whatever happened and however it was scraped, level and totals agree."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import node
from ippolicy.facts import NodeTrace
from ippolicy.observe.prometheus_nodes import Roster
from ippolicy.observe.prometheus_traces import GAP_STEPS, Rebuilt, Series, Stretch, rebuild
from scraped import Event, History, Kind, stretch

START_S = 1_700_000_000.0
NODE = node(0, created_at_s=0.0)
ROSTER = Roster([NODE])


@st.composite
def histories(draw: st.DrawFn, *, restarts: bool) -> tuple[History, float]:
    """What happened on a node that was scraped up to 13 times, and the seconds between two scrapes;
    up to 6 of them in a row were missed."""
    step_s = draw(st.sampled_from([1.0, 15.0, 30.0, 3600.0]))
    assigned = level = draw(st.integers(0, 3))
    kinds: list[Kind] = ["arrive", "leave", "fail", "again"]
    kinds += ["restart", "replace"] if restarts else []
    moments = st.tuples(st.floats(0.001, 1.0), st.sampled_from(kinds))
    steps = draw(
        st.lists(st.tuples(st.sampled_from([1, 1, 2, 4, 5, 6]), st.lists(moments)), max_size=12)
    )
    events, scraped_s = [], [START_S]
    for missed, wished in steps:
        span_s = missed * step_s
        for share, kind in sorted(wished):
            if kind != "leave" or level:
                level += {"arrive": 1, "leave": -1}.get(kind, 0)
                events.append(Event(scraped_s[-1] + share * span_s, kind))
        scraped_s.append(scraped_s[-1] + span_s)
    return History(NODE.name, events, scraped_s, assigned), step_s


def traces_of(history: History, step_s: float) -> tuple[NodeTrace, ...]:
    return rebuild(stretch([history], step_s), ROSTER).traces


def level_at(trace: NodeTrace, at_s: float) -> int:
    return trace.level + int(trace.changes[trace.times_s <= at_s].sum())


def within(trace: NodeTrace, times_s: list[float]) -> list[float]:
    return [at_s for at_s in times_s if trace.since_s <= at_s <= trace.until_s]


@given(histories(restarts=True))
def test_the_level_is_the_true_one_at_every_scrape(seen: tuple[History, float]) -> None:
    truth, step_s = seen
    for trace in traces_of(truth, step_s):
        for at_s in within(trace, list(truth.scraped_s)):
            assert level_at(trace, at_s) == truth.level(at_s)
        assert (trace.level + np.cumsum(trace.changes) >= 0).all()
        assert (np.diff(trace.times_s) >= 0).all()
        assert ((trace.since_s <= trace.times_s) & (trace.times_s <= trace.until_s)).all()


@given(histories(restarts=True))
def test_a_trace_never_reaches_across_a_gap_and_leaves_out_nothing_else(
    seen: tuple[History, float],
) -> None:
    truth, step_s = seen
    expected, run = [], [truth.scraped_s[0]]
    for before_s, at_s in pairwise(truth.scraped_s):
        if at_s - before_s > GAP_STEPS * step_s:
            expected.append(run)
            run = []
        run.append(at_s)
    expected.append(run)
    traces = traces_of(truth, step_s)
    assert [(t.since_s, t.until_s) for t in traces] == [
        (run[0], run[-1]) for run in expected if len(run) > 1
    ]


@given(histories(restarts=False))
def test_between_two_scrapes_as_many_come_and_go_as_really_did(
    seen: tuple[History, float],
) -> None:
    truth, step_s = seen
    for trace in traces_of(truth, step_s):
        for since_s, until_s in pairwise(within(trace, list(truth.scraped_s))):
            changes = trace.changes[(since_s < trace.times_s) & (trace.times_s <= until_s)]
            assert (changes > 0).sum() == truth.count("arrive", until_s, since_s)
            assert (changes < 0).sum() == truth.count("leave", until_s, since_s)


@given(histories(restarts=True))
def test_a_restart_hides_events_but_never_makes_any_up(seen: tuple[History, float]) -> None:
    truth, step_s = seen
    for trace in traces_of(truth, step_s):
        for since_s, until_s in pairwise(within(trace, list(truth.scraped_s))):
            changes = trace.changes[(since_s < trace.times_s) & (trace.times_s <= until_s)]
            assert (changes > 0).sum() <= truth.count("arrive", until_s, since_s)
            assert (changes < 0).sum() <= truth.count("leave", until_s, since_s)


@given(histories(restarts=True), st.integers(1, 12))
def test_two_slices_that_share_a_moment_hold_what_one_would(
    seen: tuple[History, float], cut: int
) -> None:
    truth, step_s = seen
    whole, times_s = stretch([truth], step_s), list(truth.scraped_s)
    cut_s = times_s[min(cut, len(times_s) - 1)]
    halves = (part(whole, -np.inf, cut_s), part(whole, cut_s, np.inf))
    assert counted(times_s, rebuild(whole, ROSTER)) == counted(
        times_s, *(rebuild(half, ROSTER) for half in halves)
    )


def part(whole: Stretch, since_s: float, until_s: float) -> Stretch:
    def cut(series: Series) -> Series:
        kept = (since_s <= series.times_s) & (series.times_s <= until_s)
        return replace(series, times_s=series.times_s[kept], values=series.values[kept])

    columns = (whole.assigned, whole.adds, whole.dels, whole.in_vain)
    return Stretch(whole.step_s, *([cut(series) for series in column] for column in columns))


def counted(times_s: list[float], *found: Rebuilt) -> list[tuple[int, int]]:
    """(arrivals, departures) between each two scrapes."""
    traces = [trace for rebuilt in found for trace in rebuilt.traces]
    events = np.concatenate([[], *(trace.times_s for trace in traces)])
    changes = np.concatenate([[], *(trace.changes for trace in traces)])
    ups, _ = np.histogram(events[changes > 0], times_s)
    downs, _ = np.histogram(events[changes < 0], times_s)
    return list(zip(ups.tolist(), downs.tolist(), strict=True)) if len(times_s) > 1 else []


@settings(max_examples=30)
@given(histories(restarts=True))
def test_the_same_series_give_the_same_traces(seen: tuple[History, float]) -> None:
    one, other = traces_of(*seen), traces_of(*seen)
    for first, second in zip(one, other, strict=True):
        assert first.times_s.tolist() == second.times_s.tolist()
        assert first.changes.tolist() == second.changes.tolist()
