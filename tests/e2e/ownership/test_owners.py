"""Every case of who sets an env entry of aws-node, made by the clients that really do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aws_node import AwsNode, decision
from controlplane import ControlPlane
from hands import CLIENTS, Client, Hands
from ippolicy.act import Outcome, OutcomeKind
from ippolicy.act.document import read_document
from ippolicy.act.history import IN_DOUBT_S
from ippolicy.api import IPPolicy
from ippolicy.decide.drift import drift_step, drifts
from ippolicy.decide.types import Reason
from ippolicy.facts import ChangeKind, Record, manager_kind
from kubeapi import fresh_namespace

W, M, E = "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_ENI_TARGET"
US = "ippolicy-operator"
OWNERS = {name: client for name, client in CLIENTS.items() if not client.by_hand}
BY_HAND = {name: client for name, client in CLIENTS.items() if client.by_hand}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One control plane for all cases, each in a namespace of its own."""
    with ControlPlane(folder=tmp_path_factory.mktemp("owners") / "controlplane") as plane:
        yield plane


@pytest.fixture
def aws_node(plane: ControlPlane) -> Iterator[AwsNode]:
    with fresh_namespace(plane.admin_kubeconfig) as api:
        yield AwsNode(api)


@pytest.fixture
def hands(plane: ControlPlane, aws_node: AwsNode, tmp_path: Path) -> Hands:
    return Hands(plane, aws_node, tmp_path)


def by_daemon_set(*take_over: str) -> IPPolicy:
    """A policy that writes to the DaemonSet, whoever is found there."""
    return IPPolicy.from_raw(
        {
            "apiVersion": "ippolicy.dev/v1alpha1",
            "kind": "IPPolicy",
            "metadata": {"name": "default", "uid": "policy-uid"},
            "spec": {
                "mode": "Apply",
                "apply": {"method": "DaemonSet", "takeOver": list(take_over)},
            },
        }
    )


def carry_out(
    node: AwsNode, env: dict[str, str], *take_over: str, kind: ChangeKind = ChangeKind.TUNE
) -> Outcome:
    node.clock.now_s += IN_DOUBT_S
    outcome = node.actor().carry_out(
        policy=by_daemon_set(*take_over),
        ref=node.ref,
        decision=replace(decision(**env), kind=kind),
        decided_on=node.facts(),
        now_s=node.clock(),
    )
    node.quiet()
    return outcome


def restore(node: AwsNode) -> None:
    node.clock.now_s += IN_DOUBT_S
    assert node.actor().restore(node.ref).settled
    node.quiet()
    assert node.record_text() is None
    assert node.our_fields() == {}


def record_of(node: AwsNode) -> Record:
    text = node.record_text()
    assert text is not None
    return read_document(text)


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_what_another_client_set_is_left_to_it_unless_it_is_taken_over(
    client: Client, aws_node: AwsNode, hands: Hands
) -> None:
    client.install(hands, {})
    client.put(hands, {W: "2"})
    assert aws_node.owners(W) == {client.manager}
    assert manager_kind(client.manager) is client.kind
    before, generation = aws_node.env(), aws_node.generation

    refused = carry_out(aws_node, {W: "5", M: "9"})
    assert refused.kind is OutcomeKind.CONFLICT
    assert refused.owners == {W: client.manager}
    assert (aws_node.env(), aws_node.generation) == (before, generation)

    beside = carry_out(aws_node, {M: "9"})
    assert beside.kind is OutcomeKind.WRITTEN
    assert aws_node.env() == before | {M: "9"}
    assert aws_node.owners(W) == {client.manager}

    assert carry_out(aws_node, {W: "5"}, W).kind is OutcomeKind.WRITTEN
    assert aws_node.env() == before | {W: "5", M: "9"}
    assert aws_node.owners(W) == {US}
    restore(aws_node)
    assert aws_node.env() == before


@pytest.mark.parametrize("client", BY_HAND.values(), ids=BY_HAND)
def test_what_was_ours_and_is_changed_by_hand_is_set_again(
    client: Client, aws_node: AwsNode, hands: Hands
) -> None:
    client.install(hands, {})
    before = aws_node.env()
    carry_out(aws_node, {W: "5", M: "9"})
    client.put(hands, {W: "7"})
    facts = aws_node.facts()
    (found,) = drifts(record_of(aws_node), facts)
    assert found.hands[0].manager == client.manager
    assert found.hands[0].at_s is not None
    step = drift_step(by_daemon_set(), record_of(aws_node), facts, aws_node.clock())
    assert step is not None
    assert (step.reason, step.env) == (Reason.TARGETS_DRIFTED, {W: "5"})

    again = carry_out(aws_node, dict(step.env), kind=ChangeKind.REAPPLY)
    assert again.kind is OutcomeKind.WRITTEN
    assert aws_node.env() == before | {W: "5", M: "9"}
    assert aws_node.owners(W) == {US}
    restore(aws_node)
    assert aws_node.env() == before


def test_what_is_removed_by_hand_comes_back(aws_node: AwsNode, hands: Hands) -> None:
    hands.create({})
    carry_out(aws_node, {W: "5", M: "9"})
    hands.remove_env(W)
    step = drift_step(by_daemon_set(), record_of(aws_node), aws_node.facts(), aws_node.clock())
    assert step is not None
    assert step.env == {W: "5"}
    again = carry_out(aws_node, dict(step.env), kind=ChangeKind.REAPPLY)
    assert again.kind is OutcomeKind.WRITTEN
    restore(aws_node)
    assert aws_node.env() == {E: "1"}


@pytest.mark.parametrize("client", OWNERS.values(), ids=OWNERS)
def test_an_owner_that_declares_another_value_is_never_fought(
    client: Client, aws_node: AwsNode, hands: Hands
) -> None:
    client.install(hands, {W: "2"})
    carry_out(aws_node, {W: "5"}, W)
    client.put(hands, {W: "7"})
    before = aws_node.env()
    assert before[W] == "7"

    made, facts = record_of(aws_node), aws_node.facts()
    step = drift_step(by_daemon_set(), made, facts, aws_node.clock())
    assert step is not None
    assert (step.reason, step.env) == (Reason.FIELD_CONFLICT, {})
    assert client.manager in step.message
    refused = carry_out(aws_node, {W: "5"}, kind=ChangeKind.REAPPLY)
    assert refused.kind is OutcomeKind.CONFLICT
    assert aws_node.env() == before

    taken = drift_step(by_daemon_set(W), made, facts, aws_node.clock())
    assert taken is not None
    assert taken.env == {W: "5"}
    assert carry_out(aws_node, {W: "5"}, W, kind=ChangeKind.REAPPLY).kind is OutcomeKind.WRITTEN
    restore(aws_node)
    assert aws_node.env() == before
