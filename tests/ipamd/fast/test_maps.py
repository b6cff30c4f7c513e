"""Maps on arrays against `GoMap`, function by function and without compiling."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ippolicy.ipamd.fast import LaneRandom
from ippolicy.ipamd.fast.maps import clear_map, delete, insert, walk_start
from ippolicy.ipamd.fast.state import CAPACITY, ENTRY_AT, FACT, STREAM, State, new_state
from ippolicy.ipamd.gomap import GoMap

ROW = 1
ENTRIES = 49


def walked(state: State) -> list[int]:
    start, capacity = walk_start(state.node, state.enis, ROW), state.enis[FACT, ROW, CAPACITY]
    order = [state.enis[ENTRY_AT, ROW, (start + step) % capacity] for step in range(capacity)]
    return [int(entry) for entry in order if entry >= 0]


@given(
    seed=st.integers(0, 2**62),
    hint=st.integers(0, ENTRIES),
    size=st.sampled_from([3, 8, 9, 14, 15, 29, ENTRIES]),
    toggles=st.lists(st.integers(0, ENTRIES - 1), max_size=400),
)
def test_a_map_on_arrays_is_walked_as_go_walks_its_own(
    seed: int, hint: int, size: int, toggles: list[int]
) -> None:
    random = LaneRandom(seed)
    steps: GoMap[int] = GoMap(random, hint)
    state = new_state(enis=1, slots=ENTRIES, pods=1)
    state.node[STREAM] = seed
    clear_map(state.enis, ROW, hint)
    with np.errstate(over="ignore"):
        for number in [*range(size), *toggles]:
            entry = number % size
            if str(entry) in steps:
                del steps[str(entry)]
                delete(state.enis, ROW, entry)
            else:
                steps[str(entry)] = entry
                insert(state.node, state.enis, ROW, entry)
            assert steps.walk() == walked(state)
