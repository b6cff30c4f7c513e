"""The whole room against an embedded Kubernetes API, metrics servers and EC2."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ec2_fakes import WithoutOptionalRights
from ippolicy.facts import (
    Coverage,
    DaemonSetRef,
    InstanceLimits,
    LeftOut,
    PodEvent,
    SourceName,
    SubnetFacts,
    SubnetSelection,
)
from ippolicy.kube import CONNECT_TIMEOUT_S, AsyncApi, load_configuration
from ippolicy.observe import Observer, ObserveSettings
from ippolicy.sandbox.kube import EmbeddedKube, Fault
from observe_fakes import metrics_page, until_real

REF = DaemonSetRef("kube-system", "aws-node")
SETTINGS = ObserveSettings(
    list_page_size=3,
    watch_backoff_s=0.02,
    watch_backoff_max_s=0.1,
    aws_node_grace_s=0.2,
    scrape_interval_s=0.3,
    scrape_timeout_s=0.25,
    ec2_poll_s=0.02,
)


class Answers(WithoutOptionalRights):
    """EC2 that puts every instance in one subnet."""

    def subnets_of_instances(self, ids: Collection[str]) -> dict[str, frozenset[str]]:
        self.calls["DescribeInstances"] += 1
        return dict.fromkeys(ids, frozenset({"subnet-1"}))

    def subnets(self, ids: Collection[str]) -> dict[str, SubnetFacts]:
        return {key: SubnetFacts(key, "a", "10.0.0.0/24", 256, 200, time.time()) for key in ids}

    def selected_subnets(self, selection: SubnetSelection) -> dict[str, SubnetFacts]:
        return self.subnets(selection.ids)

    def instance_types(
        self, names: Collection[str]
    ) -> tuple[dict[str, InstanceLimits], frozenset[str]]:
        known = {n: InstanceLimits(n, 3, 10, nitro=True) for n in names if n == "m5.large"}
        return known, frozenset(names) - set(known)


class World:
    """A cluster, the metrics of its aws-nodes, and an observer of both."""

    def __init__(self, kube: EmbeddedKube, api: AsyncApi, settings: ObserveSettings) -> None:
        self.kube = kube
        self.api = api
        self.events: list[PodEvent] = []
        self.pages: dict[str, str] = {}
        self.answers = Answers()
        self.metrics_url = ""
        self.observer = Observer(
            api,
            settings,
            on_pod_event=self.events.append,
            endpoint=lambda pod: f"{self.metrics_url}/{pod.node}",
            questions=self.answers,
        )

    async def page(self, request: web.Request) -> web.Response:
        page = self.pages.get(request.match_info["node"])
        return web.Response(text=page) if page else web.Response(status=500)

    async def write(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        """Change the cluster over HTTP, as anybody else would."""
        import aiohttp

        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, self.kube.url + path, json=body, headers={"Content-Type": kind}
            ) as response,
        ):
            assert response.status < 300, await response.text()

    async def node(self, name: str, **labels: str) -> None:
        labels = {"node.kubernetes.io/instance-type": "m5.large", **labels}
        body = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": labels},
            "spec": {"providerID": f"aws:///us-west-2a/i-{name}"},
            "status": {"capacity": {"pods": "29"}},
        }
        await self.write("POST", "/api/v1/nodes", body)
        await self.write(
            "PATCH", f"/api/v1/nodes/{name}/status", {"status": {"capacity": {"pods": "29"}}}
        )

    async def pod(self, name: str, node: str, namespace: str = "default", **metadata: Any) -> None:
        spec: dict[str, Any] = {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}
        if namespace == "kube-system":
            spec["hostNetwork"] = True
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        await self.write("POST", f"/api/v1/namespaces/{namespace}/pods", body)

    async def aws_node(self, node: str, *, ready: bool = True) -> None:
        self.pages[node] = metrics_page(held=14)
        name = f"aws-node-{node}"
        await self.pod(name, node, "kube-system", labels={"k8s-app": "aws-node"})
        if ready:
            await self.aws_node_is(node, "True")

    async def aws_node_is(self, node: str, ready: str) -> None:
        path = f"/api/v1/namespaces/kube-system/pods/aws-node-{node}/status"
        conditions = [{"type": "Ready", "status": ready}]
        await self.write("PATCH", path, {"status": {"conditions": conditions}})

    async def delete_pod(self, name: str, namespace: str = "default") -> None:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        await self.write("DELETE", path, {"gracePeriodSeconds": 0})

    async def ready(self) -> None:
        await until_real(lambda: self.observer.readiness(time.time()).ready)


@asynccontextmanager
async def world(
    tmp_path: Path, settings: ObserveSettings = SETTINGS, **options: Any
) -> AsyncIterator[World]:
    async with EmbeddedKube(controllers=False, **options) as kube:
        api = AsyncApi(load_configuration(str(kube.kubeconfig(tmp_path / "config"))))
        it = World(kube, api, settings)
        app = web.Application()
        app.router.add_get("/{node}", it.page)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        it.metrics_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield it
        finally:
            await it.observer.stop()
            await api.close()
            await runner.cleanup()


async def test_a_snapshot_has_all_facts_of_a_living_cluster(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        for name in ("a", "b", "c", "lonely"):
            await it.node(name)
        await it.node("odd", **{"node.kubernetes.io/instance-type": "odd.type"})
        await it.node("f", **{"eks.amazonaws.com/compute-type": "fargate"})
        for name in ("a", "b", "c", "odd"):
            await it.aws_node(name)
        it.pages["b"] = "garbage\n"
        for number in range(7):
            await it.pod(f"p{number}", "a" if number < 4 else "b")
        await it.observer.set_refs([REF])
        await it.observer.start()
        await it.ready()
        await until_real(lambda: it.observer.snapshot(REF, time.time()).coverage.stale == 1)
        snapshot = it.observer.snapshot(REF, time.time())
        assert {node.name for node in snapshot.nodes} == {"a", "b", "c", "odd"}
        assert snapshot.left_out == {LeftOut.FARGATE: 1, LeftOut.NO_AWS_NODE: 1}
        assert snapshot.pods_per_node == {"a": 4, "b": 3, "c": 0, "odd": 0}
        assert snapshot.waiting == {"a": 4, "b": 3}
        assert {node: pod.name for node, pod in snapshot.agents.items()} == {
            name: f"aws-node-{name}" for name in ("a", "b", "c", "odd")
        }
        assert all(pod.ready and not pod.ending for pod in snapshot.agents.values())
        assert set(snapshot.pools) == {"a", "c", "odd"}
        assert snapshot.coverage == Coverage(listed=4, read=3, stale=1)
        assert set(snapshot.limits) == {"m5.large"}
        assert snapshot.unknown_types == {"odd.type"}
        assert [subnet.free for subnet in snapshot.subnets] == [200]
        assert snapshot.daemon_set is None
        of_some = {
            SourceName.ENI_CONFIGS,
            SourceName.CILIUM,
            SourceName.WINDOWS_IPAM,
            SourceName.PROMETHEUS,
        }
        assert set(snapshot.sources) == set(SourceName) - of_some
        assert {name for name, state in snapshot.sources.items() if state.error} == {
            SourceName.EC2_INTERFACES,
            SourceName.EC2_RESERVATIONS,
        }
        assert set(snapshot.instances) == {"i-a", "i-b", "i-c", "i-f", "i-lonely", "i-odd"}
        assert it.events == []
        stats = it.observer.stats()
        assert stats.calls[SourceName.PODS, "list"] == 3
        assert stats.calls["ec2", "DescribeInstances"] == 1
        assert stats.errors[SourceName.METRICS, "garbage"] >= 3
        assert stats.scrapes == stats.calls[SourceName.METRICS, "scrape"]


async def test_an_aws_node_that_is_not_ready_is_neither_read_nor_counted(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        for name in ("a", "b"):
            await it.node(name)
        await it.aws_node("a")
        await it.aws_node("b", ready=False)
        await it.observer.set_refs([REF])
        await it.observer.start()
        await it.ready()
        snapshot = it.observer.snapshot(REF, time.time())
        assert snapshot.coverage == Coverage(listed=1, read=1, stale=0)
        assert set(snapshot.pools) == {"a"}
        assert {node.name for node in snapshot.nodes} == {"a", "b"}
        await it.aws_node_is("b", "True")
        both = Coverage(listed=2, read=2, stale=0)
        await until_real(lambda: it.observer.snapshot(REF, time.time()).coverage == both)
        await it.aws_node_is("a", "False")
        await until_real(lambda: set(it.observer.snapshot(REF, time.time()).pools) == {"b"})
        assert it.observer.snapshot(REF, time.time()).coverage.listed == 1


async def test_a_snapshot_has_the_subnets_of_a_selection_instead(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.node("a")
        await it.aws_node("a")
        wanted, unknown = SubnetSelection(("subnet-7",)), SubnetSelection(("subnet-8",))
        it.observer.select_subnets({wanted, SubnetSelection()})
        assert it.observer.ec2.selections == {wanted}
        await it.observer.set_refs([REF])
        await it.observer.start()
        await it.ready()

        def subnets(selection: SubnetSelection | None) -> list[str]:
            snapshot = it.observer.snapshot(REF, time.time(), selection)
            return [subnet.subnet_id for subnet in snapshot.subnets]

        assert subnets(wanted) == ["subnet-7"]
        assert subnets(unknown) == []
        assert subnets(SubnetSelection()) == subnets(None) == ["subnet-1"]
        never = it.observer.snapshot(REF, time.time(), unknown).sources[SourceName.EC2_SUBNETS]
        assert never.succeeded_at_s is None


async def test_a_pod_that_is_replaced_does_not_make_the_operator_unready(tmp_path: Path) -> None:
    async with world(tmp_path, replace(SETTINGS, scrape_interval_s=2.0)) as it:
        await it.observer.start()
        await it.ready()
        await it.node("a")
        await it.aws_node("a")
        await it.observer.set_refs([REF])
        await until_real(lambda: it.observer.scraper.reads == 1)
        assert it.observer.readiness(time.time()).ready
        await it.delete_pod("aws-node-a", "kube-system")
        await it.aws_node("a")
        unread = Coverage(listed=1, read=0, stale=0)
        await until_real(lambda: it.observer.snapshot(REF, time.time()).coverage == unread)
        assert it.observer.readiness(time.time()).ready


async def test_nothing_is_lost_while_watches_drop_and_history_is_forgotten(tmp_path: Path) -> None:
    async with world(tmp_path, history=5, bookmark_interval_s=0.1) as it:
        await it.node("a")
        await it.aws_node("a")
        for number in range(20):
            await it.pod(f"p{number}", "a")
        await it.observer.set_refs([REF])
        await it.observer.start()
        await it.ready()
        it.kube.faults.add(Fault(match=("watch", "pods"), status=503))
        it.kube.drop_watches()
        for number in range(15):
            await it.delete_pod(f"p{number}")
        await it.pod("late", "a")
        refused = (SourceName.PODS, "http-status")
        await until_real(lambda: it.observer.stats().errors.get(refused, 0) > 0)
        it.kube.faults.clear()
        await until_real(lambda: it.observer.snapshot(REF, time.time()).pods_per_node == {"a": 6})
        assert sum(event.change for event in it.events) == 6 - 20
        assert sum(event.change < 0 for event in it.events) == 15
        assert it.observer.stats().relists[SourceName.PODS] >= 1


async def test_a_finished_pod_leaves_the_pod_network(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.node("a")
        await it.aws_node("a")
        await it.pod("job", "a")
        await it.observer.set_refs([REF])
        await it.observer.start()
        await it.ready()
        path = "/api/v1/namespaces/default/pods/job/status"
        await it.write("PATCH", path, {"status": {"phase": "Succeeded"}})
        await until_real(lambda: len(it.events) == 1)
        assert (it.events[0].node, it.events[0].change) == ("a", -1)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(match=("list", "pods"), status=403),
        Fault(match=("list", "pods"), garbage=b'{"items": ['),
        Fault(match=("list", "pods"), drop_connection=True),
        Fault(match=("list", "pods"), hang=True),
    ],
)
async def test_not_ready_names_the_source_until_it_answers(tmp_path: Path, fault: Fault) -> None:
    async with world(tmp_path, replace(SETTINGS, api_timeout_s=0.2)) as it:
        it.kube.faults.add(fault)
        await it.observer.start()
        await until_real(
            lambda: it.observer.cluster.states(time.time())[SourceName.PODS].error is not None
        )
        readiness = it.observer.readiness(time.time())
        assert not readiness.ready
        assert readiness.reasons[0].startswith("pods not listed yet: ")
        it.kube.faults.clear()
        await it.ready()


async def test_a_silent_source_makes_the_operator_unready(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.observer.start()
        await it.ready()
        readiness = it.observer.readiness(time.time() + 181)
        assert not readiness.ready
        assert all("last heard of" in reason for reason in readiness.reasons)


async def test_stopping_takes_no_time_even_while_everything_hangs(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        it.kube.faults.add(Fault(match=("list", "pods"), hang=True))
        await it.observer.set_refs([REF])
        await it.observer.start()
        await asyncio.sleep(0.1)
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await it.observer.stop()
        assert loop.time() - begun_s < CONNECT_TIMEOUT_S  # the first that would end by itself
        it.kube.faults.clear()


async def test_a_broken_callback_is_said_by_readiness(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.observer.start()
        await it.ready()
        it.observer.cluster._on_pod_event = None  # type: ignore[assignment]  # break it
        await it.pod("p", "a")
        await until_real(lambda: not it.observer.readiness(time.time()).ready)
        assert "restart the operator" in it.observer.readiness(time.time()).reasons[0]


async def test_a_broken_source_is_said_by_readiness(tmp_path: Path) -> None:
    async with world(tmp_path) as it:
        await it.observer.start()
        await it.ready()
        it.observer.scraper._sleep = None  # type: ignore[assignment]  # break it
        await until_real(lambda: not it.observer.readiness(time.time()).ready)
        (reason,) = it.observer.readiness(time.time()).reasons
        assert reason.startswith("observing broke down (TypeError: ")
