"""Passes over a policy, made up for tests of what people are shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ippolicy.account.view import View
from ippolicy.api import IPPolicy
from ippolicy.decide.max_pods import KubeletAdvice, places
from ippolicy.decide.preconditions import Check, Precondition, State
from ippolicy.decide.prefixes import Effect, PrefixAdvice
from ippolicy.decide.subnets.ahead import Ahead
from ippolicy.decide.subnets.brake import Braking, RoomAt, SubnetRoom
from ippolicy.decide.subnets.forecast import Exhaustion, Forecast
from ippolicy.decide.subnets.headroom import Fit, Headroom, Refuge, ZoneLoss
from ippolicy.decide.subnets.outlook import Outlook, SubnetOutlook
from ippolicy.decide.subnets.wayout import DeadEnd, Way, WayKind
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
    CidrReservation,
    Coverage,
    DaemonSetFacts,
    DaemonSetRef,
    EnvEntry,
    Holder,
    InstanceUse,
    InterfaceFacts,
    LeftOut,
    Measured,
    NodeFacts,
    PoolCounters,
    PoolFacts,
    Record,
    RolloutFacts,
    Snapshot,
    SourceName,
    SourceState,
    SubnetFacts,
    SubnetInventory,
)
from ippolicy.facts import Forecast as HeldForecast
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


def accounted(snapshot: Snapshot) -> Snapshot:
    """The same with the ENIs in each subnet known: two of node-0's, an ENI of another cluster's and
    a load balancer's, two addresses that are unaccounted, and a reservation for prefixes."""
    inventories = {
        subnet.subnet_id: SubnetInventory(
            replace(subnet, free=251 - 15 - 9 - 5 - 1 - 2),
            (
                InterfaceFacts(subnet.subnet_id, Holder.CNI, "i-0", "mine", 14),
                InterfaceFacts(subnet.subnet_id, Holder.CNI, "i-0", "mine", 8),
                InterfaceFacts(subnet.subnet_id, Holder.CNI, "i-9", "theirs", 4),
                InterfaceFacts(subnet.subnet_id, Holder.LOAD_BALANCER),
            ),
            bytes([0xFF] * 4 + [0] * 28),
            NOW_S - 60,
        )
        for subnet in snapshot.subnets
    }
    reserved = (CidrReservation("10.0.0.128/26", for_prefixes=True),)
    return replace(
        snapshot,
        inventories=inventories,
        reservations=dict.fromkeys(inventories, reserved),
        instances={"i-0": InstanceUse("elsewhere", pods=10)},
    )


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
        braking=Braking(0, ()),
    )
    return replace(facts, **other)


def an_ahead() -> Ahead:
    """Three subnets in one zone of which nothing is foreseen."""
    return Ahead(
        Outlook(
            tuple(
                SubnetOutlook(
                    subnet_id=f"subnet-{i:017x}",
                    zone="eu-west-1a",
                    free=Forecast(None, 0.0, 2_419_200.0, 1_209_600.0, 0.0),
                    leanest=None,
                    room=SubnetRoom(f"subnet-{i:017x}", 251, (RoomAt(NOW_S, 120.0 + i, None),)),
                )
                for i in range(3)
            ),
            {"eu-west-1a": None},
        )
    )


def a_dire_ahead() -> Ahead:
    """The same, with the first subnet and the zone running out, and all that is said of that."""
    calm = an_ahead()
    exhaustion = Exhaustion(3_600.0, 7_200.0, 14_400.0)
    dry = Forecast(exhaustion, 1.0, 2_419_200.0, 1_209_600.0, -600.0)
    first, *others = calm.outlook.subnets
    subnets = (replace(first, free=dry, leanest=dry), *others)
    ways = (
        Way(WayKind.PREFIXES, open=False, text="prefix mode is a no-go: no room"),
        Way(WayKind.SECONDARY_CIDR, open=True, text="add a secondary CIDR"),
    )
    effect = Effect(WarmTargets(), 420, 30, 450)
    return Ahead(
        outlook=Outlook(subnets, {"eu-west-1a": dry}),
        headroom=(Headroom(first.subnet_id, "group-0", 20, Fit(2, 45), Fit(4, 24)),),
        zone_losses=(ZoneLoss("eu-west-1a", 10, 200, Refuge(450, 0, 450), Refuge(240, 0, 240)),),
        dead_ends=(DeadEnd(first.subnet_id, "eu-west-1a", exhaustion, 250, 220, ways),),
        prefixes=PrefixAdvice(
            active=False,
            checks=(Check(Precondition.ROOM, State.NO_GO, "no room"),),
            addresses=effect,
            prefixes=effect,
            kubelets=(KubeletAdvice("r5.xlarge", 10, 58, 58, 110),),
            places_now=places([(58, 56)] * 10),
            places_raised=places([(110, 896)] * 10),
        ),
    )


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


def a_proven_change(**other: Any) -> Change:
    """The same, with all that is known of it: what it rests on, was to hold, and held."""
    expected = HeldForecast(219.4, 210.0, 230.0, delayed_share=0.0031, ec2_calls_per_minute=1.5)
    facts = a_change(
        basis="spec=1f2e3d4c present=WARM_ENI_TARGET=1 nodes=10 pods=200 starts=12/h",
        binding="objective.maxDelayedStarts",
        rejected=("WARM_IP_TARGET=1 MINIMUM_IP_TARGET=20: 218 held, 0.9% late: starts wait",),
        present=HeldForecast(418.6, 418.6, 418.6, delayed_share=0.0, ec2_calls_per_minute=0.25),
        predicted=expected,
        measured=(
            Measured(900, NOW_S - 2_400, 201, 222.3, 221.0, 0.002, 1.2, as_expected=True),
            Measured(3_600, NOW_S, 260, 280.0, 301.0, None, 1.2, as_expected=False),
        ),
    )
    return replace(facts, **other)


def a_record(*changes: Change) -> Record:
    """The record of these changes, oldest first."""
    return Record("1b", "uid", {"WARM_IP_TARGET": None}, changes)


def a_view(**other: Any) -> View:
    """A pass over an ordinary cluster with nothing to do."""
    facts = View(policy=a_policy(), snapshot=a_snapshot(), decision=a_decision(), ahead=an_ahead())
    return replace(facts, **other)
