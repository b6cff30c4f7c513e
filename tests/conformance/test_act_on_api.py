"""What the operator's writes do on an API server: whose entries they touch, and what they leave."""

from __future__ import annotations

import copy

import pytest
from kubernetes.client import AppsV1Api, CoreV1Api

from aws_node import API, CNI_ENV, AwsNode
from ippolicy.act import OutcomeKind
from ippolicy.act.daemonset import DaemonSetWriter
from ippolicy.act.records import LABELS, RecordStore
from ippolicy.errors import ActError, FactsChanged, FieldConflict
from ippolicy.facts import ChangePhase
from kubeapi import daemon_set

W, M, E = "WARM_IP_TARGET", "MINIMUM_IP_TARGET", "WARM_ENI_TARGET"
FROM = {"configMapKeyRef": {"name": "cni", "key": "warm"}}


@pytest.fixture
def aws_node(kube_api: API) -> AwsNode:
    """aws-node with the CNI's defaults, as Helm installed it."""
    node = AwsNode(kube_api)
    node.create()
    return node


def writer(node: AwsNode) -> DaemonSetWriter:
    return DaemonSetWriter(AppsV1Api(node.api.client()), node.clock)


def test_a_change_is_one_generation_and_touches_only_its_entries(aws_node: AwsNode) -> None:
    before = aws_node.raw()["spec"]
    outcome = aws_node.carry_out({W: "2", M: "20"})
    assert outcome.kind is OutcomeKind.WRITTEN
    assert outcome.change is not None
    assert (outcome.change.phase, outcome.change.generation) == (ChangePhase.ROLLING, 2)
    assert aws_node.generation == 2
    assert aws_node.env() == CNI_ENV | {W: "2", M: "20"}
    assert aws_node.ours() == {W, M}
    after = copy.deepcopy(aws_node.raw()["spec"])
    env = after["template"]["spec"]["containers"][0]["env"]
    env[:] = [entry for entry in env if entry["name"] not in (W, M)]
    assert after == before


def test_values_that_are_in_force_are_not_sent_again(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2", M: "20"})
    version = aws_node.facts().resource_version
    outcome = aws_node.carry_out({W: "2", M: "20"})
    assert outcome.kind is OutcomeKind.IN_PLACE
    assert aws_node.facts().resource_version == version


def test_a_later_change_keeps_what_it_does_not_name(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2", M: "20"})
    assert aws_node.carry_out({W: "3"}).kind is OutcomeKind.WRITTEN
    assert aws_node.env() == CNI_ENV | {W: "3", M: "20"}


def test_an_entry_of_another_manager_is_not_touched_and_nothing_else_is_written(
    aws_node: AwsNode,
) -> None:
    outcome = aws_node.carry_out({E: "0", W: "2"})
    assert outcome.kind is OutcomeKind.CONFLICT
    assert outcome.owners == {E: "helm"}
    assert (aws_node.env(), aws_node.generation) == (CNI_ENV, 1)
    assert aws_node.record_text() is None


def test_a_conflict_that_comes_at_the_last_moment_is_named_by_the_server(
    aws_node: AwsNode,
) -> None:
    with pytest.raises(FieldConflict) as caught:
        writer(aws_node).apply(aws_node.live(), [{"name": E, "value": "0"}], force=False)
    assert caught.value.owners == {E: "helm"}


def test_an_entry_is_taken_over_where_the_policy_lists_it_and_given_back(
    aws_node: AwsNode,
) -> None:
    aws_node.apply_as("eks", {E: "1"})
    assert aws_node.carry_out({E: "0", W: "2"}, take_over=[E]).kind is OutcomeKind.WRITTEN
    assert aws_node.owners(E) == {"ippolicy-operator"}
    assert aws_node.actor().restore(aws_node.ref).kind is OutcomeKind.RESTORED
    aws_node.quiet()
    assert aws_node.env() == CNI_ENV
    aws_node.apply_as("eks", {E: "1"})  # the former owner meets no conflict
    assert aws_node.owners(E) == {"eks"}


def test_a_value_set_by_hand_outlives_our_next_change_and_our_end(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2", M: "20"})
    aws_node.kubectl_set({W: "9"})
    assert aws_node.carry_out({M: "30"}).kind is OutcomeKind.WRITTEN
    assert aws_node.env()[W] == "9"
    outcome = aws_node.actor().restore(aws_node.ref)
    assert "WARM_IP_TARGET left as kubectl-set set it" in outcome.message
    assert aws_node.env() == CNI_ENV | {W: "9"}


def test_a_value_set_by_hand_conflicts_when_another_is_wanted(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    aws_node.kubectl_set({W: "9"})
    assert aws_node.carry_out({W: "3"}).owners == {W: "kubectl-set"}
    assert aws_node.carry_out({W: "3"}, take_over=[W]).kind is OutcomeKind.WRITTEN
    aws_node.actor().restore(aws_node.ref)
    assert aws_node.env() == CNI_ENV | {W: "9"}, "the value taken over is the one to give back"


def test_an_entry_removed_by_hand_is_free_again(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2", M: "20"})
    aws_node.kubectl_set({M: None})
    assert aws_node.carry_out({W: "3"}).kind is OutcomeKind.WRITTEN
    assert aws_node.env() == CNI_ENV | {W: "3"}
    assert aws_node.actor().restore(aws_node.ref).kind is OutcomeKind.RESTORED
    assert aws_node.env() == CNI_ENV


def test_a_value_that_others_want_as_well_stays_when_we_go(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2", M: "20"})
    aws_node.apply_as("eks", {W: "2"})
    assert aws_node.carry_out({M: "30"}).kind is OutcomeKind.WRITTEN
    aws_node.actor().restore(aws_node.ref)
    assert aws_node.env() == CNI_ENV | {W: "2"}
    assert aws_node.owners(W) == {"eks"}


def test_a_value_that_others_set_as_it_is_wanted_is_left_to_them(aws_node: AwsNode) -> None:
    assert aws_node.carry_out({E: "1", W: "2"}).kind is OutcomeKind.WRITTEN
    assert aws_node.ours() == {W}


def test_a_value_from_elsewhere_is_never_overwritten(kube_api: API) -> None:
    aws_node = AwsNode(kube_api)
    body = daemon_set()
    body["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": W, "valueFrom": FROM}]
    aws_node.create_raw(body)
    outcome = aws_node.carry_out({W: "2"}, take_over=[W])
    assert outcome.kind is OutcomeKind.CONFLICT
    assert "make a valueFrom a literal" in outcome.message
    assert aws_node.facts().env[W].source == FROM


def test_a_value_from_can_be_put_back_over_a_literal_of_ours(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    after = writer(aws_node).apply(aws_node.live(), [{"name": W, "valueFrom": FROM}], force=False)
    assert after.facts.env[W].source == FROM


def test_restoring_removes_what_was_absent_and_leaves_no_trace(aws_node: AwsNode) -> None:
    before = aws_node.raw()["spec"]
    aws_node.carry_out({W: "2", M: "20"})
    assert aws_node.actor().restore(aws_node.ref).kind is OutcomeKind.RESTORED
    aws_node.quiet()
    assert aws_node.raw()["spec"] == before
    assert aws_node.generation == 3
    assert aws_node.our_fields() == {}
    assert aws_node.record_text() is None
    assert aws_node.actor().restore(aws_node.ref).kind is OutcomeKind.NOTHING


def test_retaining_leaves_the_values_and_lets_go_of_them(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2", M: "20"})
    assert aws_node.actor().retain(aws_node.ref).settled
    assert aws_node.env() == CNI_ENV | {W: "2", M: "20"}
    assert (aws_node.generation, aws_node.our_fields()) == (2, {})
    assert aws_node.record_text() is None
    aws_node.apply_as("eks", {W: "7"})  # nobody stands in the way


def test_an_object_that_changed_since_it_was_read_is_not_written(aws_node: AwsNode) -> None:
    live = aws_node.live()
    aws_node.merge({"metadata": {"annotations": {"touched": "yes"}}})
    with pytest.raises(FactsChanged):
        writer(aws_node).apply(live, [{"name": W, "value": "2"}], force=True)
    assert aws_node.env() == CNI_ENV


def test_a_daemon_set_that_is_gone_is_not_made_again(aws_node: AwsNode) -> None:
    live = aws_node.live()
    aws_node.delete()
    with pytest.raises(ActError):
        writer(aws_node).apply(live, [{"name": W, "value": "2"}], force=True)
    assert not aws_node.exists()


def test_a_daemon_set_made_anew_is_not_the_one_that_was_read(aws_node: AwsNode) -> None:
    live = aws_node.live()
    aws_node.delete()
    aws_node.create()
    with pytest.raises(ActError):
        writer(aws_node).apply(live, [{"name": W, "value": "2"}], force=True)
    assert aws_node.env() == CNI_ENV


def test_the_container_outlives_an_apply_without_entries(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    after = writer(aws_node).apply(aws_node.live(), [], force=False)
    assert after.facts.has_container
    assert aws_node.env() == CNI_ENV


def test_a_daemon_set_without_managed_fields_belongs_to_whoever_made_it(
    aws_node: AwsNode,
) -> None:
    aws_node.merge({"metadata": {"managedFields": [{}]}})
    if aws_node.raw()["metadata"].get("managedFields"):
        aws_node.merge({"metadata": {"managedFields": [{}]}})  # the status was written in between
    assert aws_node.carry_out({E: "0"}).owners == {E: "before-first-apply"}
    with pytest.raises(FieldConflict) as caught:
        writer(aws_node).apply(aws_node.live(), [{"name": E, "value": "0"}], force=False)
    assert caught.value.owners == {E: "before-first-apply"}


def test_the_record_is_found_by_name_and_label(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    core = CoreV1Api(aws_node.api.client())
    record = core.read_namespaced_config_map("ippolicy-record-aws-node", aws_node.namespace)
    assert record.metadata is not None
    assert record.metadata.labels == LABELS


def test_of_two_writers_of_a_record_one_is_refused(aws_node: AwsNode) -> None:
    aws_node.carry_out({W: "2"})
    store = RecordStore(CoreV1Api(aws_node.api.client()))
    read = store.read(aws_node.ref)
    assert read is not None
    store.write(aws_node.ref, read.record, over=read)
    aws_node.merge_record({"metadata": {"annotations": {"touched": "yes"}}})
    with pytest.raises(FactsChanged):
        store.write(aws_node.ref, read.record, over=read)
    with pytest.raises(FactsChanged):
        store.write(aws_node.ref, read.record, over=None)
    with pytest.raises(FactsChanged):
        store.delete(aws_node.ref, read)
    aws_node.delete_record()
    with pytest.raises(FactsChanged):
        store.write(aws_node.ref, read.record, over=read)
    store.delete(aws_node.ref, read)
    assert store.read(aws_node.ref) is None
