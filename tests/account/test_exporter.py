"""What /metrics serves: declared once, in true figures, and nothing of what is gone."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

import ippolicy
from ippolicy.account import metrics
from ippolicy.account.conditions import conditions
from ippolicy.account.exporter import Exporter, Lost
from ippolicy.account.metric import Kind
from ippolicy.account.view import View
from ippolicy.act.checkpoints import CheckpointState
from ippolicy.act.outcome import OutcomeKind
from ippolicy.decide.births.progress import GroupProgress, State
from ippolicy.decide.births.table import GroupTargets, PolicyTable, Stage, Trial
from ippolicy.facts import EnvEntry, Ledger, PoolCounters, PoolFacts, SourceName, SourceState
from ippolicy.ipamd import WarmTargets
from views import (
    NOW_S,
    a_daemon_set,
    a_decision,
    a_dire_ahead,
    a_policy,
    a_proven_change,
    a_record,
    a_snapshot,
    a_view,
    accounted,
)

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def an_exporter(*views: View) -> Exporter:
    """An exporter after these passes."""
    exporter = Exporter()
    for view in views:
        exporter.update(view, conditions(view, (), NOW_S))
    return exporter


def series(exporter: Exporter) -> Series:
    """Every series that is served: (name, labels) -> value."""
    text = exporter.render().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(exporter: Exporter, name: str, **labels: str) -> float:
    """The value of one series."""
    return series(exporter)[name, frozenset(labels.items())]


TRIED = GroupTargets(WarmTargets(warm_ip=2), 1)


def a_busy_exporter() -> Exporter:
    """An exporter that serves every metric."""
    kept = CheckpointState(NOW_S - 60, 4_096)
    counted = PoolCounters(ec2_calls={"CreateNetworkInterface": 3}, ec2_overloads={"x": 1})
    pools = {"node-0": PoolFacts("node-0", 42, 20, 3, 4, 0, "v1.23.1", counted, NOW_S)}
    view = a_view(
        policy=a_policy({"mode": "Apply"}),
        snapshot=accounted(a_snapshot(pools=pools)),
        record=replace(a_record(a_proven_change()), ledger=Ledger(7_200.0, NOW_S, NOW_S - 3_600)),
        checkpoint=kept,
        ahead=a_dire_ahead(),
        births=(GroupProgress("blue", 1, "group", dict.fromkeys(State, 2)),),
        table=PolicyTable("default", trials={"blue": Trial(TRIED, Stage.CANARY, 0.0, ("node-0",))}),
    )
    exporter = an_exporter(view)
    exporter.answered("Mutated", times=2)
    exporter.restarted("default", "blue")
    exporter.tried("default", "blue", "TrialBegun")
    exporter.checkpointed("default", "Written")
    exporter.decided("default", "TargetsInPlace")
    exporter.acted("default", OutcomeKind.WRITTEN)
    exporter.restored("default", OutcomeKind.RESTORED)
    exporter.rolled_back("default", "DelayedStarts")
    exporter.drifted("default", 1)
    exporter.imported("default", 86_400.0)
    exporter.left_out("default", 1)
    exporter.posted("default", "ChangeStarted")
    exporter.lost("default", Lost.REFUSED)
    exporter.called("ec2", "DescribeSubnets")
    exporter.failed("ec2", "DescribeSubnets", "Throttled")
    exporter.looped(0.2)
    return exporter


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("ippolicy_nodes", {}, 10.0),
        ("ippolicy_left_out_nodes", {"kind": "Fargate"}, 2.0),
        ("ippolicy_pods", {}, 200.0),
        ("ippolicy_held_addresses", {}, 420.0),
        ("ippolicy_assigned_addresses", {}, 200.0),
        ("ippolicy_warm_addresses", {}, 220.0),
        ("ippolicy_enis", {}, 30.0),
        ("ippolicy_present_held_addresses", {}, 420.0),
        ("ippolicy_predicted_held_addresses", {}, 220.0),
        ("ippolicy_savings_addresses", {}, 200.0),
        ("ippolicy_evidence_seconds", {}, 7_200.0),
        ("ippolicy_target", {"state": "in_force", "key": "WARM_ENI_TARGET"}, 1.0),
        ("ippolicy_target", {"state": "recommended", "key": "MINIMUM_IP_TARGET"}, 20.0),
        (
            "ippolicy_targets_info",
            {"state": "recommended", "targets": "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=20"},
            1.0,
        ),
        ("ippolicy_condition", {"type": "Ready", "status": "True"}, 1.0),
        ("ippolicy_condition", {"type": "Ready", "status": "False"}, 0.0),
        ("ippolicy_group_nodes", {"group": "group-0"}, 10.0),
        ("ippolicy_group_held_addresses", {"group": "group-0"}, 420.0),
        ("ippolicy_group_assigned_addresses", {"group": "group-0"}, 200.0),
        ("ippolicy_group_warm_addresses", {"group": "group-0"}, 220.0),
        (
            "ippolicy_subnet_free_addresses",
            {"subnet": "subnet-00000000000000001", "zone": "eu-west-1a"},
            101.0,
        ),
        (
            "ippolicy_subnet_usable_addresses",
            {"subnet": "subnet-00000000000000001", "zone": "eu-west-1a"},
            251.0,
        ),
        ("ippolicy_scrape_listed_endpoints", {}, 10.0),
        ("ippolicy_scrape_read_endpoints", {}, 10.0),
        ("ippolicy_scrape_stale_endpoints", {}, 0.0),
        ("ippolicy_scrape_coverage_ratio", {}, 1.0),
        ("ippolicy_source_up", {"source": "ec2-subnets"}, 1.0),
        ("ippolicy_source_last_success_timestamp_seconds", {"source": "pods"}, NOW_S - 5),
        ("ippolicy_last_pass_timestamp_seconds", {}, NOW_S),
    ],
)
def test_a_pass_is_served_in_true_figures(
    name: str, labels: dict[str, str], expected: float
) -> None:
    assert value(an_exporter(a_view()), name, policy="default", **labels) == expected


def test_whether_it_is_in_office_is_served_as_of_the_scrape() -> None:
    office = [False]
    exporter = Exporter(leading=lambda: office[0])
    assert value(exporter, "ippolicy_leader") == 0.0
    office[0] = True
    assert value(exporter, "ippolicy_leader") == 1.0


def test_how_much_demand_is_kept_and_until_when_is_served() -> None:
    served = a_busy_exporter()
    moment = value(served, "ippolicy_checkpoint_timestamp_seconds", policy="default")
    assert moment == NOW_S - 60
    assert value(served, "ippolicy_checkpoint_bytes", policy="default") == 4_096
    none = series(an_exporter(a_view()))
    assert not [name for name, _ in none if name.startswith("ippolicy_checkpoint")]


def test_every_declared_metric_is_served_with_its_help_and_type() -> None:
    exporter = a_busy_exporter()
    text = exporter.render().decode()
    for metric in metrics.CATALOGUE:
        served = f"{metric.name}_total" if metric.kind is Kind.COUNTER else metric.name
        assert f"# HELP {served} {metric.help}\n" in text
        assert f"# TYPE {served} {metric.kind.value}\n" in text


def test_nothing_is_served_that_is_not_declared() -> None:
    names = set(re.findall(r"# TYPE (\S+)", a_busy_exporter().render().decode()))
    declared = {m.name + "_total" * (m.kind is Kind.COUNTER) for m in metrics.CATALOGUE}
    assert names == declared


def test_names_follow_the_manners_of_prometheus() -> None:
    assert len({metric.name for metric in metrics.CATALOGUE}) == len(metrics.CATALOGUE)
    for metric in metrics.CATALOGUE:
        assert re.fullmatch(r"ippolicy_[a-z0-9]+(_[a-z0-9]+)*", metric.name)
        assert not metric.name.endswith("_total")
        assert metric.help.endswith(".")
        assert metric.unit


def test_the_version_is_served() -> None:
    assert value(Exporter(), "ippolicy_build_info", version=ippolicy.__version__) == 1.0


def test_subnets_groups_and_targets_that_are_gone_are_served_no_more() -> None:
    before = a_view(snapshot=a_snapshot(groups=2, subnets=3))
    daemon_set = a_daemon_set({"WARM_IP_TARGET": EnvEntry("2")})
    after = a_view(snapshot=a_snapshot(groups=1, subnets=1, daemon_set=daemon_set, left_out={}))
    served = series(an_exporter(before, after))
    assert served == series(an_exporter(after))
    assert len(series(an_exporter(before))) > len(served)


def test_a_policy_that_is_gone_leaves_nothing_behind() -> None:
    exporter = an_exporter(a_view(policy=replace(a_policy(), name="other")))
    exporter.decided("other", "TargetsInPlace")
    rest = series(exporter)
    exporter.update(a_view(), conditions(a_view(), (), NOW_S))
    exporter.decided("default", "TargetsInPlace")
    exporter.acted("default", OutcomeKind.FAILED)
    exporter.posted("default", "WriteFailed")
    exporter.lost("default", Lost.QUEUE_FULL)
    assert series(exporter) != rest
    exporter.forget("default")
    assert series(exporter) == rest


def test_forgetting_an_unknown_policy_is_no_error() -> None:
    exporter = Exporter()
    exporter.called("kubernetes", "default")
    exporter.forget("default")
    labels = {"kind": "kubernetes", "operation": "default"}
    assert value(exporter, "ippolicy_api_calls_total", **labels) == 1.0


def test_nodes_of_two_policies_for_one_daemon_set_are_counted_once() -> None:
    younger = a_view(policy=replace(a_policy(), name="younger"), decision=None, rival="default")
    served = series(an_exporter(a_view(), younger))
    assert sum(v for (name, _), v in served.items() if name == "ippolicy_nodes") == 10.0
    labels = {"policy": "younger", "type": "Conflict", "status": "True"}
    assert served["ippolicy_condition", frozenset(labels.items())] == 1.0


def test_a_source_that_never_answered_has_no_time() -> None:
    sources = {SourceName.METRICS: SourceState(None, error="refused")}
    served = series(an_exporter(a_view(snapshot=a_snapshot(sources=sources))))
    assert (
        served["ippolicy_source_up", frozenset({("policy", "default"), ("source", "metrics")})]
        == 0.0
    )
    assert "ippolicy_source_last_success_timestamp_seconds" not in {name for name, _ in served}


def test_without_a_recommendation_none_is_served() -> None:
    view = a_view(decision=a_decision(fleet=None), snapshot=a_snapshot(daemon_set=None))
    names = {name for name, _ in series(an_exporter(view))}
    assert not names & {"ippolicy_savings_addresses", "ippolicy_target", "ippolicy_targets_info"}


def test_nodes_that_were_not_read_count_as_nodes_only() -> None:
    exporter = an_exporter(a_view(snapshot=a_snapshot(2, pools={})))
    labels = {"policy": "default", "group": "group-0"}
    assert value(exporter, "ippolicy_group_nodes", **labels) == 2.0
    assert value(exporter, "ippolicy_group_held_addresses", **labels) == 0.0


def test_counters_add_up() -> None:
    exporter = Exporter()
    exporter.called("scrape", "get", times=3)
    exporter.called("scrape", "get")
    exporter.failed("scrape", "get", "timeout", times=2)
    labels = {"kind": "scrape", "operation": "get"}
    assert value(exporter, "ippolicy_api_calls_total", **labels) == 4.0
    assert value(exporter, "ippolicy_api_errors_total", **labels, reason="timeout") == 2.0


def test_the_duration_of_the_loop_is_a_histogram() -> None:
    exporter = Exporter()
    for duration_s in (0.01, 0.2, 0.2, 99.0):
        exporter.looped(duration_s)
    name = "ippolicy_loop_duration_seconds"
    assert value(exporter, f"{name}_bucket", le="0.01") == 1.0
    assert value(exporter, f"{name}_bucket", le="0.25") == 3.0
    assert value(exporter, f"{name}_bucket", le="30.0") == 3.0
    assert value(exporter, f"{name}_bucket", le="+Inf") == 4.0
    assert value(exporter, f"{name}_count") == 4.0
    assert value(exporter, f"{name}_sum") == pytest.approx(99.41)


def test_label_values_of_any_text_are_served_whole() -> None:
    group = 'a"b\\c\nd'
    snapshot = a_snapshot(1)
    odd = replace(snapshot, nodes=(replace(snapshot.nodes[0], group=group),))
    served = an_exporter(a_view(snapshot=odd))
    assert value(served, "ippolicy_group_nodes", policy="default", group=group) == 1.0


def test_each_part_of_a_split_subnet_is_served_and_the_mismatch_for_itself() -> None:
    one = accounted(a_snapshot(subnets=1))
    served = series(an_exporter(a_view(snapshot=one)))
    held = {
        dict(labels)["holder"]: count
        for (name, labels), count in served.items()
        if name == "ippolicy_subnet_held_addresses"
    }
    assert held == {
        "assigned": 10,
        "warm": 0,
        "unclear": 12,
        "eni-primaries": 2,
        "other-clusters": 5,
        "load-balancer": 1,
    }
    exporter = an_exporter(a_view(snapshot=one))
    where = {"policy": "default", "subnet": one.subnets[0].subnet_id, "zone": "eu-west-1a"}
    assert value(exporter, "ippolicy_subnet_unaccounted_addresses", **where) == 2
    assert value(exporter, "ippolicy_subnet_listed_timestamp_seconds", **where) == NOW_S - 60
    assert value(exporter, "ippolicy_subnet_read_timestamp_seconds", **where) == NOW_S
    assert value(exporter, "ippolicy_subnet_free_blocks", kind="reserved", **where) == 4
    assert value(exporter, "ippolicy_subnet_free_blocks", kind="open", **where) == 9
    fragmentation = value(exporter, "ippolicy_subnet_fragmentation_ratio", **where)
    assert fragmentation == pytest.approx(1 - 16 * 13 / 223)
    assert value(exporter, "ippolicy_subnet_prefix_refusals", **where) == 0


def test_a_subnet_that_is_no_longer_split_keeps_its_free_addresses_only() -> None:
    plain = a_snapshot(subnets=1)
    names = {name for name, labels in series(an_exporter(a_view(snapshot=plain)))}
    both = an_exporter(a_view(snapshot=accounted(plain)), a_view(snapshot=plain))
    assert {name for name, labels in series(both)} == names
    assert "ippolicy_subnet_free_addresses" in names
    assert "ippolicy_subnet_held_addresses" not in names
