"""What the cluster tells of subnets and of its CNI reaches the snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ec2_fakes import WithoutOptionalRights
from ippolicy.facts import (
    Cni,
    DaemonSetRef,
    InstanceLimits,
    InstanceUse,
    PodEvent,
    SourceName,
    SubnetFacts,
    SubnetSelection,
    SubnetUse,
)
from ippolicy.observe.lookups import CILIUM_CONFIG, ENI_CONFIGS, VPC_CNI_CONFIG
from ippolicy.observe.observer import Observer
from ippolicy.observe.settings import ObserveSettings
from observe_fakes import FakeApi, FakeTime, turns, until

REF = DaemonSetRef("kube-system", "aws-node")
SETS = "/apis/apps/v1/namespaces/kube-system/daemonsets"
NODES, PODS = "/api/v1/nodes", "/api/v1/pods"
CUSTOM = {"AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG": "true"}


class Answers(WithoutOptionalRights):
    """Every instance is in subnet `home`; all subnets exist, `tagged` has the CNI's role."""

    def subnets_of_instances(self, ids: Iterable[str]) -> dict[str, frozenset[str]]:
        return dict.fromkeys(ids, frozenset({"home"}))

    def subnets(self, ids: Iterable[str]) -> dict[str, SubnetFacts]:
        return {key: SubnetFacts(key, "a", "10.0.0.0/24", 256, 9, 0.0, "vpc-1") for key in ids}

    def role_subnets(self, vpcs: Iterable[str]) -> dict[str, SubnetFacts]:
        assert set(vpcs) == {"vpc-1"}
        facts = SubnetFacts("tagged", "a", "10.0.1.0/24", 256, 9, 0.0, "vpc-1", "1", ("blue",))
        return {"tagged": facts}

    def selected_subnets(self, selection: SubnetSelection) -> dict[str, SubnetFacts]:
        return self.subnets(selection.ids)

    def instance_types(
        self, names: Iterable[str]
    ) -> tuple[dict[str, InstanceLimits], frozenset[str]]:
        return {}, frozenset(names)


class Rig:
    """An observer of one node that runs no aws-node, over an API that a test fills."""

    def __init__(self) -> None:
        self.api, self.time = FakeApi(), FakeTime()
        self.observer = Observer(
            self.api,
            ObserveSettings(aws_node_grace_s=0.0),
            on_pod_event=self._ignore,
            questions=Answers(),
            clock=self.time.clock,
            sleep=self.time.sleep,
        )
        self.api.at(NODES).put("n1", spec={"providerID": "aws:///a/i-1"})

    def _ignore(self, event: PodEvent) -> None:
        """Demand is of no interest here."""

    def daemon_set(self, name: str, desired: int, env: dict[str, str] | None = None) -> None:
        entries = [{"name": key, "value": value} for key, value in (env or {}).items()]
        pod = {"containers": [{"name": "aws-node", "env": entries}]}
        self.api.at(SETS).put(
            name,
            namespace="kube-system",
            spec={"template": {"spec": pod}},
            status={"desiredNumberScheduled": desired},
        )

    async def looked(self) -> Any:
        """The snapshot after another look at the cluster and at EC2."""
        cluster = self.observer.cluster
        await self.observer.set_refs([REF])
        cluster.start()
        await until(lambda: not cluster.unsynced())
        await turns(20)
        self.time.now_s += 300
        await self.observer.surroundings.look([REF])
        await self.observer.ec2.refresh()
        await self.observer.ec2.refresh()
        await cluster.stop()
        return self.observer.snapshot(REF, self.time.now_s)


def uses(snapshot: Any) -> dict[str, tuple[SubnetUse, ...]]:
    return {subnet.subnet_id: subnet.uses for subnet in snapshot.subnets}


async def test_custom_networking_brings_the_subnets_of_eni_configs_and_no_discovery() -> None:
    rig = Rig()
    rig.daemon_set("aws-node", 1, CUSTOM)
    rig.api.at(ENI_CONFIGS).put("a", spec={"subnet": "pods-a"})
    rig.api.at(ENI_CONFIGS).put("b", spec={"subnet": "home"})
    snapshot = await rig.looked()
    assert uses(snapshot) == {
        "home": (SubnetUse.NODES, SubnetUse.ENI_CONFIG),
        "pods-a": (SubnetUse.ENI_CONFIG,),
    }
    assert snapshot.sources[SourceName.ENI_CONFIGS].error is None


async def test_without_custom_networking_eni_configs_are_not_even_asked_for() -> None:
    rig = Rig()
    rig.daemon_set("aws-node", 1)
    snapshot = await rig.looked()
    assert rig.api.at(ENI_CONFIGS).lists == []
    assert SourceName.ENI_CONFIGS not in snapshot.sources
    assert uses(snapshot) == {"home": (SubnetUse.NODES,), "tagged": (SubnetUse.DISCOVERY,)}


async def test_a_subnet_kept_for_another_cluster_is_not_discovered() -> None:
    rig = Rig()
    rig.daemon_set("aws-node", 1, {"CLUSTER_NAME": "red"})
    assert uses(await rig.looked()) == {"home": (SubnetUse.NODES,)}


async def test_settings_of_windows_nodes_are_read_beside_aws_node() -> None:
    rig = Rig()
    rig.daemon_set("aws-node", 1)
    path = VPC_CNI_CONFIG.format(namespace="kube-system")
    rig.api.bodies[path] = b'{"data": {"warm-ip-target": "9", "branch-eni-cooldown": "60"}}'
    snapshot = await rig.looked()
    assert snapshot.windows_ipam == {"warm-ip-target": "9"}
    assert snapshot.sources[SourceName.WINDOWS_IPAM].error is None


async def test_a_selection_replaces_all_that_is_found() -> None:
    rig = Rig()
    rig.daemon_set("aws-node", 1)
    selection = SubnetSelection(ids=("chosen",))
    rig.observer.select_subnets([selection])
    await rig.looked()
    snapshot = rig.observer.snapshot(REF, rig.time.now_s, selection)
    assert uses(snapshot) == {"chosen": (SubnetUse.SELECTOR,)}


async def test_cilium_is_told_by_its_daemon_set_and_config() -> None:
    rig = Rig()
    rig.daemon_set("aws-node", 0)
    rig.daemon_set("cilium", 1)
    path = CILIUM_CONFIG.format(namespace="kube-system")
    rig.api.bodies[path] = b'{"data": {"ipam": "eni"}}'
    snapshot = await rig.looked()
    assert snapshot.cni.kind is Cni.CILIUM_ENI
    assert "ipam: eni" in snapshot.cni.told_by
    assert uses(snapshot) == {"home": (SubnetUse.NODES,)}
    assert snapshot.sources[SourceName.CILIUM].error is None


async def test_without_any_aws_node_the_subnets_of_all_nodes_are_accounted_for() -> None:
    rig = Rig()
    snapshot = await rig.looked()
    assert (snapshot.daemon_set, snapshot.nodes) == (None, ())
    assert snapshot.cni.kind is Cni.UNKNOWN
    assert snapshot.cni.told_by == "there is no DaemonSet kube-system/aws-node"
    assert uses(snapshot) == {"home": (SubnetUse.NODES,)}


async def test_nothing_is_said_of_the_cni_before_the_daemon_sets_were_listed() -> None:
    rig = Rig()
    await rig.observer.set_refs([REF])
    assert rig.observer.snapshot(REF, rig.time.now_s).cni.told_by == ""


async def test_every_instance_of_the_cluster_is_known_with_its_pods() -> None:
    rig = Rig()
    rig.daemon_set("aws-node", 1, {"IP_COOLDOWN_PERIOD": "60"})
    rig.api.at(NODES).put(
        "auto",
        spec={"providerID": "aws:///a/i-2"},
        metadata={"labels": {"eks.amazonaws.com/compute-type": "auto"}},
    )
    rig.api.at(NODES).put("elsewhere", spec={"providerID": "kind://x"})
    for number in range(3):
        rig.api.at(PODS).put(f"p{number}", namespace="default", spec={"nodeName": "n1"})
    await rig.looked()
    assert rig.observer.snapshot(REF, rig.time.now_s).instances == {
        "i-1": InstanceUse("n1", 3),
        "i-2": InstanceUse("auto"),
    }


async def test_pods_that_left_cool_for_as_long_as_aws_node_is_told() -> None:
    rig = Rig()
    rig.daemon_set("aws-node", 1, {"IP_COOLDOWN_PERIOD": "60"})
    for number in range(3):
        rig.api.at(PODS).put(f"p{number}", namespace="default", spec={"nodeName": "n1"})
    cluster = rig.observer.cluster
    await rig.observer.set_refs([REF])
    cluster.start()
    await until(lambda: not cluster.unsynced())
    await turns(20)
    rig.api.at(PODS).delete("p0")
    await until(lambda: cluster.instances(rig.time.now_s, 60.0)["i-1"].pods == 2)
    for later_s, cooling in ((0, 1), (59, 1), (61, 0)):
        use = rig.observer.snapshot(REF, rig.time.now_s + later_s).instances["i-1"]
        assert (use.pods, use.cooling) == (2, cooling)
    await cluster.stop()
