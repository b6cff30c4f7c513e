"""Passes over a policy, made up for tests of what people are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ippolicy.account.view import View
from ippolicy.api import IPPolicy
from ippolicy.decide.types import (
    Decision,
    Evidence,
    GroupAdvice,
    Prediction,
    Reason,
    Recommendation,
    Verdict,
)
from ippolicy.facts import (
    Change,
    ChangePhase,
    Coverage,
    DaemonSetFacts,
    DaemonSetRef,
    EnvEntry,
    LeftOut,
    NodeFacts,
    PoolCounters,
    PoolFacts,
    Record,
    RolloutFacts,
    Snapshot,
    SourceName,
    SourceState,
    SubnetFacts,
)
from ippolicy.ipamd import WarmTargets

NOW_S = 1_795_000_000.0
DEFAULTS_IN_FORCE = {"WARM_ENI_TARGET": EnvEntry("1"), "WARM_PREFIX_TARGET": EnvEntry("1")}


def a_policy(spec: Mapping[str, Any] | None = None, **metadata: Any) -> IPPolicy:
    """The policy "default" of generation 3 with this spec."""
    return IPPolicy.from_raw(
        {"metadata": {"name": "default", "generation": 3} | metadata, "spec": dict(spec or {})}
    )


def a_daemon_set(env: Mapping[str, EnvEntry] = DEFAULTS_IN_FORCE, **other: Any) -> DaemonSetFacts:
    """kube-system/aws-node with ten pods that are all up to date."""
    facts = DaemonSetFacts(
        ref=DaemonSetRef("kube-system", "aws-node"),
        uid="1b",
        resource_version="77",
        generation=4,
        env=env,
        owners=dict.fromkeys(env, ("eks",)),
        image="amazon-k8s-cni:v1.23.1",
        rollout=RolloutFacts(4, 10, 10, 10, 10, 10, "RollingUpdate", "10%"),
        node_selector={},
        read_at_s=NOW_S,
    )
    return replace(facts, **other)


def a_snapshot(nodes: int = 10, groups: int = 1, subnets: int = 3, **other: Any) -> Snapshot:
    """`nodes` r5.xlarge in `groups` groups, each with 20 pods in 42 addresses on 3 ENIs."""
    names = [f"node-{i}" for i in range(nodes)]
    facts = Snapshot(
        taken_at_s=NOW_S,
        daemon_set=a_daemon_set(),
        nodes=tuple(
            NodeFacts(
                name=name,
                instance_type="r5.xlarge",
                instance_id=f"i-{i:017x}",
                zone="eu-west-1a",
                group=f"group-{i % groups}",
                max_pods=58,
                address="10.0.0.1",
                unschedulable=False,
                created_at_s=NOW_S - 3_600,
            )
            for i, name in enumerate(names)
        ),
        left_out={LeftOut.FARGATE: 2, LeftOut.WINDOWS: 0},
        pods_per_node=dict.fromkeys(names, 20),
        pools={
            name: PoolFacts(name, 42, 20, 3, 4, 0, "v1.23.1", PoolCounters(), NOW_S)
            for name in names
        },
        coverage=Coverage(listed=nodes, read=nodes, stale=0),
        limits={},
        unknown_types=frozenset(),
        subnets=tuple(
            SubnetFacts(f"subnet-{i:017x}", "eu-west-1a", "10.0.0.0/24", 256, 100 + i, NOW_S)
            for i in range(subnets)
        ),
        sources={name: SourceState(NOW_S - 5) for name in SourceName},
    )
    return replace(facts, **other)


def a_recommendation(**other: Any) -> Recommendation:
    """WARM_IP_TARGET=2 MINIMUM_IP_TARGET=20, which gives back 200 of 420 addresses."""
    facts = Recommendation(
        targets=WarmTargets(warm_ip=2, minimum_ip=20),
        lower=WarmTargets(warm_ip=1, minimum_ip=19),
        upper=WarmTargets(warm_ip=3, minimum_ip=22),
        uncapped=WarmTargets(warm_ip=2, minimum_ip=20),
        binding="demand",
        present=Prediction(420, 220, 30, 418.6, delayed_share=0.0, ec2_calls_per_minute=0.25),
        predicted=Prediction(220, 20, 20, 219.4, delayed_share=0.0031, ec2_calls_per_minute=1.5),
        evidence=Evidence(7_200.0, 10, 40, True, "demand was watched for 7200 s"),
    )
    return replace(facts, **other)


def a_decision(reason: Reason = Reason.TARGETS_IN_PLACE, groups: int = 1, **other: Any) -> Decision:
    """A decision with a recommendation for the fleet and for each of `groups` groups."""
    change = reason in (Reason.SAVES_ADDRESSES, Reason.STARTS_FASTER)
    facts = Decision(
        verdict=Verdict.CHANGE if change else Verdict.HOLD,
        reason=reason,
        message=f"because of {reason.value}",
        at_s=NOW_S,
        env={"WARM_IP_TARGET": "2"} if change else {},
        fleet=a_recommendation(),
        groups=tuple(
            GroupAdvice(f"group-{i}", i + 1, 20 * (i + 1), a_recommendation())
            for i in range(groups)
        ),
    )
    return replace(facts, **other)


def a_change(phase: ChangePhase = ChangePhase.COMPLETE, **other: Any) -> Change:
    """A change of the targets an hour ago, through after five minutes."""
    complete = phase is ChangePhase.COMPLETE
    facts = Change(
        id="c1",
        policy="default",
        phase=phase,
        before={"WARM_IP_TARGET": None, "MINIMUM_IP_TARGET": None},
        after={"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "20"},
        reason="420 addresses held now, 220 expected",
        intended_at_s=NOW_S - 3_600,
        generation=4,
        completed_at_s=NOW_S - 3_300 if complete else None,
    )
    return replace(facts, **other)


def a_record(*changes: Change) -> Record:
    """The record of these changes, oldest first."""
    return Record("1b", "uid", {"WARM_IP_TARGET": None}, changes)


def a_view(**other: Any) -> View:
    """A pass over an ordinary cluster with nothing to do."""
    facts = View(policy=a_policy(), snapshot=a_snapshot(), decision=a_decision())
    return replace(facts, **other)
