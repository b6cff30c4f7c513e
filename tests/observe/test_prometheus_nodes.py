"""Whose series are whose: nodes that are there, nodes that are gone, what is read twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from builders import node
from ippolicy.facts import NodeTrace
from ippolicy.observe.prometheus_nodes import Roster
from ippolicy.observe.prometheus_traces import Rebuilt, Series, Stretch, rebuild
from scraped import Event, History, stretch

START_S = 1_700_000_000.0
STEP_S = 30.0
HERE = node(0, created_at_s=START_S - 60, group="blue")
ROSTER = Roster([HERE, node(1, created_at_s=START_S - 60, group="green")])
TIMES_S = [START_S + n * STEP_S for n in range(10)]
EVENTS = [Event(START_S + 10 * n + 1, "arrive" if n % 3 else "leave") for n in range(27)]


def history(labels: Mapping[str, str], name: str = "", scraped_s: list[float] = TIMES_S) -> History:
    return History(name, EVENTS, scraped_s, assigned=3, labels=labels)


def found(*histories: History, roster: Roster = ROSTER) -> Rebuilt:
    return rebuild(stretch(histories, STEP_S), roster)


def arrivals(*traces: NodeTrace) -> int:
    return sum(int((trace.changes > 0).sum()) for trace in traces)


@pytest.mark.parametrize(
    "labels",
    [
        {"node": HERE.name},
        {"node": HERE.address},
        {"node": "", "instance": f"{HERE.address}:61678"},
        {"node": "", "instance": HERE.address},
        {"node": "", "instance": f"{HERE.name}:61678"},
    ],
    ids=str,
)
def test_a_node_is_known_by_its_name_or_address(labels: Mapping[str, str]) -> None:
    (trace,) = found(history(labels)).traces
    assert (trace.node, trace.group) == (HERE.name, "blue")


def test_the_label_that_the_policy_names_is_the_only_one_looked_at() -> None:
    roster = Roster([HERE], node_label="node_name")
    (trace,) = found(history({"node": "other", "node_name": HERE.name}), roster=roster).traces
    assert trace.node == HERE.name
    nameless = found(history({"node": HERE.name}), roster=roster)
    assert nameless.traces == ()
    assert nameless.left_out == {""}


def test_the_host_of_an_ipv6_instance_is_found() -> None:
    roster = Roster([replace(HERE, address="fd00::7")])
    (trace,) = found(history({"node": "", "instance": "[fd00::7]:61678"}), roster=roster).traces
    assert trace.node == HERE.name


@pytest.mark.parametrize(
    ("label", "group"),
    [
        ("karpenter_sh_nodepool", "spot"),
        ("eks_amazonaws_com_nodegroup", "workers"),
        ("label_eks_amazonaws_com_nodegroup", "workers"),
        ("node_kubernetes_io_instance_type", "m5.large"),
    ],
)
def test_a_node_that_is_gone_serves_the_group_that_its_labels_tell(label: str, group: str) -> None:
    rebuilt = found(history({label: group}, name="gone"))
    assert [(t.node, t.group) for t in rebuilt.traces] == [("gone", group)]
    assert not rebuilt.left_out


def test_a_node_that_is_gone_without_a_trace_of_its_group_is_left_out_and_counted() -> None:
    rebuilt = found(history({}, name="gone"), history({}, name=HERE.name))
    assert [trace.node for trace in rebuilt.traces] == [HERE.name]
    assert rebuilt.left_out == {"gone"}


def test_what_is_older_than_a_node_was_seen_on_another_machine_of_its_name() -> None:
    made_s = TIMES_S[5]
    roster = Roster([replace(HERE, created_at_s=made_s)])
    rebuilt = found(history({"karpenter_sh_nodepool": "red"}, name=HERE.name), roster=roster)
    earlier, now = sorted(rebuilt.traces, key=lambda trace: trace.since_s)
    assert (earlier.group, earlier.until_s) == ("red", TIMES_S[4])
    assert earlier.node != HERE.name
    assert (now.node, now.group, now.since_s) == (HERE.name, "blue", made_s)


def test_an_aws_node_that_is_read_twice_counts_once() -> None:
    once = found(history({}, name=HERE.name)).traces
    twice = found(
        history({"replica": "a"}, name=HERE.name),
        history({"replica": "b"}, name=HERE.name, scraped_s=TIMES_S[2:]),
    ).traces
    assert [t.times_s.tolist() for t in twice] == [t.times_s.tolist() for t in once]


def test_where_one_reader_ends_the_other_goes_on_without_counting_anew() -> None:
    (trace,) = found(
        history({"replica": "a"}, name=HERE.name, scraped_s=TIMES_S[:5]),
        history({"replica": "b"}, name=HERE.name, scraped_s=TIMES_S[2:]),
    ).traces
    assert (trace.since_s, trace.until_s) == (TIMES_S[0], TIMES_S[-1])
    assert arrivals(trace) == sum(event.kind == "arrive" for event in EVENTS)


def test_series_under_new_labels_go_on_where_the_old_ones_ended() -> None:
    (trace,) = found(
        history({"job": "old"}, name=HERE.name, scraped_s=TIMES_S[:5]),
        history({"job": "new"}, name=HERE.name, scraped_s=TIMES_S[5:]),
    ).traces
    assert arrivals(trace) == sum(event.kind == "arrive" for event in EVENTS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_value_that_is_no_count_is_as_if_it_had_not_been_scraped(value: float) -> None:
    whole = stretch([history({}, name=HERE.name)], STEP_S)
    (assigned,) = whole.assigned
    broken = assigned.values.copy()
    broken[3] = value
    rebuilt = rebuild(replace(whole, assigned=[replace(assigned, values=broken)]), ROSTER)
    assert arrivals(*rebuilt.traces) == sum(event.kind == "arrive" for event in EVENTS)


def test_dels_are_summed_over_their_reasons_and_start_at_none() -> None:
    times_s = np.array(TIMES_S[:3])
    labels = {"node": HERE.name}

    def series(values: list[float], since: int = 0, **more: str) -> Series:
        return Series({**labels, **more}, times_s[since:], np.array(values, dtype=np.float64))

    answers = Stretch(
        STEP_S,
        assigned=[series([4, 3, 3])],
        adds=[series([9, 9, 11])],
        dels=[series([5, 6, 7], reason="deleted"), series([1], since=2, reason="evicted")],
        in_vain=[series([0, 0, 0])],
    )
    (trace,) = rebuild(answers, ROSTER).traces
    assert trace.changes.tolist() == [-1, 1, -1, 1, -1]


def test_without_counters_only_what_the_level_shows_is_told() -> None:
    whole = stretch([history({}, name=HERE.name)], STEP_S)
    bare = rebuild(replace(whole, adds=[], dels=[], in_vain=[]), ROSTER)
    (trace,), (level,) = bare.traces, whole.assigned
    assert np.abs(np.diff(level.values)).sum() == len(trace.changes)
    assert trace.level_at_end == level.values[-1]


def test_a_series_with_a_single_value_says_nothing() -> None:
    assert found(history({}, name=HERE.name, scraped_s=TIMES_S[:1])).traces == ()
