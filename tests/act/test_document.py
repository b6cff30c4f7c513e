from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.act.document import read_document, write_document
from ippolicy.facts import (
    BackOff,
    Change,
    ChangeKind,
    ChangePhase,
    EnvEntry,
    Forecast,
    Ledger,
    Measured,
    Record,
    Writer,
)

names = st.text(min_size=1, max_size=20)
texts = st.text(max_size=20)
# Whole microseconds, as they are kept.
times = st.integers(0, 4_000_000_000_000_000).map(lambda us: us / 1_000_000)
literals = st.builds(EnvEntry, texts)
sources = st.builds(
    EnvEntry, st.none(), st.dictionaries(names, st.dictionaries(names, texts), min_size=1)
)
env = st.dictionaries(names, st.none() | texts)
numbers = st.floats(0, 1e12)
shares = st.none() | st.floats(0, 1)
forecasts = st.builds(Forecast, numbers, numbers, numbers, shares, st.none() | numbers)
measured = st.builds(
    Measured,
    after_s=st.sampled_from((900, 3600, 86_400)),
    at_s=times,
    pods=st.integers(0, 10**6),
    held=numbers,
    expected_held=st.none() | numbers,
    delayed_share=shares,
    ec2_calls_per_minute=st.none() | numbers,
    as_expected=st.none() | st.booleans(),
)
changes = st.builds(
    Change,
    id=names,
    policy=texts,
    phase=st.sampled_from(ChangePhase),
    before=env,
    after=env,
    reason=texts,
    intended_at_s=times,
    generation=st.integers(0, 2**40),
    completed_at_s=st.none() | times,
    kind=st.sampled_from(ChangeKind),
    writer=st.sampled_from(Writer),
    update_id=texts,
    basis=texts,
    binding=texts,
    rejected=st.lists(texts, max_size=3).map(tuple),
    present=st.none() | forecasts,
    predicted=st.none() | forecasts,
    measured=st.lists(measured, max_size=3).map(tuple),
    undone=texts,
)
records = st.builds(
    Record,
    daemon_set_uid=names,
    policy_uid=texts,
    originals=st.dictionaries(names, st.none() | literals | sources),
    changes=st.lists(changes, max_size=4).map(tuple),
    writer=st.sampled_from(Writer),
    back_offs=st.lists(st.builds(BackOff, env, texts, times, st.integers(1, 9)), max_size=2).map(
        tuple
    ),
    mispredicted=st.integers(0, 9),
    ledger=st.builds(Ledger, numbers, st.none() | times),
    reapplied_at_s=st.lists(times, max_size=3).map(tuple),
    max_unavailable=st.none() | texts,
)


@given(records)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert read_document(write_document(record)) == record


def test_what_never_happened_is_not_written() -> None:
    written = json.loads(write_document(read_document(json.dumps(a_document()))))
    assert set(written) == set(a_document())
    assert set(written["changes"][0]) == set(a_document()["changes"][0]) - {"completedAt"}


def test_fields_are_named_as_a_reader_of_the_cluster_expects() -> None:
    change = Change(
        "3-b",
        "default",
        ChangePhase.COMPLETE,
        {},
        {},
        "SavesAddresses",
        0.0,
        measured=(Measured(after_s=900, at_s=1.5, pods=3, held=12.0, as_expected=True),),
    )
    record = Record("u", "p", {}, (change,), ledger=Ledger(60.0, 2.0))
    written = json.loads(write_document(record))
    assert written["ledger"] == {
        "savedAddressSeconds": 60.0,
        "until": "1970-01-01T00:00:02.000000Z",
    }
    assert written["changes"][0]["measured"] == [
        {
            "afterSeconds": 900,
            "at": "1970-01-01T00:00:01.500000Z",
            "pods": 3,
            "held": 12.0,
            "asExpected": True,
        }
    ]


def a_document() -> dict[str, Any]:
    return {
        "version": 1,
        "daemonSetUID": "u",
        "policyUID": "p",
        "originals": {"WARM_IP_TARGET": None, "WARM_ENI_TARGET": {"value": "1"}},
        "changes": [
            {
                "id": "2-a",
                "policy": "default",
                "phase": "Rolling",
                "before": {"WARM_IP_TARGET": None},
                "after": {"WARM_IP_TARGET": "2"},
                "reason": "SavesAddresses",
                "intendedAt": "2026-03-01T09:30:00.000000Z",
                "generation": 2,
                "completedAt": None,
            }
        ],
    }


def test_times_are_read_in_utc() -> None:
    record = read_document(json.dumps(a_document()))
    assert record.changes[0].intended_at_s == 1_772_357_400.0


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("version",), 3, "version"),
        (("daemonSetUID",), "", "daemonSetUID"),
        (("originals",), None, "originals"),
        (("originals", "WARM_ENI_TARGET"), "1", "originals.WARM_ENI_TARGET"),
        (("originals", "WARM_ENI_TARGET"), {"value": 1}, "originals.WARM_ENI_TARGET"),
        (("originals", "WARM_ENI_TARGET"), {}, "originals.WARM_ENI_TARGET"),
        (("changes", 0, "phase"), "Done", "changes.0.phase"),
        (("changes", 0, "generation"), -1, "changes.0.generation"),
        (("changes", 0, "generation"), "2", "changes.0.generation"),
        (("changes", 0, "intendedAt"), "2026-03-01T09:30:00", "changes.0.intendedAt"),
        (("changes", 0, "intendedAt"), 1_772_357_400, "changes.0.intendedAt"),
        (("changes", 0, "intended_at_s"), "2026-03-01T09:30:00Z", "changes.0.intended_at_s"),
        (("changes", 0, "after"), {"WARM_IP_TARGET": 2}, "changes.0.after"),
        (("more",), 1, "more"),
    ],
)
def test_anything_else_is_refused_with_its_place(
    path: tuple[str | int, ...], value: Any, said: str
) -> None:
    document = a_document()
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    with pytest.raises(ValueError, match=said):
        read_document(json.dumps(document))


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}"])
def test_what_is_no_document_at_all_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_document(text)
    assert "\n" not in str(caught.value)
