from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.decide.checkpoint import framed
from ippolicy.decide.signals import Noted, SignalHistory, Tally
from ippolicy.decide.signals_kept import pack, unpack
from ippolicy.errors import CorruptCheckpoint
from ippolicy.facts import InForce, LateStarts
from ippolicy.ipamd import WarmTargets

names = st.text(min_size=1, max_size=20)
times = st.floats(0, 4e9)
counts = st.integers(0, 10**6)
targets = st.builds(WarmTargets, *[st.integers(0, 99)] * 4)
noted = st.builds(
    Noted,
    in_force=st.lists(st.builds(InForce, times, targets), max_size=3).map(tuple),
    late=st.lists(st.builds(LateStarts, times, names, names, counts), max_size=5).map(tuple),
    slots=st.dictionaries(
        counts, st.dictionaries(names, st.builds(Tally, counts, counts, counts, counts)), max_size=4
    ),
)


@given(noted)
def test_what_was_noted_is_read_as_it_was_packed(known: Noted) -> None:
    assert unpack(pack(known)) == known


@given(noted)
def test_an_operator_that_goes_on_notes_no_less(known: Noted) -> None:
    assert SignalHistory(known).noted().slots == known.slots
    assert SignalHistory(known).noted().in_force == known.in_force


def test_of_a_fleet_in_trouble_the_newest_late_starts_are_kept() -> None:
    late = tuple(LateStarts(float(n), f"ip-10-0-{n}.ec2.internal", "g", n) for n in range(20_000))
    packed = pack(Noted(late=late), max_bytes=16_384)
    assert 0 < len(packed) <= 16_384
    kept = unpack(packed).late
    assert kept == late[-len(kept) :]
    assert len(kept) > 500


def test_what_can_never_fit_is_not_kept() -> None:
    assert pack(Noted(), max_bytes=8) == b""


@pytest.mark.parametrize("body", [{"late": [{"at_s": "noon"}]}, {"in_force": 1}, [], "x", None])
def test_what_is_whole_and_makes_no_sense_is_corrupt(body: object) -> None:
    with pytest.raises(CorruptCheckpoint, match="signals cannot be read"):
        unpack(framed(msgspec.json.encode(body)))
