"""A table is read as it was written, and what is none is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.admission import GroupTargets, PolicyTable
from ippolicy.admission.document import read_table, write_table
from ippolicy.ipamd import WarmTargets

COUNTS = st.integers(0, 1024)
ROWS = st.builds(
    GroupTargets, st.builds(WarmTargets, COUNTS, COUNTS, COUNTS, COUNTS), st.integers(1, 10**6)
)
NAMED = st.dictionaries(st.text(max_size=8), ROWS, max_size=5)


@given(
    table=st.builds(PolicyTable, st.text(max_size=8), NAMED, NAMED, st.none() | ROWS),
)
def test_a_table_survives_being_kept(table: PolicyTable) -> None:
    text = write_table(table)
    assert read_table(text) == table
    assert write_table(read_table(text)) == text


def test_the_text_is_fit_for_people() -> None:
    row = GroupTargets(WarmTargets(warm_ip=2, minimum_ip=10), 3)
    shown = json.loads(write_table(PolicyTable("default", {"web": row})))
    assert shown == {
        "version": 1,
        "policy": "default",
        "groups": {
            "web": {"revision": 3, "warmENI": 1, "warmIP": 2, "minimumIP": 10, "warmPrefix": 0}
        },
        "families": {},
        "fleet": None,
    }


def test_a_thousand_groups_fit_into_a_config_map() -> None:
    row = GroupTargets(WarmTargets(8, 1024, 1024, 64), 10**6)
    table = PolicyTable("p" * 63, {f"{'g' * 59}{n:04}": row for n in range(1000)})
    assert len(write_table(table)) < 256 * 1024


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "{}",
        write_table(PolicyTable("p")).replace('"version":1', '"version":2'),
        write_table(PolicyTable("p")).replace("families", "other"),
        write_table(PolicyTable("p")).replace('"policy":"p"', '"policy":3'),
    ],
)
def test_what_is_no_table_of_this_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="it is"):
        read_table(text)
