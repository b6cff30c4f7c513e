"""What is off or only watched is said, and is no fault."""

from __future__ import annotations

from typing import Any

import pytest

from ippolicy.account.conditions import conditions
from ippolicy.account.faults import faults
from ippolicy.account.notes import notes
from ippolicy.account.view import View
from ippolicy.api.status import Condition
from ippolicy.decide.types import Reason
from ippolicy.facts import Cni, CniFacts, Snapshot, SourceName, SourceState
from views import NOW_S, a_decision, a_policy, a_snapshot, a_view

CILIUM = CniFacts(Cni.CILIUM_ENI, "DaemonSet kube-system/cilium runs on 3 nodes; no aws-node")
IPV6 = CniFacts(Cni.AMAZON_VPC, "DaemonSet kube-system/aws-node runs on 3 nodes", ipv6=True)


def without(*names: SourceName, permission: str | None = "ec2:Something") -> Snapshot:
    """An ordinary cluster in which some sources were refused."""
    facts = a_snapshot()
    refused = dict.fromkeys(names, SourceState(None, "refused", permission))
    return a_snapshot(sources={**facts.sources, **refused})


def degraded(view: View) -> Condition:
    return next(c for c in conditions(view, (), NOW_S) if c.type == "Degraded")


def view_of(cni: CniFacts, mode: str = "Recommend", **other: Any) -> View:
    reason = Reason.NO_NODES if cni.has_warm_pools else Reason.NO_WARM_POOLS
    decision = a_decision(reason, fleet=None)
    return a_view(
        policy=a_policy({"mode": mode}), snapshot=a_snapshot(cni=cni), decision=decision, **other
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            SourceName.EC2_INTERFACES,
            "who holds the addresses of subnets is not shown: allow ec2:Something in the"
            " operator's IAM role",
        ),
        (SourceName.EC2_RESERVATIONS, "the room for prefixes is not shown: allow ec2:Something"),
        (SourceName.CILIUM, "allow ec2:Something to the operator's service account"),
        (SourceName.WINDOWS_IPAM, "targets of Windows nodes in ConfigMap amazon-vpc-cni"),
    ],
)
def test_a_right_that_is_kept_back_turns_a_feature_off_and_degrades_nothing(
    name: SourceName, says: str
) -> None:
    found = degraded(a_view(snapshot=without(name)))
    assert (found.status, found.reason) == ("False", "FeaturesOff")
    assert says in found.message


def test_targets_of_windows_nodes_are_told_apart() -> None:
    stock = {
        "enable-windows-ipam": "false",
        "enable-windows-prefix-delegation": "false",
        "warm-prefix-target": "0",
        "warm-ip-target": "1",
        "minimum-ip-target": "3",
    }
    assert notes(a_view(snapshot=a_snapshot(windows_ipam=stock))) == ()
    tuned = stock | {"warm-ip-target": "9", "windows-minimum-ip-target": "7"}
    found = degraded(a_view(snapshot=a_snapshot(windows_ipam=tuned)))
    assert (found.status, found.reason) == ("False", "WindowsSettings")
    assert found.message == (
        "ConfigMap amazon-vpc-cni sets warm-ip-target=9, windows-minimum-ip-target=7: for Windows"
        " nodes only, aws-node reads none of it, and it is left alone"
    )


def test_all_features_that_are_off_are_named() -> None:
    both = without(SourceName.EC2_INTERFACES, SourceName.EC2_RESERVATIONS)
    assert [note.reason for note in notes(a_view(snapshot=both))] == ["FeaturesOff"] * 2
    message = degraded(a_view(snapshot=both)).message
    assert "who holds" in message
    assert "room for prefixes" in message


def test_beside_a_fault_they_are_named_after_it() -> None:
    snapshot = without(SourceName.EC2_INTERFACES, SourceName.EC2_SUBNETS)
    found = degraded(a_view(snapshot=snapshot))
    assert (found.status, found.reason) == ("True", "EC2PermissionMissing")
    assert found.message.index("ec2-subnets") < found.message.index("who holds the addresses")


@pytest.mark.parametrize(
    ("name", "permission", "reason"),
    [
        (SourceName.EC2_INTERFACES, None, "EC2Unavailable"),
        (SourceName.EC2_RESERVATIONS, None, "EC2Unavailable"),
        (SourceName.ENI_CONFIGS, None, "ClusterUnavailable"),
        (SourceName.ENI_CONFIGS, "list eniconfigs", "ClusterUnavailable"),
        (SourceName.CILIUM, None, "ClusterUnavailable"),
    ],
)
def test_other_failures_of_the_same_sources_are_faults(
    name: SourceName, permission: str | None, reason: str
) -> None:
    found = degraded(a_view(snapshot=without(name, permission=permission)))
    assert (found.status, found.reason) == ("True", reason)
    assert str(permission or name.value) in found.message


@pytest.mark.parametrize(
    ("cni", "reason", "says"),
    [
        (CILIUM, "OtherCNI", "pods get their addresses from Cilium in ENI mode (DaemonSet"),
        (IPV6, "IPv6Cluster", "where it ignores warm targets"),
    ],
)
def test_a_cluster_without_warm_pools_is_told_by_its_cni_and_not_as_a_missing_aws_node(
    cni: CniFacts, reason: str, says: str
) -> None:
    found = degraded(view_of(cni))
    assert (found.status, found.reason) == ("True", reason)
    assert says in found.message
    assert "subnets are accounted for all the same" in found.message
    assert [fault.reason for fault in faults(view_of(cni))] == [reason]


@pytest.mark.parametrize(("cni", "reason"), [(CILIUM, "OtherCNI"), (IPV6, "IPv6Cluster")])
def test_who_only_watches_such_a_cluster_is_not_told_of_a_fault(cni: CniFacts, reason: str) -> None:
    found = degraded(view_of(cni, mode="Off"))
    assert (found.status, found.reason) == ("False", reason)
    assert cni.told_by in found.message


def test_an_unknown_cni_leaves_the_missing_aws_node_to_be_told() -> None:
    unknown = CniFacts(Cni.UNKNOWN, "there is no DaemonSet kube-system/aws-node")
    assert degraded(view_of(unknown)).reason == "NoNodes"
    assert degraded(view_of(CniFacts())).reason == "NoNodes"


def test_the_amazon_vpc_cni_is_nothing_to_note() -> None:
    assert notes(a_view(snapshot=a_snapshot(cni=CniFacts(Cni.AMAZON_VPC, "it runs")))) == ()
