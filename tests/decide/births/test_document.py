"""A table is read as it was written, and what is none is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.decide.births.document import read_table, write_table
from ippolicy.decide.births.table import (
    Grounds,
    GroupTargets,
    PolicyTable,
    Refused,
    Restart,
    Stage,
    Trial,
)
from ippolicy.decide.types import Proof
from ippolicy.facts import Forecast
from ippolicy.ipamd import WarmTargets

COUNTS = st.integers(0, 1024)
ROWS = st.builds(
    GroupTargets, st.builds(WarmTargets, COUNTS, COUNTS, COUNTS, COUNTS), st.integers(1, 10**6)
)
TEXTS, TIMES = st.text(max_size=8), st.floats(0, 4e9) | st.integers(0, 4_000_000_000)
FORECASTS = st.builds(Forecast, TIMES, TIMES, TIMES, st.none() | TIMES, st.none() | TIMES)
PROOFS = st.builds(
    Proof,
    TEXTS,
    TEXTS,
    st.lists(TEXTS, max_size=3).map(tuple),
    st.none() | FORECASTS,
    st.none() | FORECASTS,
)
ENVS = st.dictionaries(TEXTS, st.none() | TEXTS, max_size=4)
TRIALS = st.builds(
    Trial,
    ROWS,
    st.sampled_from(Stage),
    TIMES,
    st.lists(TEXTS, max_size=3).map(tuple),
    st.builds(Grounds, TIMES, TEXTS, ENVS, PROOFS),
    st.booleans(),
)
REFUSALS = st.lists(st.builds(Refused, ROWS, TIMES, COUNTS, TEXTS, TEXTS), max_size=3).map(tuple)
RESTARTS = st.builds(Restart, TEXTS, TEXTS, TIMES, COUNTS)


def named(rows: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(TEXTS, rows, max_size=5)


@given(
    table=st.builds(
        PolicyTable,
        TEXTS,
        named(ROWS),
        named(ROWS),
        st.none() | ROWS,
        named(TRIALS),
        named(REFUSALS),
        named(RESTARTS),
        TIMES,
        named(ROWS),
    ),
)
def test_a_table_survives_being_kept(table: PolicyTable) -> None:
    text = write_table(table)
    assert read_table(text) == table
    assert write_table(read_table(text)) == text


def test_the_text_is_fit_for_people() -> None:
    row = GroupTargets(WarmTargets(warm_ip=2, minimum_ip=10), 3)
    shown = json.loads(write_table(PolicyTable("default", {"web": row})))
    assert shown == {
        "version": 2,
        "policy": "default",
        "groups": {
            "web": {"revision": 3, "warmENI": 1, "warmIP": 2, "minimumIP": 10, "warmPrefix": 0}
        },
        "families": {},
        "fleet": None,
        "trials": {},
        "refused": {},
        "restarts": {},
        "sinceS": 0.0,
        "loans": {},
    }


def test_a_table_that_knew_no_trials_is_read_as_proven_targets() -> None:
    row = {"revision": 3, "warmENI": 1, "warmIP": 2, "minimumIP": 10, "warmPrefix": 0}
    first = {"version": 1, "policy": "p", "groups": {"web": row}, "families": {}, "fleet": None}
    table = read_table(json.dumps(first))
    assert table.groups == {"web": GroupTargets(WarmTargets(warm_ip=2, minimum_ip=10), 3)}
    assert not table.trials


def test_a_thousand_groups_and_a_fleet_that_is_restarted_fit_into_a_config_map() -> None:
    row = GroupTargets(WarmTargets(8, 1024, 1024, 64), 10**6)
    table = PolicyTable("p" * 63, {f"{'g' * 59}{n:04}": row for n in range(1000)})
    assert len(write_table(table)) < 256 * 1024
    busy = {
        f"ip-10-0-{n}.eu-west-1.compute.internal": Restart("u" * 36, "d" * 10, 1e9)
        for n in range(2_000)
    }
    assert len(write_table(PolicyTable("p", restarts=busy))) < 512 * 1024


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        write_table(PolicyTable("p")).replace('"version":2', '"version":3'),
        write_table(PolicyTable("p")).replace("families", "other"),
        write_table(PolicyTable("p")).replace('"policy":"p"', '"policy":3'),
    ],
)
def test_what_is_no_table_of_this_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it is"):
        read_table(text)
