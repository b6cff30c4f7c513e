"""The map is walked as Go walks its own."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.ipamd.gomap import GoMap

WALKS = 400
MAPS = 60


def first_shares(size: int, churn: int) -> list[float]:
    """How often each entry comes first, most often first; mean over maps of `size` entries.

    Each map has seen `churn` rounds in which one to five entries left and as many new ones came.
    """
    random = Random(size * 1000 + churn)
    shares = [0.0] * size
    for number in range(MAPS):
        entries: GoMap[str] = GoMap(random)
        keys: list[str] = []
        for serial in range(size):
            keys.append(f"{number}-{serial}")
            entries[keys[-1]] = keys[-1]
        for turn in range(churn):
            leaving = [keys.pop(random.randrange(len(keys))) for _ in range(random.randint(1, 5))]
            for key in leaving:
                del entries[key]
            for key in leaving:
                keys.append(f"{key}-{turn}")
                entries[keys[-1]] = keys[-1]
        firsts = [entries.walk()[0] for _ in range(WALKS)]
        counts = sorted(map(firsts.count, keys), reverse=True)
        shares = [share + count / WALKS / MAPS for share, count in zip(shares, counts, strict=True)]
    return shares


# Measured with Go 1.26.8: 300 maps of strings, 4,000 walks each.
MEASURED_IN_GO = {
    (14, 0): [0.172, 0.082, 0.067, 0.066],
    (14, 100): [0.232, 0.174, 0.136, 0.098, 0.063, 0.046],
    (9, 5): [0.321, 0.192, 0.107, 0.073],
    (20, 5): [0.177, 0.126, 0.090, 0.069, 0.055],
}


@pytest.mark.parametrize(("size", "churn"), MEASURED_IN_GO)
def test_walks_begin_where_they_begin_in_go(size: int, churn: int) -> None:
    measured = MEASURED_IN_GO[size, churn]
    assert first_shares(size, churn)[: len(measured)] == pytest.approx(measured, abs=0.025)


@pytest.mark.parametrize("size", range(2, 9))
def test_up_to_eight_entries_the_first_one_leads_with_nine_less_their_number_eighths(
    size: int,
) -> None:
    entries: GoMap[int] = GoMap(Random(size))
    for number in range(size):
        entries[str(number)] = number
    firsts = [entries.walk()[0] for _ in range(4000)]
    assert firsts.count(0) / 4000 == pytest.approx((9 - size) / 8, abs=0.03)
    assert firsts.count(1) / 4000 == pytest.approx(1 / 8, abs=0.03)


def test_a_freed_slot_is_the_next_to_be_used() -> None:
    entries: GoMap[str] = GoMap(Random(1))
    for key in "abc":
        entries[key] = key
    del entries["b"]
    entries["d"] = "d"
    walks = {"".join(entries.walk()) for _ in range(200)}
    assert walks == {"adc", "dca", "cad"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=300),
    st.integers(0, 40),
    st.integers(0, 10),
)
def test_it_holds_what_a_dict_holds(steps: list[tuple[bool, int]], hint: int, seed: int) -> None:
    entries: GoMap[int] = GoMap(Random(seed), hint=hint)
    expected: dict[str, int] = {}
    for number, (put, key) in enumerate(steps):
        if put:
            entries[str(key)] = expected[str(key)] = number
        elif str(key) in expected:
            del entries[str(key)]
            del expected[str(key)]
        assert len(entries) == len(expected)
    assert sorted(entries.walk()) == sorted(entries.values()) == sorted(expected.values())
    assert all(key in entries and entries[key] == value for key, value in expected.items())
    assert entries.get("none") is None


def test_endless_churn_at_one_size_keeps_the_map_small() -> None:
    entries: GoMap[int] = GoMap(Random(5))
    for number in range(5000):
        entries[str(number)] = number
        if number >= 14:
            del entries[str(number - 14)]
    assert sorted(entries.walk()) == list(range(4986, 5000))
