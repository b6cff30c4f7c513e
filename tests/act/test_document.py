from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.act.document import read_document, write_document
from ippolicy.facts import Change, ChangePhase, EnvEntry, Record

names = st.text(min_size=1, max_size=20)
texts = st.text(max_size=20)
# Whole microseconds, as they are kept.
times = st.integers(0, 4_000_000_000_000_000).map(lambda us: us / 1_000_000)
literals = st.builds(EnvEntry, texts)
sources = st.builds(
    EnvEntry, st.none(), st.dictionaries(names, st.dictionaries(names, texts), min_size=1)
)
changes = st.builds(
    Change,
    id=names,
    policy=texts,
    phase=st.sampled_from(ChangePhase),
    before=st.dictionaries(names, st.none() | texts),
    after=st.dictionaries(names, st.none() | texts),
    reason=texts,
    intended_at_s=times,
    generation=st.integers(0, 2**40),
    completed_at_s=st.none() | times,
)
records = st.builds(
    Record,
    daemon_set_uid=names,
    policy_uid=texts,
    originals=st.dictionaries(names, st.none() | literals | sources),
    changes=st.lists(changes, max_size=4).map(tuple),
)


@given(records)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    read = read_document(write_document(record))
    assert read.originals == record.originals
    assert write_document(read) == write_document(record)
    assert [c.intended_at_s for c in read.changes] == pytest.approx(
        [c.intended_at_s for c in record.changes], abs=1e-6
    )


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
        (("version",), 2, "version"),
        (("daemonSetUID",), "", "daemonSetUID"),
        (("originals",), None, "originals"),
        (("originals", "WARM_ENI_TARGET"), "1", "originals.WARM_ENI_TARGET"),
        (("originals", "WARM_ENI_TARGET"), {"value": 1}, "originals.WARM_ENI_TARGET"),
        (("originals", "WARM_ENI_TARGET"), {}, "originals.WARM_ENI_TARGET"),
        (("changes", 0, "phase"), "Done", "changes.0.phase"),
        (("changes", 0, "generation"), -1, "changes.0.generation"),
        (("changes", 0, "generation"), "2", "changes.0.generation"),
        (("changes", 0, "intendedAt"), "2026-03-01T09:30:00", "changes.0.intendedAt"),
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
