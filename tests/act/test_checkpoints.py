"""The ConfigMap that demand is kept in: ours alone, read strictly, gone with its policies."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import ApiException, CoreV1Api, CustomObjectsApi

from builders import trace
from ippolicy.act.checkpoints import DATA_KEY, CheckpointStore, checkpoint_name
from ippolicy.act.requests import CallFailed
from ippolicy.api import API_VERSION, GROUP, KIND, PLURAL, VERSION, IPPolicy
from ippolicy.api.crd import custom_resource_definition
from ippolicy.decide.signals import Noted, Tally
from ippolicy.decide.signals_kept import pack as pack_signals
from ippolicy.decide.subnets.history import Histories, Reading
from ippolicy.decide.subnets.kept import pack
from ippolicy.errors import CorruptCheckpoint, NewerCheckpoint
from ippolicy.facts import DaemonSetRef, InForce, LateStarts
from ippolicy.ipamd import WarmTargets
from ippolicy.kube import api_client, load_configuration
from ippolicy.sandbox.kube import EmbeddedKube, Fault
from kubeapi import until
from localapi import LocalAPI

SAVED_S = 1_800_000_000.0
TRACES = (trace(0, events=[(9.5, 1), (11, -1)]), trace(1, group="green"))


@dataclass(frozen=True)
class Kept:
    """A store, and the ConfigMap as anybody else sees it."""

    api: LocalAPI
    store: CheckpointStore
    ref: DaemonSetRef
    old: IPPolicy
    new: IPPolicy

    @property
    def core(self) -> Any:
        return CoreV1Api(self.api.client())

    def write(self, *owners: IPPolicy) -> int:
        return self.store.write(self.ref, TRACES, SAVED_S, owners=owners or (self.old,))

    def config_map(self) -> Any:
        return self.core.read_namespaced_config_map(checkpoint_name(self.ref), self.ref.namespace)

    def spoil(self, **data: Any) -> None:
        self.core.patch_namespaced_config_map(checkpoint_name(self.ref), self.ref.namespace, data)


@pytest.fixture(scope="session")
def with_policies(kube: tuple[EmbeddedKube, Path]) -> Any:
    """The API of policies, which an owner has to be one of."""
    policies: Any = CustomObjectsApi(api_client(load_configuration(str(kube[1]))))
    policies.create_cluster_custom_object(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", custom_resource_definition()
    )
    return policies


@pytest.fixture
def kept(kube_api: LocalAPI, with_policies: Any) -> Iterator[Kept]:
    names = [f"{age}-{kube_api.namespace}" for age in ("old", "new")]
    owners = []
    for name in names:
        raw = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": {}}
        made = with_policies.create_cluster_custom_object(GROUP, VERSION, PLURAL, raw)
        owners.append(IPPolicy.from_raw(made))
    ref = DaemonSetRef(kube_api.namespace, "aws-node")
    yield Kept(kube_api, CheckpointStore(kube_api.client()), ref, *owners)
    for name in names:
        with suppress(ApiException):
            with_policies.delete_cluster_custom_object(GROUP, VERSION, PLURAL, name)


def test_what_is_written_is_read(kept: Kept) -> None:
    assert kept.store.read(kept.ref) is None
    size_bytes = kept.write()
    read = kept.store.read(kept.ref)
    assert read is not None
    assert read.saved_at_s == SAVED_S
    assert [(one.node, one.group, one.changes.tolist()) for one in read.traces] == [
        ("node-0", "blue", [1, -1]),
        ("node-1", "green", []),
    ]
    found = kept.config_map()
    assert len(base64.b64decode(found.binary_data[DATA_KEY])) == size_bytes
    assert found.metadata.labels["app.kubernetes.io/managed-by"] == "ippolicy-operator"
    (manager,) = found.metadata.managed_fields
    assert (manager.manager, manager.operation) == ("ippolicy-operator", "Apply")


def test_what_was_seen_of_subnets_is_kept_beside_it(kept: Kept) -> None:
    assert kept.store.read_subnets(kept.ref) is None
    kept.write()
    assert kept.store.read_subnets(kept.ref) is None
    seen = Histories()
    for minute in range(20):
        seen.note([Reading("subnet-1", SAVED_S + 60 * minute, 100 - minute)])
    size_bytes = kept.store.write(kept.ref, TRACES, SAVED_S, owners=(kept.old,), subnets=pack(seen))
    binary = kept.config_map().binary_data
    assert sum(len(base64.b64decode(part)) for part in binary.values()) == size_bytes
    again = kept.store.read_subnets(kept.ref)
    assert again is not None
    assert again.to_data() == seen.to_data()
    assert kept.store.read(kept.ref) is not None
    kept.spoil(binaryData={"subnets": base64.b64encode(b"x" * 40).decode()})
    with pytest.raises(CorruptCheckpoint):
        kept.store.read_subnets(kept.ref)


def test_late_starts_and_what_ec2_answered_are_kept_beside_it(kept: Kept) -> None:
    assert kept.store.read_signals(kept.ref) is None
    noted = Noted(
        in_force=(InForce(SAVED_S - 60, WarmTargets(warm_ip=2)),),
        late=(LateStarts(SAVED_S, "node-0", "blue", 3),),
        slots={7: {"AssignPrivateIpAddresses": Tally(9, 1, 8, 1_600)}},
    )
    kept.store.write(kept.ref, TRACES, SAVED_S, owners=(kept.old,), signals=pack_signals(noted))
    assert kept.store.read_signals(kept.ref) == noted
    kept.spoil(binaryData={"signals": base64.b64encode(b"x" * 40).decode()})
    with pytest.raises(CorruptCheckpoint):
        kept.store.read_signals(kept.ref)


def test_it_belongs_to_the_policies_of_now(kept: Kept) -> None:
    for policies in ((kept.old, kept.new), (kept.new,)):
        kept.write(*policies)
        owners = kept.config_map().metadata.owner_references
        assert [(o.api_version, o.kind, o.name, o.uid) for o in owners] == [
            ("ippolicy.dev/v1alpha1", "IPPolicy", policy.name, policy.uid) for policy in policies
        ]


def test_it_goes_with_the_last_of_its_policies_though_no_operator_runs(
    kept: Kept, with_policies: Any
) -> None:
    kept.write(kept.old, kept.new)
    with_policies.delete_cluster_custom_object(GROUP, VERSION, PLURAL, kept.old.name)
    assert kept.store.read(kept.ref) is not None
    with_policies.delete_cluster_custom_object(GROUP, VERSION, PLURAL, kept.new.name)
    until(lambda: kept.store.read(kept.ref) is None)


def framed(version: int) -> str:
    """Something of another version, as its operator would have written it."""
    data = struct.pack(">4sHI", b"ippd", version, 4) + zlib.compress(b"else")
    return base64.b64encode(data + hashlib.sha256(data).digest()[:16]).decode()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"binaryData": None},
        {"binaryData": {DATA_KEY: None, "other": "AAAA"}},
        {"binaryData": {DATA_KEY: ""}},
        {"binaryData": {DATA_KEY: base64.b64encode(b"ippd and so on, for a while").decode()}},
    ],
)
def test_one_that_was_spoilt_is_named_and_the_next_takes_its_place(
    kept: Kept, spoilt: dict[str, Any]
) -> None:
    kept.write()
    kept.spoil(**spoilt)
    with pytest.raises(CorruptCheckpoint) as told:
        kept.store.read(kept.ref)
    assert f"ConfigMap {kept.ref.namespace}/ippolicy-checkpoint-aws-node" in str(told.value)
    assert "nothing is to be done" in str(told.value)
    assert "\n" not in str(told.value)
    kept.write()
    assert kept.store.read(kept.ref) is not None


def test_one_that_is_not_base64_is_damaged(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[dict[str, Any]] = [
        {"binaryData": {DATA_KEY: "%%%"}},
        {"binaryData": {DATA_KEY: "é"}},
        {"binaryData": {DATA_KEY: 7}},
        {"binaryData": "text"},
    ]
    for answer in answers:
        monkeypatch.setattr("ippolicy.act.checkpoints.find", lambda *_, said=answer: said)
        with pytest.raises(CorruptCheckpoint):
            kept.store.read(kept.ref)


def test_one_of_a_newer_operator_is_named_with_the_way_out(kept: Kept) -> None:
    kept.write()
    kept.spoil(binaryData={DATA_KEY: framed(version=2)})
    with pytest.raises(NewerCheckpoint, match=r"of version 2, known here is 1.*delete the Config"):
        kept.store.read(kept.ref)


def test_what_others_put_in_its_place_is_written_over(kept: Kept) -> None:
    kept.core.create_namespaced_config_map(
        kept.ref.namespace,
        {
            "metadata": {"name": checkpoint_name(kept.ref)},
            "binaryData": {DATA_KEY: framed(version=1)},
        },
        field_manager="somebody",
    )
    kept.write()
    assert kept.store.read(kept.ref) is not None


def test_it_can_be_removed_as_often_as_one_likes(kept: Kept) -> None:
    kept.write()
    kept.store.delete(kept.ref)
    assert kept.store.read(kept.ref) is None
    kept.store.delete(kept.ref)
    with pytest.raises(ApiException, match="Not Found"):
        kept.config_map()


@pytest.mark.parametrize(
    ("verb", "call"),
    [
        ("get", lambda kept: kept.store.read(kept.ref)),
        ("patch", lambda kept: kept.write()),
        ("delete", lambda kept: kept.store.delete(kept.ref)),
    ],
)
def test_a_refusal_is_told_with_its_fix(
    kept: Kept, verb: str, call: Callable[[Kept], object]
) -> None:
    kept.write()
    kept.api.kube.faults.add(Fault((verb, "configmaps"), status=403))
    with pytest.raises(CallFailed, match="grant the operator's account this right") as told:
        call(kept)
    assert "ConfigMap" in str(told.value)
