"""The grid has enough settings, all of which may be written, and no trap."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builders import NOW_S, node, snapshot, trace
from ippolicy.api import Bounds
from ippolicy.decide.environment import as_env
from ippolicy.decide.grid import Candidate, bound_between, candidates
from ippolicy.decide.units import units_of
from ippolicy.ipamd import PoolSettings, WarmTargets, check_entry_point


def tried(
    present: PoolSettings, bounds: Bounds, *, level: int = 20, may_write_prefix: bool = True
) -> list[Candidate]:
    """The candidates for one r5.xlarge with `level` pods."""
    nodes = (node(0),)
    seen = units_of(snapshot(1, nodes=nodes), nodes, [trace(0, level=level)], until_s=NOW_S)
    anchor = WarmTargets(warm_ip=1, minimum_ip=level)
    return candidates(seen, present, bounds, anchor=anchor, may_write_prefix=may_write_prefix)


def test_a_full_grid_has_at_least_150_settings() -> None:
    for prefixes in (False, True):
        found = tried(PoolSettings(prefix_delegation=prefixes), Bounds())
        assert sum(candidate.writable for candidate in found) >= 150
        assert len({c.targets for c in found}) == len(found)


def test_the_setting_in_force_comes_first_and_may_stay_unless_it_is_a_trap() -> None:
    assert tried(PoolSettings(), Bounds())[0] == Candidate(WarmTargets(), writable=True)
    trap = WarmTargets(minimum_ip=5)
    assert tried(PoolSettings(targets=trap), Bounds())[0] == Candidate(trap, writable=False)


def test_a_prefix_target_is_tried_only_where_it_is_ours_and_nothing_puts_it_aside() -> None:
    def alone(**how: Any) -> set[int]:
        targets = WarmTargets(warm_prefix=1, warm_ip=how.pop("warm_ip", 0))
        present = PoolSettings(targets=targets, prefix_delegation=how.pop("prefixes", True))
        found = tried(present, Bounds(), **how)[1:]
        return {c.targets.warm_prefix for c in found if not c.targets.counts_addresses}

    assert alone() == {2, 3, 4}
    assert alone(may_write_prefix=False) == set()
    assert alone(warm_ip=1) == set()
    assert alone(prefixes=False) == set()


def test_the_bound_that_stands_in_the_way_is_named() -> None:
    bounds = Bounds.model_validate(
        {"warmIPTarget": {"min": 2, "max": 4}, "minimumIPTarget": {"min": 5, "max": 9}}
    )
    said = {
        (w, m): bound_between(WarmTargets(warm_ip=w, minimum_ip=m), bounds)
        for w, m in ((1, 5), (5, 5), (2, 4), (2, 10))
    }
    assert list(said.values()) == [
        "bounds.warmIPTarget.min",
        "bounds.warmIPTarget.max",
        "bounds.minimumIPTarget.min",
        "bounds.minimumIPTarget.max",
    ]


values = st.sampled_from(["", "0", "1", "5", "-1", "+3", "40"])
envs = st.dictionaries(
    st.sampled_from(
        ["WARM_ENI_TARGET", "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_PREFIX_TARGET"]
    ),
    values,
)


@given(
    env=envs,
    prefixes=st.booleans(),
    warm=st.tuples(st.integers(1, 40), st.integers(0, 60)),
    minimum=st.tuples(st.integers(0, 80), st.integers(0, 200)),
    level=st.integers(0, 70),
    ours=st.booleans(),
)
def test_no_setting_that_may_be_chosen_is_a_trap_in_the_env_that_it_is_written_to(
    env: dict[str, str],
    warm: tuple[int, int],
    minimum: tuple[int, int],
    level: int,
    *,
    prefixes: bool,
    ours: bool,
) -> None:
    env = {**env, "ENABLE_PREFIX_DELEGATION": str(prefixes).lower()}
    bounds = Bounds.model_validate(
        {
            "warmIPTarget": {"min": warm[0], "max": sum(warm)},
            "minimumIPTarget": {"min": minimum[0], "max": sum(minimum)},
        }
    )
    found = tried(PoolSettings.from_env(env), bounds, level=level, may_write_prefix=ours)
    assert any(candidate.writable for candidate in found)
    for candidate in (candidate for candidate in found[1:] if candidate.writable):
        result = {**env, **as_env(candidate.targets)}
        check_entry_point(result)
        read = PoolSettings.from_env(result).targets
        assert read.warm_ip >= 1 or (prefixes and read.warm_prefix >= 1 and not read.minimum_ip)
        if read.counts_addresses:
            assert warm[0] <= read.warm_ip <= sum(warm)
            assert minimum[0] <= read.minimum_ip <= sum(minimum)
