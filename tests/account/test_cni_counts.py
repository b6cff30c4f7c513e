"""What aws-node counted, as counters of the operator; and targets that somebody else changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ippolicy.account.exporter import Exporter
from ippolicy.account.view import View
from ippolicy.facts import ChangePhase, EnvEntry, PoolCounters, PoolFacts
from views import NOW_S, a_change, a_daemon_set, a_policy, a_record, a_snapshot, a_view

SET = {"WARM_IP_TARGET": EnvEntry("2"), "MINIMUM_IP_TARGET": EnvEntry("20")}


def a_pass(counters: Mapping[str, PoolCounters], *, groups: int = 1, **other: object) -> View:
    """A pass over so many nodes that these were read of."""
    pools = {
        node: PoolFacts(node, 42, 20, 3, 4, 0, "v1.23.1", counted, NOW_S)
        for node, counted in counters.items()
    }
    return a_view(snapshot=a_snapshot(pools=pools, groups=groups), **other)


def served(exporter: Exporter, name: str) -> dict[str, float]:
    """Value of the label beside `policy` (or of `policy`) -> value, of each series of a name."""
    families = text_string_to_metric_families(exporter.render().decode())
    return {
        next((v for k, v in sample.labels.items() if k != "policy"), sample.labels["policy"]): (
            sample.value
        )
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def after(*views: View) -> Exporter:
    exporter = Exporter()
    for view in views:
        exporter.update(view, ())
    return exporter


def adds(count: int, failed: int = 0) -> PoolCounters:
    return PoolCounters(add_requests=count, no_available_addresses=failed)


def test_what_nodes_count_is_summed_by_group_from_the_first_look_on() -> None:
    first = a_pass({"node-0": adds(100, 7), "node-1": adds(5)}, groups=2)
    then = a_pass({"node-0": adds(110, 9), "node-1": adds(6)}, groups=2)
    assert served(after(first), "ippolicy_cni_adds_total") == {"group-0": 0.0, "group-1": 0.0}
    exporter = after(first, then)
    assert served(exporter, "ippolicy_cni_adds_total") == {"group-0": 10.0, "group-1": 1.0}
    assert served(exporter, "ippolicy_cni_failed_adds_total") == {"group-0": 2.0, "group-1": 0.0}


def test_a_node_that_goes_or_comes_makes_no_counter_fall_or_leap() -> None:
    exporter = after(
        a_pass({"node-0": adds(10), "node-1": adds(500)}),
        a_pass({"node-0": adds(20), "node-1": adds(510)}),
        a_pass({"node-0": adds(21)}),
        a_pass({"node-0": adds(22), "node-2": adds(900)}),
        a_pass({"node-0": adds(22), "node-2": adds(903)}),
    )
    assert served(exporter, "ippolicy_cni_adds_total") == {"group-0": 25.0}


def test_what_a_node_counted_while_it_could_not_be_read_comes_later() -> None:
    exporter = after(a_pass({"node-0": adds(5)}), a_pass({}), a_pass({"node-0": adds(9)}))
    assert served(exporter, "ippolicy_cni_adds_total") == {"group-0": 4.0}


def test_a_node_whose_counters_fall_adds_nothing() -> None:
    exporter = after(*(a_pass({"node-0": adds(count)}) for count in (50, 3, 5)))
    assert served(exporter, "ippolicy_cni_adds_total") == {"group-0": 2.0}


def test_calls_refused_for_load_are_served_by_operation_from_zero_on() -> None:
    calm = PoolCounters(ec2_calls={"Assign": 4}, answers={"Assign": 4})
    busy = replace(calm, ec2_calls={"Assign": 9}, ec2_overloads={"Assign": 3})
    assert served(after(a_pass({"node-0": calm})), "ippolicy_cni_ec2_overloads_total") == {
        "Assign": 0.0
    }
    exporter = after(a_pass({"node-0": calm}), a_pass({"node-0": busy}))
    assert served(exporter, "ippolicy_cni_ec2_calls_total") == {"Assign": 5.0}
    assert served(exporter, "ippolicy_cni_ec2_overloads_total") == {"Assign": 3.0}


def test_counters_of_a_group_that_is_gone_are_served_no_more() -> None:
    both = a_pass({"node-0": adds(1), "node-1": adds(1)}, groups=2)
    assert set(served(after(both), "ippolicy_cni_adds_total")) == {"group-0", "group-1"}
    exporter = after(both, a_pass({"node-0": adds(1)}))
    assert set(served(exporter, "ippolicy_cni_adds_total")) == {"group-0"}


def test_a_policy_that_is_gone_begins_anew() -> None:
    exporter = after(a_pass({"node-0": adds(1)}), a_pass({"node-0": adds(4)}))
    exporter.forget("default")
    assert served(exporter, "ippolicy_cni_adds_total") == {}
    exporter.update(a_pass({"node-0": adds(9)}), ())
    assert served(exporter, "ippolicy_cni_adds_total") == {"group-0": 0.0}


def test_nodes_are_counted_by_the_older_of_two_policies_only() -> None:
    rival = a_pass({"node-0": adds(4)}, rival="older", decision=None)
    exporter = after(rival, rival)
    assert served(exporter, "ippolicy_cni_adds_total") == {}


@pytest.mark.parametrize(
    ("spec", "env", "phase", "drifted"),
    [
        ({"mode": "Apply"}, SET, ChangePhase.COMPLETE, {"default": 0.0}),
        ({"mode": "Apply"}, {}, ChangePhase.COMPLETE, {"default": 1.0}),
        (
            {"mode": "Apply"},
            SET | {"WARM_IP_TARGET": EnvEntry("5")},
            ChangePhase.SUPERSEDED,
            {"default": 1.0},
        ),
        ({"mode": "Apply"}, {}, ChangePhase.INTENDED, {"default": 0.0}),
        ({"mode": "Recommend"}, {}, ChangePhase.COMPLETE, {}),
        ({"mode": "Off"}, {}, ChangePhase.COMPLETE, {}),
    ],
)
def test_targets_have_drifted_when_somebody_else_changed_what_was_set(
    spec: dict[str, str], env: dict[str, EnvEntry], phase: ChangePhase, drifted: dict[str, float]
) -> None:
    view = a_view(
        policy=a_policy(spec),
        snapshot=a_snapshot(daemon_set=a_daemon_set(env)),
        record=a_record(a_change(phase)),
    )
    assert served(after(view), "ippolicy_targets_drifted") == drifted


def test_limits_are_served_beside_what_is_held_to_them() -> None:
    spec = {"subnets": {"brake": {"freeBelow": "25%"}}}
    exporter = after(a_view(policy=a_policy(spec), min_coverage=0.9))
    assert served(exporter, "ippolicy_subnet_short_below_ratio") == {"default": 0.25}
    assert served(exporter, "ippolicy_scrape_needed_ratio") == {"default": 0.9}


@pytest.mark.parametrize(("value", "expected"), [("true", 1.0), ("false", 0.0)])
def test_prefix_delegation_is_served_as_it_is_in_force(value: str, expected: float) -> None:
    facts = a_daemon_set({"ENABLE_PREFIX_DELEGATION": EnvEntry(value)})
    exporter = after(a_view(snapshot=a_snapshot(daemon_set=facts)))
    assert served(exporter, "ippolicy_prefix_delegation") == {"default": expected}
