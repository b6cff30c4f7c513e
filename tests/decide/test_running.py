"""What is in force is what each node's aws-node was born with, not what the template says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from builders import NOW_S, agent, daemon_set, node, snapshot, trace
from decided import REPLACED, story
from ippolicy.decide.bundle import dump, load
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.running import Run, Running, running_of
from ippolicy.decide.types import Decision, Recommendation
from ippolicy.facts import Agent, Birth, LateStarts, Ran, Signals
from ippolicy.ipamd import PoolSettings, WarmTargets

TEMPLATE = WarmTargets(warm_eni=1, warm_prefix=1)
LEAN = {"WARM_ENI_TARGET": "1", "WARM_PREFIX_TARGET": "1"} | {
    "WARM_IP_TARGET": "2",
    "MINIMUM_IP_TARGET": "20",
}
LEAN_TARGETS = replace(TEMPLATE, warm_ip=2, minimum_ip=20)
RAN = Ran("node-5", LEAN_TARGETS, NOW_S - 80_000)
AMPLE = {**LEAN, "WARM_IP_TARGET": "9", "MINIMUM_IP_TARGET": "30"}
AMPLE_TARGETS = replace(TEMPLATE, warm_ip=9, minimum_ip=30)


def born(number: int, env: Mapping[str, str], **changes: Any) -> Agent:
    return agent(
        number, birth=Birth("default", "blue", "1", "digest"), targets=dict(env), **changes
    )


def agents(*envs: Mapping[str, str] | None) -> dict[str, Agent]:
    """An aws-node pod a node: born with these targets, or (None) with those of the template."""
    made = (agent(n) if env is None else born(n, env) for n, env in enumerate(envs))
    return {f"node-{n}": one for n, one in enumerate(made)}


def two_groups(*envs: Mapping[str, str] | None, **changes: Any) -> Inputs:
    """Five nodes of group `blue`, five of `green` with fewer pods."""
    facts = snapshot(
        nodes=tuple(node(n, group="blue" if n < 5 else "green") for n in range(10)),
        agents=agents(*envs),
    )
    traces = [
        trace(n, level=20, events=REPLACED, group="blue")
        if n < 5
        else trace(n, level=8, events=REPLACED, group="green")
        for n in range(10)
    ]
    return story(snapshot=facts, traces=traces, **changes)


def all_with(env: Mapping[str, str]) -> Inputs:
    """The same, with targets that all nodes have of the template."""
    inputs = two_groups()
    facts = replace(inputs.snapshot, daemon_set=daemon_set(env))
    return replace(inputs, snapshot=facts)


def of_group(decision: Decision, name: str) -> Recommendation:
    (found,) = (one.recommendation for one in decision.groups if one.group == name)
    return found


def fleet_of(decision: Decision) -> Recommendation:
    assert decision.fleet is not None
    return decision.fleet


def figures(one: Recommendation) -> tuple[float | None, ...]:
    present = one.present
    return present.mean_held, present.delayed_share, present.ec2_calls_per_minute


@pytest.mark.parametrize(
    ("pod", "own"),
    [
        (agent(0, targets=LEAN), None),  # the webhook knows nothing of it
        (born(0, LEAN), LEAN_TARGETS),
        (born(0, {"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "20"}), LEAN_TARGETS),
        (born(0, {"WARM_ENI_TARGET": "1"}), None),  # as the template
        (born(0, {"WARM_PREFIX_TARGET": "4"}), None),  # which ipamd puts aside
        (born(0, {"WARM_ENI_TARGET": "3"}), replace(TEMPLATE, warm_eni=3)),
    ],
)
def test_a_node_runs_with_what_its_pod_was_born_with(pod: Agent, own: WarmTargets | None) -> None:
    running = running_of(snapshot(agents={"node-0": pod}), PoolSettings(targets=TEMPLATE))
    assert running.own == ({} if own is None else {"node-0": own})
    assert running.targets_of("node-0") == (own or TEMPLATE)
    assert running.settings_of("node-1") == PoolSettings(targets=TEMPLATE)


def test_prefixes_of_its_own_are_in_force_where_prefixes_are_given() -> None:
    base = PoolSettings(prefix_delegation=True, targets=TEMPLATE)
    facts = snapshot(agents={"node-0": born(0, {"WARM_PREFIX_TARGET": "4"})})
    assert running_of(facts, base).own == {"node-0": replace(TEMPLATE, warm_prefix=4)}


def test_targets_in_force_are_told_by_group_the_most_frequent_first() -> None:
    facts = two_groups(None, None, LEAN, None, None, LEAN, LEAN, AMPLE, LEAN, LEAN).snapshot
    running = running_of(facts, PoolSettings(targets=TEMPLATE))
    assert running.by_group(facts.nodes) == {
        "blue": (Run(TEMPLATE, 4), Run(LEAN_TARGETS, 1)),
        "green": (Run(LEAN_TARGETS, 4), Run(AMPLE_TARGETS, 1)),
    }
    assert Running(running.base).by_group(facts.nodes) == {}


def test_each_group_is_held_against_its_own_targets_and_the_fleet_against_all() -> None:
    mixed = decide(two_groups(*[None] * 5, *[LEAN] * 5))
    template, lean = decide(two_groups()), decide(all_with(LEAN))
    for group, alone in (("blue", template), ("green", lean)):
        assert figures(of_group(mixed, group)) == pytest.approx(figures(of_group(alone, group)))
    held = [of_group(mixed, group).present.mean_held or 0.0 for group in ("blue", "green")]
    assert fleet_of(mixed).present.mean_held == pytest.approx(sum(held))
    assert fleet_of(mixed).present.mean_held != pytest.approx(fleet_of(template).present.mean_held)


def test_a_group_that_is_half_way_counts_half_and_half() -> None:
    mixed = decide(two_groups(*[None] * 5, *[LEAN] * 3, *[AMPLE] * 2))
    lean, ample = (of_group(decide(all_with(env)), "green") for env in (LEAN, AMPLE))
    parts = zip(figures(lean), figures(ample), strict=True)
    assert figures(of_group(mixed, "green")) == pytest.approx(
        [0.6 * (one or 0.0) + 0.4 * (other or 0.0) for one, other in parts]
    )


@pytest.mark.parametrize("by_replay", [True, False])
def test_how_targets_came_to_be_in_force_decides_nothing(*, by_replay: bool) -> None:
    born_so = decide(two_groups(*[LEAN] * 10, by_replay=by_replay))
    of_template = decide(replace(all_with(LEAN), by_replay=by_replay))
    for one, other in zip(_all(born_so), _all(of_template), strict=True):
        assert one.targets == other.targets
        assert one.present == other.present
        assert (one.meets, one.present_meets) == (other.meets, other.present_meets)


def _all(decision: Decision) -> Iterable[Recommendation]:
    return (fleet_of(decision), *(one.recommendation for one in decision.groups))


def test_targets_that_are_best_stay_in_each_group_as_they_are() -> None:
    first = decide(two_groups())
    chosen = {one.group: one.recommendation.targets for one in first.groups}
    assert chosen["blue"] != chosen["green"]
    envs = [
        {"WARM_IP_TARGET": f"{t.warm_ip}", "MINIMUM_IP_TARGET": f"{t.minimum_ip}"}
        for t in (chosen["blue"], chosen["green"])
    ]
    second = decide(two_groups(*[envs[0]] * 5, *[envs[1]] * 5))
    again = {one.group: one.recommendation for one in second.groups}
    assert {group: one.targets for group, one in again.items()} == chosen
    for one in again.values():
        assert one.present.mean_held == pytest.approx(one.predicted.mean_held)
        assert one.present_meets


def test_a_mixture_is_judged_and_never_recommended() -> None:
    trap = {"WARM_IP_TARGET": "0", "MINIMUM_IP_TARGET": "12"}
    decision = decide(two_groups(*[trap] * 3, *[None] * 7))
    assert all(one.targets.warm_ip >= 1 for one in _all(decision))
    assert not of_group(decision, "blue").present_meets


def test_as_nodes_follow_one_by_one_an_answer_stands_until_other_targets_come() -> None:
    first = decide(two_groups(*[None] * 5, *[LEAN] * 2, *[None] * 3))
    more = two_groups(*[None] * 5, *[LEAN] * 3, *[None] * 2, searched=first.searched)
    assert decide(more).searched is first.searched
    other = two_groups(*[None] * 5, *[AMPLE] * 2, *[None] * 3, searched=first.searched)
    assert decide(other).searched is not first.searched


@pytest.mark.parametrize("by_replay", [True, False])
def test_late_starts_raise_the_group_whose_targets_they_came_under(*, by_replay: bool) -> None:
    signals = Signals(
        late=tuple(LateStarts(NOW_S - 60, f"node-{n}", "green", 9) for n in range(5, 10)),
        ran=tuple(Ran(f"node-{n}", LEAN_TARGETS, NOW_S - 80_000) for n in range(5, 10)),
    )
    inputs = two_groups(*[None] * 5, *[LEAN] * 5, signals=signals, by_replay=by_replay)
    decision = decide(inputs)
    green, blue = of_group(decision, "green"), of_group(decision, "blue")
    assert "WARM_IP_TARGET=2 MINIMUM_IP_TARGET=20" in green.raised
    assert green.targets.warm_ip > 2
    assert not green.present_meets
    assert blue.raised == ""
    assert blue.targets.warm_ip <= 2


def test_a_group_of_unknown_limits_is_judged_by_the_rule_against_its_own_targets() -> None:
    poor = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "0"}
    decision = decide(two_groups(*[None] * 5, *[poor] * 5, by_replay=False))
    assert not of_group(decision, "green").present_meets
    assert of_group(decision, "blue").present_meets


def test_a_pod_without_the_labels_of_the_webhook_counts_as_its_template() -> None:
    assert decide(two_groups(*[None] * 10)) == decide(two_groups())


def test_a_bundle_has_what_is_in_force() -> None:
    inputs = two_groups(*[None] * 5, *[LEAN] * 5)
    inputs = replace(inputs, searched=decide(inputs).searched, signals=Signals(ran=(RAN,)))
    loaded = load(dump(inputs))
    assert loaded.searched == inputs.searched
    assert loaded.snapshot.agents == inputs.snapshot.agents
    assert decide(loaded) == decide(inputs)
