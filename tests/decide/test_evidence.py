"""Few nodes must be watched for longer, and what is left out of the search is said."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import trace
from ippolicy.api import Duration
from ippolicy.decide.evidence import ENOUGH_NODES, evidence_of
from ippolicy.decide.question import Advice, Choice, Option
from ippolicy.decide.types import Evidence
from ippolicy.ipamd import WarmTargets

HOUR_S = 3_600.0
TARGETS = WarmTargets(warm_ip=1, minimum_ip=20)
OPTION = Option(TARGETS, 210.0, 200.0, 20.0, 0.0, 0.0)
ADVICE = Advice(
    chosen=OPTION,
    present=OPTION,
    lower=TARGETS,
    upper=TARGETS,
    uncapped=TARGETS,
    binding="demand",
    met=True,
    sure=1.0,
    present_met=True,
    held_interval=(210.0, 210.0),
    runners_up=(),
)
CHOICE = Choice(ADVICE, {}, units_played=3, units=10, settings=200, events_played=1)


def seen(nodes: int, hours: float, advice: Advice | None = ADVICE, pooled: int = 0) -> Evidence:
    """The evidence of some nodes that were watched for some hours."""
    return evidence_of(
        [trace(n, span_s=hours * HOUR_S, events=[(60.0, 1)]) for n in range(nodes)],
        needed=Duration("1h"),
        nodes=nodes,
        advice=advice,
        choice=replace(CHOICE, pooled=pooled),
    )


@pytest.mark.parametrize(
    ("nodes", "hours", "enough"),
    [
        (1, 1.0, False),
        (1, ENOUGH_NODES, True),
        (2, ENOUGH_NODES / 2, True),
        (2, ENOUGH_NODES / 2 - 0.1, False),
        (ENOUGH_NODES, 1.0, True),
        (ENOUGH_NODES, 0.9, False),
    ],
)
def test_one_node_that_varies_with_nothing_is_watched_for_longer(
    nodes: int, hours: float, *, enough: bool
) -> None:
    evidence = seen(nodes, hours)
    assert evidence.sufficient is enough
    assert evidence.arrivals == nodes
    if hours >= 1.0:
        assert ("so few nodes must be watched for longer" in evidence.message) is not enough


def test_the_plain_rule_resamples_nothing_and_asks_for_no_more_nodes() -> None:
    assert seen(1, 1.0, advice=None).sufficient


def test_limits_that_are_kept_by_chance_are_no_evidence() -> None:
    unsure = seen(10, 2.0, replace(ADVICE, sure=0.63))
    assert not unsure.sufficient
    assert "the limits are kept in 63% of the resamples" in unsure.message
    assert seen(10, 2.0, replace(ADVICE, sure=0.0, met=False)).sufficient


def test_groups_that_were_judged_as_one_are_counted() -> None:
    assert seen(10, 2.0, pooled=12).message.endswith("settings, the smallest 12 groups as one")
    assert "as one" not in seen(10, 2.0).message
