"""Running counts become the exporter's counters, each count once."""

from __future__ import annotations

from dataclasses import replace

from engine_fakes import NO_STATS
from ippolicy.account.exporter import Exporter
from ippolicy.engine.counting import CallCounts
from ippolicy.facts import SourceName


def counters(exporter: Exporter) -> dict[str, float]:
    lines = exporter.render().decode().splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith("ippolicy_api_"))
    return {
        series.replace("ippolicy_api_", ""): float(value)
        for series, _, value in found
        if "_total" in series
    }


def test_only_what_came_since_the_last_time_is_added() -> None:
    exporter = Exporter()
    counts = CallCounts(exporter)
    stats = replace(
        NO_STATS,
        calls={
            (SourceName.PODS, "list"): 3,
            (SourceName.METRICS, "scrape"): 10,
            ("ec2", "DescribeSubnets"): 1,
        },
        errors={(SourceName.METRICS, "timeout"): 2, ("ec2", "Throttled"): 1},
    )
    expected = {
        'calls_total{kind="kubernetes",operation="list"}': 3.0,
        'calls_total{kind="scrape",operation="scrape"}': 10.0,
        'calls_total{kind="ec2",operation="DescribeSubnets"}': 1.0,
        'errors_total{kind="scrape",operation="metrics",reason="timeout"}': 2.0,
        'errors_total{kind="ec2",operation="ec2",reason="Throttled"}': 1.0,
    }
    for _ in range(2):
        counts.take(stats)
        assert counters(exporter) == expected
    counts.take(
        replace(
            stats,
            calls={
                **stats.calls,
                (SourceName.METRICS, "scrape"): 15,
                (SourceName.NODES, "list"): 1,
            },
            errors={**stats.errors, (SourceName.PODS, "http-status"): 4},
        )
    )
    assert counters(exporter) == expected | {
        'calls_total{kind="scrape",operation="scrape"}': 15.0,
        'calls_total{kind="kubernetes",operation="list"}': 4.0,
        'errors_total{kind="kubernetes",operation="pods",reason="http-status"}': 4.0,
    }


def test_what_was_never_done_is_not_served_as_zero() -> None:
    exporter = Exporter()
    CallCounts(exporter).take(replace(NO_STATS, calls={(SourceName.PODS, "watch"): 0}))
    assert counters(exporter) == {}
