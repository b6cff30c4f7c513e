"""Stores of nodes, pods, aws-node and DaemonSets over a fake API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from ippolicy.facts import DaemonSetRef, LeftOut, PodEvent, SourceName, SourceState
from ippolicy.observe.cluster import Cluster, merge_states
from ippolicy.observe.settings import ObserveSettings
from observe_fakes import FakeApi, FakeTime, dropped, until

REF = DaemonSetRef("kube-system", "aws-node")
PODS = "/api/v1/pods"
NODES = "/api/v1/nodes"
AWS_NODE = "/api/v1/namespaces/kube-system/pods"
SETS = "/apis/apps/v1/namespaces/kube-system/daemonsets"


class Rig:
    def __init__(self) -> None:
        self.api = FakeApi()
        self.time = FakeTime()
        self.events: list[PodEvent] = []
        self.cluster = Cluster(
            self.api,
            ObserveSettings(aws_node_grace_s=30.0),
            self.events.append,
            clock=self.time.clock,
            sleep=self.time.sleep,
            random=Random(1),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Cluster]:
        await self.cluster.set_namespaces(["kube-system"])
        self.cluster.start()
        await until(lambda: not self.cluster.unsynced())
        await until(lambda: all(self.api.at(p).watches for p in (PODS, NODES, AWS_NODE, SETS)))
        try:
            yield self.cluster
            assert self.cluster.crashed() is None
        finally:
            await self.cluster.stop()

    def node(self, name: str, **labels: str) -> None:
        self.api.at(NODES).put(name, metadata={"labels": labels})

    def pod(self, name: str, node: str | None, address: str = "") -> None:
        spec = {"nodeName": node} if node else {}
        status = {"podIP": address} if address else {}
        self.api.at(PODS).put(name, namespace="x", spec=spec, status=status)

    def aws_node(self, name: str, node: str, owner: str = "aws-node") -> None:
        owners = [{"kind": "DaemonSet", "name": owner, "controller": True}]
        self.api.at(AWS_NODE).put(
            name,
            namespace="kube-system",
            metadata={"ownerReferences": owners},
            spec={"nodeName": node},
        )

    def names(self) -> set[str]:
        view = self.cluster.node_view(REF, self.time.now_s)
        return {node.name for node in view.nodes}

    def left_out(self) -> dict[LeftOut, int]:
        return dict(self.cluster.node_view(REF, self.time.now_s).left_out)

    def levels(self) -> dict[str, int]:
        view = self.cluster.node_view(REF, self.time.now_s)
        return self.cluster.pods_on(view.nodes)


async def test_pods_of_the_first_list_are_level_and_later_ones_are_events() -> None:
    rig = Rig()
    for name in ("a", "b"):
        rig.node(name)
        rig.aws_node(f"aws-{name}", name)
    rig.pod("p1", "a")
    rig.pod("p2", None)
    async with rig.running():
        assert rig.events == []
        assert rig.levels() == {"a": 1, "b": 0}
        rig.pod("p2", "a")
        rig.pod("p3", "b")
        rig.api.at(PODS).delete("p1")
        await until(lambda: len(rig.events) == 3)
        assert [(e.node, e.change) for e in rig.events] == [("a", 1), ("b", 1), ("a", -1)]
        assert rig.levels() == {"a": 1, "b": 1}


async def test_pods_are_counted_as_waiting_until_they_have_an_address_or_go() -> None:
    rig = Rig()
    for name in ("a", "b"):
        rig.node(name)
        rig.aws_node(f"aws-{name}", name)
    rig.pod("unbound", None)
    for name in ("p1", "p2"):
        rig.pod(name, "a")
    rig.pod("p3", "b")
    rig.pod("p4", "b", "10.0.0.4")

    def waiting() -> dict[str, int]:
        return rig.cluster.waiting_on(rig.cluster.node_view(REF, rig.time.now_s).nodes)

    async with rig.running():
        assert waiting() == {"a": 2, "b": 1}
        rig.pod("p1", "a", "10.0.0.1")
        rig.api.at(PODS).delete("p3")
        await until(lambda: waiting() == {"a": 1})
        rig.pod("unbound", "b")
        await until(lambda: waiting() == {"a": 1, "b": 1})
        assert len(rig.events) == 2


async def test_a_change_of_a_pod_that_stays_where_it_is_is_no_event() -> None:
    rig = Rig()
    rig.pod("p1", "a")
    async with rig.running():
        rig.pod("p1", "a")
        rig.pod("p2", "a")
        await until(lambda: len(rig.events) == 1)
        assert rig.events[0].change == 1


async def test_a_relist_yields_the_difference_as_events_of_now() -> None:
    rig = Rig()
    for name in ("p1", "p2", "p3"):
        rig.pod(name, "a")
    async with rig.running():
        pods = rig.api.at(PODS)
        rig.time.now_s += 100
        pods.order(dropped())
        pods.delete("p1")
        pods.delete("p2")
        rig.pod("p2", "b")
        pods.compact()
        await until(lambda: len(rig.events) == 3)
        assert sorted((e.node, e.change) for e in rig.events) == [("a", -1), ("a", -1), ("b", 1)]
        assert all(e.at_s >= 1_100 for e in rig.events)


async def test_nodes_without_aws_node_are_left_out_once_its_pods_are_listed() -> None:
    rig = Rig()
    rig.node("a")
    rig.node("b")
    rig.node("f", **{"eks.amazonaws.com/compute-type": "fargate"})
    rig.aws_node("aws-1", "a")
    assert rig.left_out() == {}
    async with rig.running():
        assert rig.names() == {"a"}
        assert rig.left_out() == {LeftOut.FARGATE: 1, LeftOut.NO_AWS_NODE: 1}


async def test_a_new_node_gets_time_to_start_its_aws_node() -> None:
    rig = Rig()
    async with rig.running():
        rig.node("new")
        await until(lambda: rig.names() == {"new"})
        rig.time.now_s += 31
        assert rig.left_out() == {LeftOut.NO_AWS_NODE: 1}


async def test_a_node_whose_aws_node_is_replaced_stays_in() -> None:
    rig = Rig()
    rig.node("a")
    rig.aws_node("aws-1", "a")
    async with rig.running() as cluster:
        rig.time.now_s += 1_000
        rig.api.at(AWS_NODE).delete("aws-1")
        await until(lambda: not cluster.aws_node_pods(REF))
        assert rig.names() == {"a"}
        rig.time.now_s += 31
        assert rig.names() == set()


async def test_a_pod_on_its_way_out_gives_way_to_the_next() -> None:
    rig = Rig()
    rig.aws_node("aws-1", "a")
    rig.aws_node("aws-2", "a")
    going = rig.api.at(AWS_NODE).objects["aws-2"]
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    async with rig.running() as cluster:
        assert [pod.name for pod in cluster.aws_node_pods(REF)] == ["aws-1"]


async def test_a_ready_pod_without_an_address_is_found_at_its_node_s() -> None:
    rig = Rig()
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    addresses = [{"type": "InternalIP", "address": "10.0.0.1"}]
    for name in ("a", "b"):
        rig.api.at(NODES).put(name, status={"addresses": addresses})
    pods = rig.api.at(AWS_NODE)
    pods.put("up", namespace="kube-system", spec={"nodeName": "a"}, status=ready)
    pods.put("not-yet", namespace="kube-system", spec={"nodeName": "b"})
    async with rig.running() as cluster:
        found = {pod.name: pod.address for pod in cluster.aws_node_pods(REF)}
        assert found == {"up": "10.0.0.1", "not-yet": ""}


async def test_pods_of_another_daemon_set_do_not_serve_this_one() -> None:
    rig = Rig()
    rig.node("a")
    rig.aws_node("other-1", "a", owner="aws-node-big")
    async with rig.running() as cluster:
        assert cluster.aws_node_pods(REF) == []
        assert len(cluster.aws_node_pods()) == 1
        assert rig.left_out() == {LeftOut.NO_AWS_NODE: 1}


async def test_a_daemon_set_is_as_fresh_as_its_watch() -> None:
    rig = Rig()
    async with rig.running() as cluster:
        assert cluster.daemon_set(REF) is None
        rig.api.at(SETS).put("aws-node", namespace="kube-system", spec={})
        await until(lambda: cluster.daemon_set(REF) is not None)
        rig.time.now_s += 60
        rig.api.at(SETS).version += 1
        rig.api.at(SETS).bookmark()
        await until(lambda: _read_at_s(cluster) == rig.time.now_s)
        rig.api.at(SETS).delete("aws-node")
        await until(lambda: cluster.daemon_set(REF) is None)


def _read_at_s(cluster: Cluster) -> float:
    facts = cluster.daemon_set(REF)
    assert facts is not None
    return facts.read_at_s


async def test_namespaces_come_and_go_at_run_time() -> None:
    rig = Rig()
    before = asyncio.all_tasks()
    async with rig.running() as cluster:
        other = rig.api.at("/apis/apps/v1/namespaces/cni/daemonsets")
        other.put("aws-node", namespace="cni", spec={})
        ref = DaemonSetRef("cni", "aws-node")
        await cluster.set_namespaces(["cni"])
        await until(lambda: cluster.daemon_set(ref) is not None)
        assert cluster.daemon_set(REF) is None
        assert len(asyncio.all_tasks() - before) == 4
        await cluster.set_namespaces([])
        assert len(asyncio.all_tasks() - before) == 2
        assert cluster.states(5.0)[SourceName.AWS_NODE] == SourceState(5.0)
    assert asyncio.all_tasks() == before


def test_merged_states_are_as_good_as_the_worst() -> None:
    good, older = SourceState(20.0), SourceState(10.0, "broken", "list, watch pods")
    assert merge_states([good, older], 30.0) == older
    assert merge_states([good, SourceState(None)], 30.0) == SourceState(None)
    assert merge_states([], 30.0) == SourceState(30.0)
