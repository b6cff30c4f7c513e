"""A decision says what to do, and why, from the facts alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import (
    CNI_DEFAULTS,
    NOW_S,
    change,
    daemon_set,
    node,
    policy,
    pool,
    record,
    rollout,
    snapshot,
    trace,
    written,
)
from ippolicy.api import IPPolicy
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.gates import Limits
from ippolicy.decide.question import Searched
from ippolicy.decide.subnets.brake import RoomAt, SubnetRoom
from ippolicy.decide.types import Decision, Reason, Verdict
from ippolicy.facts import (
    ChangePhase,
    Cni,
    CniFacts,
    Coverage,
    EnvEntry,
    LeftOut,
    NodeTrace,
    Record,
    Snapshot,
    SourceName,
    SourceState,
)
from ippolicy.ipamd import PoolSettings, check_entry_point

BURSTS = [(start_s + second, 1) for start_s in range(600, 7_000, 1_200) for second in range(5)]
REPLACED = [(at_s, step) for at_s in range(300, 7_000, 600) for step in (-1, 1)]


def made(
    facts: Snapshot | None = None,
    *,
    by: IPPolicy | None = None,
    traces: Sequence[NodeTrace] | None = None,
    changes: Record | None = None,
    searched: Searched | None = None,
    by_replay: bool = True,
) -> Decision:
    """The decision on the first story by replay, with what a test changes about it."""
    seen = [trace(n, events=REPLACED) for n in range(10)] if traces is None else traces
    return decide(
        Inputs(
            policy=by or policy(),
            snapshot=facts or snapshot(),
            traces=seen,
            record=changes,
            limits=Limits(),
            searched=searched,
            by_replay=by_replay,
        )
    )


def test_the_first_story_finds_values_that_hold_less_than_those_found_by_hand() -> None:
    decision = made()
    assert decision.verdict is Verdict.CHANGE
    assert decision.reason is Reason.SAVES_ADDRESSES
    assert decision.env == {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "20"}
    assert decision.fleet is not None
    assert (decision.fleet.present.held, decision.fleet.predicted.held) == (420, 210)
    assert decision.fleet.predicted.delayed_share == 0.0
    assert decision.fleet.predicted.ec2_calls_per_minute == 0.0


def test_each_group_has_its_own_advice() -> None:
    nodes = (node(0), node(1, group="green"))
    pods = {"node-0": 20, "node-1": 3}
    pools = {"node-0": pool(0), "node-1": pool(1, held=28, assigned=3, enis=2)}
    facts = snapshot(2, nodes=nodes, pods_per_node=pods, pools=pools)
    traces = [trace(0), trace(1, level=3, group="green")]
    blue, green = made(facts, traces=traces).groups
    assert (blue.group, blue.nodes, blue.pods) == ("blue", 1, 20)
    assert (green.group, green.nodes, green.pods) == ("green", 1, 3)
    assert blue.recommendation.targets.minimum_ip == 20
    assert green.recommendation.targets.minimum_ip == 3


def test_the_same_facts_give_the_same_decision() -> None:
    assert made() == made()


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"daemon_set": None}, Reason.NO_DAEMON_SET),
        ({"daemon_set": daemon_set(has_container=False, env={})}, Reason.NO_CONTAINER),
        ({"nodes": ()}, Reason.NO_NODES),
    ],
)
def test_without_something_to_tune_there_is_no_recommendation(
    facts: dict[str, Any], reason: Reason
) -> None:
    decision = made(snapshot(**facts))
    assert (decision.verdict, decision.reason, decision.fleet) == (Verdict.HOLD, reason, None)


@pytest.mark.parametrize("mode", ["Recommend", "Apply"])
@pytest.mark.parametrize(
    ("cni", "says"),
    [
        (
            CniFacts(Cni.CILIUM_ENI, "DaemonSet kube-system/cilium runs on 10 nodes"),
            "from Cilium in ENI mode (DaemonSet kube-system/cilium runs on 10 nodes)",
        ),
        (CniFacts(Cni.CILIUM, "it runs"), "which has no warm targets to tune"),
        (CniFacts(Cni.AMAZON_VPC, "ENABLE_IPv6=true", ipv6=True), "where it ignores warm targets"),
    ],
)
@pytest.mark.parametrize("facts", [{}, {"daemon_set": None}, {"nodes": ()}])
def test_without_warm_pools_nothing_is_written_whatever_else_is_there(
    facts: dict[str, Any], cni: CniFacts, says: str, mode: str
) -> None:
    decision = made(snapshot(**facts, cni=cni), by=policy({"mode": mode}))
    assert (decision.verdict, decision.env, decision.fleet) == (Verdict.HOLD, {}, None)
    assert decision.reason is Reason.NO_WARM_POOLS
    assert says in decision.message


def test_an_unknown_cni_stops_nothing() -> None:
    told = CniFacts(Cni.UNKNOWN, "nothing told it")
    assert made(snapshot(cni=told)) == made()


@pytest.mark.parametrize(("left", "short"), [(20, True), (30, False)])
def test_without_warm_pools_it_is_still_told_which_subnet_is_short(left: int, short: bool) -> None:
    cilium = snapshot(cni=CniFacts(Cni.CILIUM_ENI, "it runs"))
    room = SubnetRoom("subnet-a", 251, (RoomAt(NOW_S, left, None),))
    decision = decide(
        Inputs(policy(), cilium, traces=[], record=None, limits=Limits(), rooms=(room,))
    )
    assert decision.braking is not None
    assert decision.braking.step == 0
    assert [one.subnet_id for one in decision.braking.pressures] == ["subnet-a"] * short


def test_a_daemon_set_that_was_not_looked_for_yet_is_not_called_missing() -> None:
    never = SourceState(succeeded_at_s=None, error="connection refused")
    sources = {**snapshot().sources, SourceName.DAEMON_SET: never}
    decision = made(snapshot(daemon_set=None, sources=sources))
    assert decision.reason is Reason.FACTS_STALE
    assert decision.message == "daemonset was never read: connection refused"


def test_nodes_that_are_left_out_are_named_when_no_other_is_there() -> None:
    decision = made(snapshot(nodes=(), left_out={LeftOut.FARGATE: 3, LeftOut.AUTO_MODE: 2}))
    assert decision.message == (
        "no node with a warm pool was found (2 AutoMode, 3 Fargate left out)"
    )


@pytest.mark.parametrize(
    ("key", "entry", "says"),
    [
        ("WARM_IP_TARGET", EnvEntry(None, {"configMapKeyRef": {"name": "cni"}}), "comes from"),
        ("MINIMUM_IP_TARGET", EnvEntry("ten"), "'ten' is not a whole number"),
        ("ENABLE_PREFIX_DELEGATION", EnvEntry(None, {"fieldRef": {}}), "comes from"),
    ],
)
def test_an_env_entry_that_cannot_be_read_stops_writes_but_not_advice(
    key: str, entry: EnvEntry, says: str
) -> None:
    decision = made(snapshot(daemon_set=daemon_set({**CNI_DEFAULTS, key: entry})))
    assert decision.reason is Reason.ENV_UNREADABLE
    assert says in decision.message
    assert decision.fleet is not None


def test_too_little_evidence_changes_nothing() -> None:
    decision = made(traces=[trace(n, span_s=3_599) for n in range(10)])
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, Reason.LOW_CONFIDENCE)
    assert decision.message == "demand was watched for 3599 s of demand.minEvidence 1h"


def test_values_that_are_there_already_are_not_written_again() -> None:
    env = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "20"}
    held = {f"node-{n}": pool(n, held=21) for n in range(10)}
    decision = made(snapshot(daemon_set=daemon_set(env), pools=held))
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, Reason.TARGETS_IN_PLACE)


def test_holding_more_needs_a_cause() -> None:
    env = {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "20"}
    held = {f"node-{n}": pool(n, held=21) for n in range(10)}
    facts = snapshot(daemon_set=daemon_set(env), pools=held)
    decision = made(facts, traces=[trace(n, events=BURSTS) for n in range(10)])
    assert (decision.verdict, decision.reason) == (Verdict.CHANGE, Reason.STARTS_FASTER)
    assert decision.fleet is not None
    assert not decision.fleet.present_meets
    patient = policy({"objective": {"maxDelayedStarts": "100%"}})
    assert made(facts, by=patient).verdict is Verdict.HOLD


def test_a_change_whose_restarts_break_a_limit_is_not_worth_it() -> None:
    strict = policy({"objective": {"maxDelayedStarts": "0.01%"}})
    decision = made(by=strict)
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, Reason.SAVING_TOO_SMALL)
    assert decision.message == (
        "with the 10 s that each restart takes, spread over a day, 0.012% of starts would wait: "
        "the limit is 0.010%"
    )
    few_calls = policy({"objective": {"maxEC2CallsPerMinute": 1}})
    big = snapshot(400, pools={f"node-{n}": pool(n) for n in range(400)})
    stopped = made(big, by=few_calls, traces=[trace(n, level=20) for n in range(400)])
    assert stopped.reason is Reason.SAVING_TOO_SMALL
    assert stopped.message.startswith("with its 5200 EC2 calls")


def test_an_answer_is_used_again_until_the_evidence_has_grown() -> None:
    first = made()
    again = made(searched=first.searched)
    assert again == first
    assert again.searched is first.searched
    later = replace(snapshot(), taken_at_s=NOW_S + 301)
    assert made(later, searched=first.searched).searched is not first.searched
    other = policy({"bounds": {"warmIPTarget": {"min": 2}}})
    assert made(by=other, searched=first.searched).env["WARM_IP_TARGET"] == "2"


def test_a_prefix_target_is_only_written_alone() -> None:
    env = {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "4"}
    pools = {f"node-{n}": pool(n, held=96, enis=1, prefixes=6) for n in range(10)}
    bounds = {"bounds": {"minimumIPTarget": {"max": 0}, "warmIPTarget": {"min": 64, "max": 64}}}
    decision = made(snapshot(daemon_set=daemon_set(env), pools=pools), by=policy(bounds))
    assert decision.env == {"WARM_PREFIX_TARGET": "1"}
    owned = daemon_set(env, owners={"WARM_PREFIX_TARGET": ("eks",)})
    theirs = made(snapshot(daemon_set=owned, pools=pools), by=policy(bounds))
    assert "WARM_PREFIX_TARGET" not in theirs.env


def test_minimum_without_warm_is_called_a_trap() -> None:
    decision = made(snapshot(daemon_set=daemon_set({"MINIMUM_IP_TARGET": "5"})))
    (trap,) = decision.traps
    assert "pod 6 gets no address" in trap


def test_a_trap_in_force_is_left_even_where_that_holds_more() -> None:
    trap = daemon_set({"MINIMUM_IP_TARGET": "20"})
    pools = {f"node-{n}": pool(n, held=20, enis=2) for n in range(10)}
    decision = made(snapshot(daemon_set=trap, pools=pools))
    assert decision.reason is Reason.STARTS_FASTER
    assert decision.env == {"WARM_IP_TARGET": "1", "MINIMUM_IP_TARGET": "20"}


def test_a_daemon_set_that_cannot_start_is_called_a_trap() -> None:
    env = {"ENABLE_PREFIX_DELEGATION": "true", "WARM_PREFIX_TARGET": "0"}
    (trap,) = made(snapshot(daemon_set=daemon_set(env))).traps
    assert trap.startswith("aws-node cannot start")


def test_bounds_hold_and_the_one_that_binds_is_named() -> None:
    tight = policy({"bounds": {"minimumIPTarget": {"max": 10}, "warmIPTarget": {"min": 4}}})
    decision = made(by=tight)
    assert decision.fleet is not None
    targets = decision.fleet.targets
    assert (targets.warm_ip, targets.minimum_ip) == (4, 10)
    assert decision.fleet.uncapped.minimum_ip == 20
    assert decision.fleet.binding == "bounds.warmIPTarget.min"


def test_a_smaller_demand_must_have_lasted_through_the_stabilization() -> None:
    dropped = [trace(n, level=40, events=[(5_700, -1)] * 20) for n in range(10)]
    decision = made(by=policy({"objective": {"maxDelayedStarts": "50%"}}), traces=dropped)
    assert decision.fleet is not None
    assert decision.fleet.targets.minimum_ip >= 40


def test_a_node_of_unknown_type_counts_as_it_is() -> None:
    decision = made(snapshot(limits={}, unknown_types=frozenset({"r5.xlarge"})))
    assert decision.fleet is not None
    assert decision.fleet.predicted == decision.fleet.present


def test_limits_that_ec2_does_not_tell_come_from_ipamd_itself() -> None:
    pools = {f"node-{n}": pool(n, held_max=56) for n in range(10)}
    decision = made(snapshot(limits={}, pools=pools))
    assert decision.fleet is not None
    assert decision.fleet.predicted.held == 220


entries = st.one_of(
    st.builds(
        EnvEntry, st.sampled_from(["", "0", "1", "5", "-1", "+3", "007", "true", "x", "9" * 30])
    ),
    st.just(EnvEntry(None, {"fieldRef": {}})),
)
envs = st.dictionaries(
    st.sampled_from(
        [
            "WARM_ENI_TARGET",
            "WARM_IP_TARGET",
            "MINIMUM_IP_TARGET",
            "WARM_PREFIX_TARGET",
            "ENABLE_PREFIX_DELEGATION",
            "IP_COOLDOWN_PERIOD",
        ]
    ),
    entries,
)
events = st.lists(st.tuples(st.floats(0, 7_200), st.sampled_from([1, -1])), max_size=30)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Any spec that the CRD lets through, as far as decisions look at it."""
    low = draw(st.integers(1, 40))
    least = draw(st.integers(0, 120))
    return {
        "mode": draw(st.sampled_from(["Off", "Recommend", "Apply", "Apply", "Apply"])),
        "bounds": {
            "warmIPTarget": {"min": low, "max": low + draw(st.integers(0, 40))},
            "minimumIPTarget": {"min": least, "max": least + draw(st.integers(0, 200))},
        },
        "objective": {"maxDelayedStarts": draw(st.sampled_from(["0%", "0.5%", "10%", "100%"]))},
        "demand": {"minEvidence": draw(st.sampled_from(["1s", "1h", "3h"]))},
        "change": {
            "minSaving": draw(st.sampled_from(["0%", "5%", "50%"])),
            "stabilization": draw(st.sampled_from(["0s", "30m", "3h"])),
        },
    }


@settings(deadline=None)  # the first example compiles the replay
@given(
    spec=specs(),
    env=envs,
    level=st.integers(0, 60),
    happened=events,
    covered=st.integers(0, 10),
    stale=st.sampled_from([None, *SourceName]),
    updated=st.integers(0, 10),
    paused=st.booleans(),
    phase=st.sampled_from([None, *ChangePhase]),
)
def test_no_input_leads_to_a_write_that_the_invariants_forbid(
    *,
    spec: dict[str, Any],
    env: Mapping[str, EnvEntry],
    level: int,
    happened: list[tuple[float, int]],
    covered: int,
    stale: SourceName | None,
    updated: int,
    paused: bool,
    phase: ChangePhase | None,
) -> None:
    facts = snapshot(
        daemon_set=daemon_set(env, rollout=rollout(updated=updated)),
        coverage=Coverage(listed=10, read=covered, stale=10 - covered),
    )
    if stale is not None:
        facts = replace(facts, sources={**facts.sources, stale: SourceState(NOW_S - 4_000)})
    by = policy(spec, annotations={"ippolicy.dev/paused": str(paused).lower()})
    changes = None if phase is None else record(change(phase=phase))
    decision = made(facts, by=by, traces=[trace(level=level, events=happened)], changes=changes)

    if decision.verdict is Verdict.HOLD:
        assert not decision.env
        return
    assert by.spec.mode == "Apply"
    assert not paused
    assert covered >= 8
    assert updated == 10
    assert phase not in (ChangePhase.INTENDED, ChangePhase.ROLLING)
    assert stale is None or stale.value.startswith("ec2")
    bounds, env_then = by.spec.bounds, written(decision)
    if set(env_then) == {"WARM_PREFIX_TARGET"}:
        prefixes = int(env_then["WARM_PREFIX_TARGET"])
        assert bounds.warm_prefix_target.min <= prefixes <= bounds.warm_prefix_target.max
    else:
        warm, minimum = int(env_then["WARM_IP_TARGET"]), int(env_then["MINIMUM_IP_TARGET"])
        assert bounds.warm_ip_target.min <= warm <= bounds.warm_ip_target.max
        assert bounds.minimum_ip_target.min <= minimum <= bounds.minimum_ip_target.max
    literal = {key: entry.value for key, entry in env.items() if entry.value is not None}
    result = literal | env_then
    # A cooldown that aws-node cannot read was there before us, and is not ours to mend.
    result.pop("IP_COOLDOWN_PERIOD", None)
    check_entry_point(result)
    targets = PoolSettings.from_env(result).targets
    assert targets.warm_ip >= 1 or not targets.minimum_ip
