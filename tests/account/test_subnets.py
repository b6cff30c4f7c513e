"""The status shows who holds the tightest subnets, and never too much of it."""

from __future__ import annotations

from dataclasses import replace

from ippolicy.account.difference import changed
from ippolicy.account.status import MAX_BYTES, json_bytes, status_document
from ippolicy.account.subnets import MAX_SPLITS, subnet_statuses
from ippolicy.facts import Cni, CniFacts, SubnetUse
from views import NOW_S, a_snapshot, a_view, accounted


def test_a_tight_subnet_is_shown_with_its_split_and_room() -> None:
    snapshot = accounted(a_snapshot(subnets=1))
    used = (replace(snapshot.subnets[0], uses=(SubnetUse.NODES, SubnetUse.DISCOVERY)),)
    (shown,) = status_document(a_view(snapshot=replace(snapshot, subnets=used)), {}, NOW_S)[
        "subnets"
    ]
    assert shown["uses"] == ["nodes", "discovery"]
    assert shown["split"] == {
        "held": 24,
        "prefixes": 0,
        "parts": {
            "assigned": 10,
            "warm": 0,
            "unclear": 12,
            "eni-primaries": 2,
            "other-clusters": 5,
            "load-balancer": 1,
            "free": 219,
            "unaccounted": 2,
        },
        "readTime": "2026-11-18T11:05:40Z",
    }
    assert sum(shown["split"]["parts"].values()) == shown["usable"]
    assert shown["room"] == {
        "blocks": 13,
        "reservedBlocks": 4,
        "fragmentation": "6.7%",
        "refusals": 0,
    }


def test_only_the_tightest_subnets_are_split() -> None:
    shown = subnet_statuses(accounted(a_snapshot(subnets=30)))
    assert [subnet.free for subnet in shown] == list(range(100, 130))
    assert [subnet.split is not None for subnet in shown].count(True) == MAX_SPLITS
    assert all(subnet.split and subnet.room for subnet in shown[:MAX_SPLITS])


def test_without_enis_or_reservations_only_what_they_tell_is_missing() -> None:
    snapshot = accounted(a_snapshot(subnets=1))
    (shown,) = subnet_statuses(replace(snapshot, reservations={}))
    assert (shown.room, shown.split is None) == (None, False)
    (shown,) = subnet_statuses(replace(snapshot, inventories={}))
    assert (shown.room, shown.split, shown.free) == (None, None, 100)


def test_hundreds_of_split_subnets_fit_into_the_status() -> None:
    view = a_view(snapshot=accounted(a_snapshot(5_000, groups=60, subnets=200)))
    document = status_document(view, {}, NOW_S)
    assert json_bytes(document) <= MAX_BYTES
    assert len(document["subnets"]) + document["moreSubnets"] == 200
    assert document["subnets"][MAX_SPLITS - 1]["split"]


def test_reading_the_same_again_later_is_not_worth_writing() -> None:
    snapshot = accounted(a_snapshot(subnets=2))
    later = tuple(replace(subnet, read_at_s=NOW_S + 60) for subnet in snapshot.subnets)
    before = status_document(a_view(snapshot=snapshot), {}, NOW_S)
    after = status_document(a_view(snapshot=replace(snapshot, subnets=later)), before, NOW_S)
    assert before != after
    assert not changed(before, after)


def test_the_cni_is_shown_with_how_it_was_told() -> None:
    cilium = CniFacts(Cni.CILIUM_ENI, "DaemonSet kube-system/cilium runs on 3 nodes")
    view = a_view(snapshot=replace(a_snapshot(), cni=cilium))
    document = status_document(view, {}, NOW_S)
    assert document["cni"] == ("Cilium in ENI mode (DaemonSet kube-system/cilium runs on 3 nodes)")
    assert "cni" not in status_document(a_view(), {}, NOW_S)
