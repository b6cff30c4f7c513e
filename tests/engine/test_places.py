"""The webhook is told what the targets of each node go by, once and again when that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import builders
from engine_fakes import REF, raw_policy
from ippolicy.api import IPPolicy
from ippolicy.decide.births.table import NodePlace
from ippolicy.engine.places import LivePlaces
from ippolicy.facts import DaemonSetRef

NODE = builders.node(0, labels={"pool": "b"})
OBSERVED = NodePlace(NODE.group, NODE.instance_type)
BATCH = NodePlace("batch", NODE.instance_type)
GROUPS = IPPolicy.from_raw(
    raw_policy(groups=[{"name": "batch", "nodeSelector": {"pool": "b"}}])
).spec.groups
OTHER = DaemonSetRef("other", "aws-node")

Told = list[tuple[DaemonSetRef, Mapping[str, NodePlace | None]]]


def made() -> tuple[LivePlaces, Told]:
    told: Told = []
    return LivePlaces(lambda: [NODE], lambda ref, places: told.append((ref, places))), told


def test_nodes_that_are_there_are_told_of_as_soon_as_a_policy_acts() -> None:
    places, told = made()
    places.node_changed(NODE.name, NODE)
    assert not told, "nobody asks yet"
    places.group_by({REF: ()})
    assert told == [(REF, {NODE.name: OBSERVED})]
    places.group_by({REF: ()})
    assert len(told) == 1


def test_a_node_is_of_the_users_group() -> None:
    places, told = made()
    places.group_by({REF: ()})
    places.group_by({REF: GROUPS})
    assert told[-1] == (REF, {NODE.name: BATCH})


def test_a_node_that_changes_or_goes_is_told_of_under_each_daemon_set() -> None:
    places, told = made()
    places.group_by({REF: GROUPS, OTHER: ()})
    del told[:]
    places.node_changed(NODE.name, replace(NODE, labels={}))
    places.node_changed(NODE.name, None)
    assert told == [
        (REF, {NODE.name: OBSERVED}),
        (OTHER, {NODE.name: OBSERVED}),
        (REF, {NODE.name: None}),
        (OTHER, {NODE.name: None}),
    ]


def test_the_nodes_of_a_policy_that_goes_are_forgotten() -> None:
    places, told = made()
    places.group_by({REF: (), OTHER: ()})
    places.group_by({OTHER: ()})
    assert told[-1] == (REF, {NODE.name: None})
