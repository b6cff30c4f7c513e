"""Where a pool comes to rest: closed form, replay, the CNI's own tables and the stories agree."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ippolicy.ipamd import NodeInitFailed, NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.scenario import Event, Observation, Scenario, observe
from ippolicy.ipamd.steady import SteadyState, steady_state

T3_SMALL = NodeShape("t3.small", 3, 4, 11)
P3DN = NodeShape("p3dn.24xlarge", 15, 50, 737)
M5_LARGE = NodeShape("m5.large", 3, 10, 29)
R5_XLARGE = NodeShape("r5.xlarge", 4, 15, 58)
T3_2XLARGE = NodeShape("t3.2xlarge", 4, 15, 58)

# docs/eni-and-ip-target.md of the CNI: type, E, W, M, pods -> ENIs, addresses, unused.
ADDRESS_TABLE = [
    (T3_SMALL, 1, 0, 0, 0, 1, 3, 3),
    (T3_SMALL, 1, 0, 0, 5, 3, 9, 4),
    (T3_SMALL, 1, 0, 0, 9, 3, 9, 0),
    (T3_SMALL, 1, 1, 1, 0, 1, 1, 1),
    (T3_SMALL, 1, 1, 1, 5, 2, 6, 1),
    (T3_SMALL, 1, 1, 1, 9, 3, 9, 0),
    (T3_SMALL, 1, 2, 5, 0, 2, 5, 5),
    (T3_SMALL, 1, 2, 5, 5, 3, 7, 2),
    (T3_SMALL, 1, 2, 5, 9, 3, 9, 0),
    (P3DN, 1, 0, 0, 0, 1, 49, 49),
    (P3DN, 1, 0, 0, 3, 2, 98, 95),
    (P3DN, 1, 0, 0, 95, 3, 147, 52),
    (P3DN, 1, 5, 10, 0, 1, 10, 10),
    (P3DN, 1, 5, 10, 7, 1, 12, 5),
    (P3DN, 1, 5, 10, 15, 1, 20, 5),
    (P3DN, 1, 5, 10, 45, 2, 50, 5),
]

# docs/prefix-and-ip-target.md: type, P, W, M, pods -> ENIs, prefixes, unused addresses. Four rows
# of the document are not what the code does, and stand here as the code does them: with W 7, M 20
# and no pods a t3.small holds 2 prefixes and 32 unused addresses (the document: 16), and the
# p3dn.24xlarge rows with 3, 95 and 45 pods need one ENI (the document: 2, 3 and 2), as an ENI
# without prefixes is never made.
PREFIX_TABLE = [
    (T3_SMALL, 1, 0, 0, 0, 1, 1, 16),
    (T3_SMALL, 1, 0, 0, 5, 1, 2, 27),
    (T3_SMALL, 1, 0, 0, 16, 1, 2, 16),
    (T3_SMALL, 1, 0, 0, 17, 1, 3, 31),
    (T3_SMALL, 1, 0, 0, 58, 2, 5, 22),
    (T3_SMALL, 1, 1, 1, 0, 1, 1, 16),
    (T3_SMALL, 1, 1, 1, 5, 1, 1, 11),
    (T3_SMALL, 1, 1, 1, 17, 1, 2, 15),
    (T3_SMALL, 1, 1, 1, 58, 2, 4, 6),
    (T3_SMALL, 1, 7, 20, 0, 1, 2, 32),
    (T3_SMALL, 1, 7, 20, 5, 1, 2, 27),
    (T3_SMALL, 1, 7, 20, 17, 1, 2, 15),
    (T3_SMALL, 1, 7, 20, 58, 2, 5, 22),
    (P3DN, 1, 0, 0, 0, 1, 1, 16),
    (P3DN, 1, 0, 0, 3, 1, 2, 29),
    (P3DN, 1, 0, 0, 95, 1, 7, 17),
    (P3DN, 1, 5, 10, 0, 1, 1, 16),
    (P3DN, 1, 5, 10, 7, 1, 1, 9),
    (P3DN, 1, 5, 10, 15, 1, 2, 17),
    (P3DN, 1, 5, 10, 45, 1, 4, 19),
]


def rest(shape: NodeShape, chosen: PoolSettings, pods: int, *, apart_s: int = 15) -> Observation:
    """The replay's node when its pods, added one by one, have long had their addresses."""
    events = [Event(10 + apart_s * number, "add", 1) for number in range(pods)]
    end = Event(10 + apart_s * pods + 150, "end")
    return list(observe(Scenario(shape, chosen, (*events, end)), seed=3))[-1]


def roomy(shape: NodeShape) -> NodeShape:
    """With prefixes a kubelet allows 110 pods."""
    return NodeShape(shape.instance_type, shape.eni_limit, shape.addresses_per_eni, 110)


@pytest.mark.parametrize("row", ADDRESS_TABLE)
def test_the_table_of_address_targets_holds(row: tuple[NodeShape, *tuple[int, ...]]) -> None:
    shape, warm_eni, warm_ip, minimum_ip, pods, enis, addresses, unused = row
    targets = WarmTargets(warm_eni, warm_ip, minimum_ip)
    state = steady_state(shape, PoolSettings(targets), pods)
    assert (state.enis, state.addresses, state.idle) == (enis, addresses, unused)


@pytest.mark.parametrize("row", PREFIX_TABLE)
def test_the_table_of_prefix_targets_holds_as_corrected(
    row: tuple[NodeShape, *tuple[int, ...]],
) -> None:
    shape, warm_prefix, warm_ip, minimum_ip, pods, enis, prefixes, unused = row
    chosen = PoolSettings(WarmTargets(1, warm_ip, minimum_ip, warm_prefix), prefix_delegation=True)
    state = steady_state(roomy(shape), chosen, pods)
    assert (state.enis, state.prefixes, state.idle) == (enis, prefixes, unused)
    seen = rest(roomy(shape), chosen, pods)
    assert (seen.enis, seen.prefixes, seen.addresses - seen.assigned) == (enis, prefixes, unused)


CHOSEN = st.builds(
    PoolSettings,
    st.one_of(
        st.builds(WarmTargets, st.integers(0, 3)),
        st.builds(WarmTargets, st.just(1), st.integers(0, 12), st.integers(0, 40)),
    ),
    max_eni=st.integers(0, 3),
    pod_eni=st.booleans(),
    custom_networking=st.booleans(),
)
WITH_PREFIXES = st.builds(
    PoolSettings,
    st.builds(WarmTargets, st.just(1), st.integers(0, 40), st.integers(0, 40), st.integers(0, 1)),
    prefix_delegation=st.just(True),
    max_eni=st.integers(0, 3),
)
SHAPES = st.builds(
    NodeShape,
    st.just("any"),
    st.integers(1, 4),
    st.integers(2, 8),
    st.integers(3, 40),
    trunk_capable=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(SHAPES, st.one_of(CHOSEN, WITH_PREFIXES), st.integers(0, 24))
def test_the_closed_form_is_where_the_replay_comes_to_rest(
    shape: NodeShape, chosen: PoolSettings, pods: int
) -> None:
    state = steady_state(shape, chosen, pods)
    if not state.settles or not all(
        steady_state(shape, chosen, fewer).settles for fewer in range(pods)
    ):
        return
    second = 60_000 if chosen.custom_networking else None
    events = [Event(10 + 15 * number, "add", 1) for number in range(pods)]
    scenario = Scenario(
        shape,
        chosen,
        (*events, Event(10 + 15 * pods + 100, "end")),
        second_subnet_free=second,
    )
    try:
        seen = list(observe(scenario, seed=1))[-1]
    except NodeInitFailed:
        assert state.addresses == 0
        return
    assert (seen.addresses, seen.enis, seen.assigned, seen.pending) == (
        state.addresses,
        state.enis,
        state.served,
        state.unserved,
    )


def test_spares_that_come_and_go_for_ever_are_told() -> None:
    none = PoolSettings(WarmTargets(warm_eni=0))
    custom = PoolSettings(WarmTargets(warm_eni=0), custom_networking=True)
    no_prefix = PoolSettings(WarmTargets(warm_prefix=0), prefix_delegation=True)
    assert steady_state(M5_LARGE, none, 0).settles
    assert not steady_state(M5_LARGE, none, 9).settles
    assert steady_state(M5_LARGE, none, 27).settles
    assert not steady_state(M5_LARGE, custom, 0).settles
    assert not steady_state(M5_LARGE, no_prefix, 0).settles
    assert steady_state(M5_LARGE, no_prefix, 5).settles
    assert steady_state(M5_LARGE, PoolSettings(WarmTargets(0, 1)), 9).settles


# -- stories ----------------------------------------------------------------------------------


def both(shape: NodeShape, targets: WarmTargets, pods: int) -> SteadyState:
    """The closed form, after the replay has agreed."""
    state = steady_state(shape, PoolSettings(targets), pods)
    seen = rest(shape, PoolSettings(targets), pods)
    assert (seen.addresses, seen.enis) == (state.addresses, state.enis)
    return state


@pytest.mark.parametrize(("pods", "enis", "held"), [(1, 2, 28), (14, 2, 28), (15, 3, 42)])
def test_a_spare_eni_doubles_what_an_r5_xlarge_holds(pods: int, enis: int, held: int) -> None:
    state = both(R5_XLARGE, WarmTargets(warm_eni=1), pods)
    assert (state.enis, state.addresses) == (enis, held)


@pytest.mark.parametrize(
    ("pods", "held", "enis"), [(1, 20, 2), (15, 20, 2), (16, 21, 2), (23, 28, 2), (24, 29, 3)]
)
def test_a_minimum_of_20_with_5_warm_follows_the_pods(pods: int, held: int, enis: int) -> None:
    state = both(R5_XLARGE, WarmTargets(1, 5, 20), pods)
    assert (state.addresses, state.enis) == (held, enis)


def test_ten_nodes_of_20_pods_hold_420_and_could_hold_220() -> None:
    now = both(R5_XLARGE, WarmTargets(warm_eni=1), 20)
    then = both(R5_XLARGE, WarmTargets(1, 2, 20), 20)
    assert (10 * now.addresses, 10 * now.idle) == (420, 220)
    assert (10 * then.addresses, 10 * then.idle) == (220, 20)


def test_a_minimum_of_5_alone_starves_the_sixth_pod() -> None:
    state = both(M5_LARGE, WarmTargets(1, 0, 5), 6)
    assert (state.addresses, state.subnet_addresses, state.unserved) == (5, 6, 1)


def test_a_t3_2xlarge_takes_30_addresses_by_default_and_10_with_5_warm() -> None:
    assert both(T3_2XLARGE, WarmTargets(warm_eni=1), 4).subnet_addresses == 30
    state = both(T3_2XLARGE, WarmTargets(1, 5), 4)
    assert (state.addresses, state.subnet_addresses) == (9, 10)
