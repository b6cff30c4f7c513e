"""Memory and CPU of observing and deciding for fleets of several sizes, by two minutes of each.

    python scripts/measure_operator.py                 # 100, 1,000 and 5,000 nodes
    python scripts/measure_operator.py --nodes 1000

Each fleet has a process of its own, with the operator's own observer and decider at their default
settings: 30 pods a node in objects of some 3 KB, six pods an hour and node that go and come, a day
of that remembered, readings of each aws-node twice a minute, a pass each 15 s that searches by
replay. The API server and EC2 answer from memory, so TLS and HTTP are not in the figures. The first
minute, with lists and a first search, is told apart: what is of it shows in the peak of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import numpy as np

from ippolicy.api import IPPolicy
from ippolicy.decide.gates import Limits
from ippolicy.decide.history import DemandHistory
from ippolicy.engine.deciding import Decider
from ippolicy.engine.proof import Proofs
from ippolicy.errors import EC2Unavailable
from ippolicy.facts import (
    CidrReservation,
    DaemonSetRef,
    InstanceLimits,
    NodeTrace,
    PodEvent,
    SubnetFacts,
    SubnetSelection,
)
from ippolicy.ipamd.fast import compile_kernel
from ippolicy.observe.ec2_client import InterfacePage
from ippolicy.observe.observer import Observer
from ippolicy.observe.settings import ObserveSettings
from ippolicy.offloop import call_off_loop

SIZES = (100, 1_000, 5_000)
PODS_A_NODE = 30
CHURN_PER_S = 6 / 3_600  # pods of a node that go, and come
PADDING = "x" * 2_500  # what real pods have besides: volumes, probes, managed fields
INTERVAL_S = 15.0
MINUTE_S = 60.0
REF = DaemonSetRef("kube-system", "aws-node")
ENV = {"WARM_ENI_TARGET": "1", "WARM_PREFIX_TARGET": "1"}
PAGE = b"""awscni_eni_max 4
awscni_ip_max 56
awscni_eni_allocated 3
awscni_total_ip_addresses 42
awscni_assigned_ip_addresses 30
awscni_total_ipv4_prefixes 0
awscni_no_available_ip_addresses 0
awscni_add_ip_req_count 30
process_start_time_seconds 1
""" + b"".join(b'awscni_assigned_ip_per_cidr{cidr="10.0.0.%d/32"} 1\n' % n for n in range(42))


class Cluster:
    """An API server with `nodes` nodes, whose objects are made as they are asked for."""

    def __init__(self, nodes: int, groups: int) -> None:
        self._nodes, self._groups = nodes, groups

    async def get_bytes(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        timeout_s: float = 0.0,  # noqa: ARG002  (as the operator asks)
        max_bytes: int = 0,  # noqa: ARG002
    ) -> bytes:
        """A page of a list, or a page of metrics."""
        await asyncio.sleep(0)
        if path.endswith("/metrics"):
            return PAGE
        makers = {
            "/api/v1/nodes": (self._node, self._nodes),
            "/api/v1/pods": (self._pod, self._nodes * PODS_A_NODE),
            "/api/v1/namespaces/kube-system/pods": (_aws_node, self._nodes),
            "/apis/apps/v1/namespaces/kube-system/daemonsets": (self._daemon_set, 1),
        }
        make, count = makers.get(path, (None, 0))
        asked = params or {}
        start = int(asked.get("continue") or 0)
        end = min(count, start + int(asked.get("limit") or count))
        metadata = {"resourceVersion": "1", "continue": str(end) if end < count else ""}
        items = b",".join(make(number) for number in range(start, end)) if make else b""
        return b'{"metadata":%s,"items":[%s]}' % (json.dumps(metadata).encode(), items)

    @asynccontextmanager
    async def watch_lines(
        self,
        path: str,
        params: Mapping[str, str],  # noqa: ARG002
        *,
        open_timeout_s: float,  # noqa: ARG002
        idle_timeout_s: float,  # noqa: ARG002
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Pods that go and come; nothing else ever changes."""
        yield self._churn() if path == "/api/v1/pods" else _nothing()

    async def _churn(self) -> AsyncIterator[bytes]:
        chance = random.Random(0)  # noqa: S311  (no secret)
        while True:
            await asyncio.sleep(1.0)
            for _ in range(round(self._nodes * CHURN_PER_S) or 1):
                pod = self._pod(chance.randrange(self._nodes * PODS_A_NODE))
                for kind in (b"DELETED", b"ADDED"):
                    yield b'{"type":"%s","object":%s}' % (kind, pod)

    def _node(self, number: int) -> bytes:
        labels = {
            "node.kubernetes.io/instance-type": "r5.xlarge",
            "eks.amazonaws.com/nodegroup": f"group-{number % self._groups}",
            "topology.kubernetes.io/zone": f"eu-west-1{'abc'[number % 3]}",
        }
        spec = {"providerID": f"aws:///a/i-{number:08}"}
        address = [{"type": "InternalIP", "address": "10.0.0.9"}]
        status = {"capacity": {"pods": "58"}, "addresses": address, "images": PADDING}
        return _object(f"node-{number}", {"labels": labels}, spec=spec, status=status)

    def _pod(self, number: int) -> bytes:
        spec = {"nodeName": f"node-{number % self._nodes}", "padding": PADDING}
        status = {"phase": "Running", "podIP": "10.1.2.3"}
        return _object(f"pod-{number}", {"namespace": "default"}, spec=spec, status=status)

    def _daemon_set(self, _: int) -> bytes:
        env = [{"name": key, "value": value} for key, value in ENV.items()]
        template = {"spec": {"containers": [{"name": "aws-node", "env": env}]}}
        counts = ("desired", "updated", "current")
        status = {f"{name}NumberScheduled": self._nodes for name in counts}
        status |= {"numberAvailable": self._nodes, "numberReady": self._nodes}
        metadata = {"namespace": "kube-system", "generation": 1}
        return _object(
            "aws-node",
            metadata,
            spec={"template": template},
            status={"observedGeneration": 1, **status},
        )


def _aws_node(number: int) -> bytes:
    owner = {"kind": "DaemonSet", "name": "aws-node", "uid": "d", "controller": True}
    metadata = {
        "namespace": "kube-system",
        "labels": {"k8s-app": "aws-node", "controller-revision-hash": "r"},
        "ownerReferences": [owner],
    }
    status = {
        "phase": "Running",
        "hostIP": "10.0.0.9",
        "podIP": "10.0.0.9",
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return _object(
        f"aws-node-{number}", metadata, spec={"nodeName": f"node-{number}"}, status=status
    )


def _object(name: str, metadata: Mapping[str, object], **fields: object) -> bytes:
    known = {"name": name, "uid": name, "resourceVersion": "1", **metadata}
    known["creationTimestamp"] = "2026-01-01T00:00:00Z"
    return json.dumps({"metadata": known, **fields}).encode()


async def _nothing() -> AsyncIterator[bytes]:
    while True:
        yield b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"1"}}}'
        await asyncio.sleep(30.0)


class Account:
    """An EC2 with a subnet in each of three zones, without the right to look into them."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def subnets_of_instances(self, ids: Collection[str]) -> dict[str, frozenset[str]]:
        """A subnet for each."""
        return {one: frozenset({f"subnet-{int(one.rpartition('-')[2]) % 3}"}) for one in ids}

    def subnets(self, ids: Collection[str]) -> dict[str, SubnetFacts]:
        """Subnets with room for all."""
        now_s = time.time()
        return {
            one: SubnetFacts(
                one, f"eu-west-1{'abc'[int(one[7:])]}", "10.0.0.0/16", 65_536, 9_000, now_s
            )
            for one in ids
        }

    def selected_subnets(self, selection: SubnetSelection) -> dict[str, SubnetFacts]:  # noqa: ARG002
        """None is selected."""
        return {}

    def role_subnets(self, vpcs: Collection[str]) -> dict[str, SubnetFacts]:  # noqa: ARG002
        """None has the tag."""
        return {}

    def instance_types(
        self, names: Collection[str]
    ) -> tuple[dict[str, InstanceLimits], frozenset[str]]:
        """All are alike."""
        return {name: InstanceLimits(name, 4, 15, nitro=True) for name in names}, frozenset()

    def interfaces(self, subnets: Collection[str], token: str | None) -> InterfacePage:  # noqa: ARG002
        """Not allowed."""
        raise EC2Unavailable(
            "no", reason="AccessDenied", permission="ec2:DescribeNetworkInterfaces"
        )

    def reservations(self, subnet_id: str) -> tuple[CidrReservation, ...]:  # noqa: ARG002
        """Not allowed."""
        raise EC2Unavailable(
            "no", reason="AccessDenied", permission="ec2:GetSubnetCidrReservations"
        )


def day_before(nodes: int, now_s: float, groups: int) -> Iterator[NodeTrace]:
    """A day of demand of each node, at the pace at which it goes on."""
    draw = np.random.default_rng(0)
    for number in range(nodes):
        count = 2 * int(86_400 * CHURN_PER_S)
        times_s = np.sort(draw.uniform(now_s - 86_400, now_s, count))
        changes = np.tile(np.array([-1, 1], dtype=np.int8), count // 2)
        group = f"group-{number % groups}"
        yield NodeTrace(
            f"node-{number}", group, now_s - 86_400, now_s, PODS_A_NODE, times_s, changes
        )


def load_the_rest() -> tuple[object, ...]:
    """What a running operator has in memory besides: kopf, the clients of Kubernetes and EC2."""
    import boto3
    from kubernetes import client

    from ippolicy import handlers

    return handlers, client, boto3.session.Session(region_name="eu-west-1").client("ec2")


class Rooms:
    """The operator's own observer and decider, at work on a fleet of `nodes`.

    With `search_always` no pass goes on from what the pass before it found.
    """

    def __init__(self, nodes: int, *, groups: int = 5, search_always: bool = False) -> None:
        self._nodes, self._groups = nodes, groups
        self._search_always = search_always
        self._history = DemandHistory(window_s=86_400.0, started_at_s=time.time())
        self._policy = IPPolicy("default")
        self._decider = _decider()
        self.observer = Observer(
            Cluster(nodes, groups),
            ObserveSettings(scrape_via="proxy"),
            on_pod_event=self._remember,
            questions=Account(),
        )
        self.searches = 0

    async def start(self) -> None:
        """Compile the replay, recall a day of demand, and begin to look."""
        compile_kernel()
        self._history.adopt(day_before(self._nodes, time.time(), self._groups))
        await self.observer.start()
        await self.observer.set_refs({REF})

    async def stop(self) -> None:
        """Look no more."""
        await self.observer.stop()

    def missing(self) -> tuple[str, ...]:
        """What is not known yet."""
        return self.observer.readiness(time.time()).reasons

    async def decide(self) -> None:
        """One pass, if all that it needs is known."""
        now_s = time.time()
        snapshot = self.observer.snapshot(REF, now_s)
        if self.missing():
            return
        self._history.sync(snapshot.nodes, snapshot.pods_per_node, now_s)
        self._history.trim(now_s)
        traces = self._history.traces(now_s)
        if self._search_always:
            self._decider = _decider()
        decide = partial(
            self._decider.decide, self._policy, REF, snapshot, record=None, traces=traces
        )
        _, decision, _ = await call_off_loop(decide)
        self.searches += decision.fleet is not None

    def _remember(self, event: PodEvent) -> None:
        self._history.record(event)


def _decider() -> Decider:
    return Decider(Limits(), Proofs(lambda *_: None), by_replay=True)


async def measure(nodes: int) -> str:
    """A row of the table."""
    kept = load_the_rest()
    rooms = Rooms(nodes)

    async def run_for(span_s: float) -> None:
        until_s = time.monotonic() + span_s
        while (left_s := until_s - time.monotonic()) > 0:
            await rooms.decide()
            await asyncio.sleep(min(INTERVAL_S, left_s))

    await rooms.start()
    try:
        await run_for(MINUTE_S)
        first_s = time.process_time()
        await run_for(MINUTE_S)
        cpu_s = time.process_time() - first_s
        reasons = rooms.missing()
    finally:
        await rooms.stop()
    if reasons or not rooms.searches:
        raise SystemExit(f"{nodes} nodes: nothing was decided: {'; '.join(reasons)}")
    del kept
    resident, peak = (_kib(name) / 1_024 for name in ("VmRSS", "VmHWM"))
    memory = f"{resident:.0f} MiB | {peak:.0f} MiB"
    return f"| {nodes:,} | {memory} | {first_s:.0f} s | {cpu_s:.1f} s |"


def _kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def main() -> int:
    """A table of all sizes, or of one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, help="one size instead of several")
    asked = parser.parse_args().nodes
    if asked is not None:
        print(asyncio.run(measure(asked)), flush=True)  # noqa: T201
        return 0
    print("| Nodes | Memory | at most | CPU of the first minute | CPU a minute |", flush=True)  # noqa: T201
    print("|---|---|---|---|---|", flush=True)  # noqa: T201
    for nodes in SIZES:
        subprocess.run([sys.executable, __file__, "--nodes", str(nodes)], check=True)  # noqa: S603
    return 0


if __name__ == "__main__":
    sys.exit(main())
