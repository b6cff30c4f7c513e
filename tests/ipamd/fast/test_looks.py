"""A look at a node on the way changes nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.fast import LaneRandom, Trace, lane_seed, replay_lane
from ippolicy.ipamd.virtual import VirtualNode

SHAPE = NodeShape("m5.large", eni_limit=3, addresses_per_eni=10, max_pods=29)


@given(
    st.lists(st.tuples(st.integers(0, 1_999), st.sampled_from([1, 1, -1])), max_size=40),
    st.sampled_from([WarmTargets(1), WarmTargets(1, 2, 0), WarmTargets(1, 1, 8)]),
    st.sampled_from([1.0, 7.5, 60.0, 5_000.0]),
)
@settings(max_examples=40, deadline=None)
def test_a_lane_that_is_looked_at_comes_to_the_same(
    events: list[tuple[int, int]], targets: WarmTargets, every_s: float
) -> None:
    moments = sorted(events)
    trace = Trace(
        level=10,
        times_s=np.array([float(at_s) for at_s, _ in moments]),
        changes=np.array([change for _, change in moments], dtype=np.int8),
        span_s=2_000.0,
        cold=False,
    )
    seen: list[float] = []

    def look(node: VirtualNode) -> None:
        assert node.ipamd.store.count().assigned <= node.ipamd.store.count().total
        seen.append(node.now)

    setting, seed = PoolSettings(targets), lane_seed(1, 0)
    plain = replay_lane(SHAPE, trace, setting, random=LaneRandom(seed))
    looked = replay_lane(
        SHAPE, trace, setting, random=LaneRandom(seed), look=look, look_every_s=every_s
    )
    assert looked == plain
    assert seen == [number * every_s for number in range(int(2_000 // every_s) + 1)]
