"""The whole sandbox as one thing: a cluster, an EC2, a fleet, pods, and the real operator.

with Sandbox(Layout(nodes=3)) as sandbox:
    sandbox.operator.start()
    sandbox.apply_policy({"mode": "Apply", "demand": {"minEvidence": "5s"}})
    sandbox.wait(lambda: sandbox.env().get("WARM_IP_TARGET") is not None, "a first change")

Everything here is called from ordinary, blocking code; the parts run on an event loop in a thread.
"""

from __future__ import annotations

import asyncio
import selectors
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from ippolicy.api.crd import custom_resource_definition
from ippolicy.api.spec import API_VERSION, GROUP, KIND, PLURAL, VERSION
from ippolicy.api.validate import problems
from ippolicy.errors import SandboxError
from ippolicy.sandbox import manifests
from ippolicy.sandbox.clock import PATIENCE_S, SandboxClock
from ippolicy.sandbox.ec2 import Ec2StandIn, Subnet
from ippolicy.sandbox.fleet import Fleet, FleetOptions, FleetReport, KubeClient, NodeSpec
from ippolicy.sandbox.fleet.kubeclient import Object
from ippolicy.sandbox.kube import EmbeddedKube
from ippolicy.sandbox.kube.objects import utc_now
from ippolicy.sandbox.operator import COMMAND, OperatorProcess
from ippolicy.sandbox.workload import Workload

T = TypeVar("T")

POLICIES: Final = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
USER: Final = "sandbox-user"
POLL_S: Final = 0.05
CLOSE_S: Final = 15.0
GOODBYE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Layout:
    """What the sandbox begins with.

    `env` changes entries of aws-node's env against the chart's (None takes one out). Nodes are
    spread over `subnets` in turn, each of which is in a zone of its own. `speed` is the clock's,
    `setup_speed` until the sandbox stands. `operator_settings` are IPPOLICY_* variables.
    With `stamped_by_clock` the embedded API dates objects by that clock, for an operator whose own
    time is the sandbox's: real time else. `elapsed` is the real time that the clock goes by.
    """

    nodes: int = 10
    pods_per_node: int = 20
    instance_type: str = "r5.xlarge"
    max_pods: int = 58
    subnets: tuple[str, ...] = ("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24")
    env: Mapping[str, str | None] = field(default_factory=dict)
    speed: float = 1.0
    setup_speed: float = 20.0
    stamped_by_clock: bool = False
    elapsed: Callable[[], float] = time.monotonic
    seed: int = 0
    fleet: FleetOptions = field(default_factory=FleetOptions)
    operator_settings: Mapping[str, str] = field(default_factory=dict)
    operator_command: Sequence[str] = COMMAND


@dataclass(frozen=True, slots=True)
class RealCluster:
    """A control plane that runs elsewhere: kubeconfigs of an admin and of the operator.

    Where it has a scheduler, it binds the workload's pods.
    """

    admin: Path
    operator: Path


class Sandbox:
    """A cluster of simulated nodes with the operator beside it. Use it in `with`.

    Attributes:
        clock: time of nodes, pods and EC2; the operator lives in real time.
        ec2: the account's EC2, with faults to order.
        kube: the embedded Kubernetes API; None on a real control plane.
        fleet, workload, client: for `run`, as they live on the sandbox's own event loop.
        operator: the operator's process, not started yet.
        node_names: the nodes of the layout.
    """

    kube: EmbeddedKube | None
    fleet: Fleet
    workload: Workload
    client: KubeClient
    operator: OperatorProcess

    def __init__(self, layout: Layout | None = None, real: RealCluster | None = None) -> None:
        self.layout = layout or Layout()
        self._real = real
        self.clock = SandboxClock(self.layout.setup_speed, real_elapsed=self.layout.elapsed)
        self.ec2 = Ec2StandIn(clock=self.clock.now, seed=self.layout.seed)
        self.subnets: tuple[str, ...] = ()
        self.node_names: tuple[str, ...] = ()
        self.kube = None
        self.folder: Path | None = None
        self._sockets = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._sockets)
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._parts = AsyncExitStack()

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="ippolicy-sandbox-"))
            self.ec2.start()
            self.run(self._assemble(self.folder))
            self.run(self._populate())
        except BaseException:
            self._close()
            raise
        self.clock.set_speed(self.layout.speed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    # -- doing --------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T], *, timeout_s: float = PATIENCE_S) -> T:
        """The result of `work` on the sandbox's event loop, where fleet and clients live."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()
            raise

    def apply_policy(self, spec: Mapping[str, Any], name: str = "default") -> Object:
        """Have an IPPolicy with this spec and no other field of the spec set.

        Raises KubeRefused with the API server's words where the spec is refused.
        """
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name},
            "spec": dict(spec),
        }
        return self.run(self.client.apply(f"{POLICIES}/{name}", body, manager=USER))

    def delete_policy(self, name: str = "default") -> None:
        """Ask for the policy's deletion; it goes when its finalizers let it."""
        self.run(self.client.delete(f"{POLICIES}/{name}"))

    def annotate_policy(self, changes: Mapping[str, str | None], name: str = "default") -> None:
        """Set annotations of the policy; None takes one off."""
        patch = {"metadata": {"annotations": dict(changes)}}
        self.run(self.client.patch(f"{POLICIES}/{name}", patch))

    def set_env(self, env: Mapping[str, str | None], *, name: str = "aws-node") -> None:
        """Change env entries of aws-node as a person would by hand; None takes one out."""
        entries = [
            {"name": key, "value": value}
            if value is not None
            else {"name": key, "$patch": "delete"}
            for key, value in env.items()
        ]
        containers = [{"name": "aws-node", "env": entries}]
        patch = {"spec": {"template": {"spec": {"containers": containers}}}}
        path = f"{manifests.DAEMON_SETS}/{name}"
        self.run(self.client.patch(path, patch, kind="application/strategic-merge-patch+json"))

    def add_nodes(self, specs: Sequence[NodeSpec], *, pods_per_node: int = 0) -> list[str]:
        """More nodes, with pods; gives their names when aws-node runs there."""

        async def add() -> list[str]:
            names = await self.fleet.add_nodes(specs)
            await self.fleet.settled()
            await self.workload.scale(dict.fromkeys(names, pods_per_node))
            return names

        return self.run(add())

    def remove_node(self, name: str) -> None:
        """Take a node away with all that is on it."""
        self.workload.forget(name)
        self.run(self.fleet.remove_node(name))

    def settle(self, *, pods: int | None = None, timeout_s: float = PATIENCE_S) -> None:
        """Wait until all is quiet on the nodes: see `Fleet.settled`."""
        self.run(self.fleet.settled(pods=pods, timeout_s=timeout_s), timeout_s=timeout_s + 5)

    # -- seeing -------------------------------------------------------------------------------

    def report(self) -> FleetReport:
        """The fleet now. Raises what went wrong inside the simulation, if anything did."""

        async def read() -> FleetReport:
            self.fleet.check()
            self.workload.check()
            return self.fleet.report()

        return self.run(read())

    def subnet_facts(self) -> tuple[Subnet, ...]:
        """The subnets of the layout as EC2 has them now."""
        return tuple(self.ec2.subnet(subnet_id) for subnet_id in self.subnets)

    def policy(self, name: str = "default") -> Object | None:
        """The IPPolicy as it is now."""
        return self.run(self.client.find(f"{POLICIES}/{name}"))

    def conditions(self, name: str = "default") -> dict[str, Object]:
        """Condition type -> condition of the policy; empty where there is no status yet."""
        status = (self.policy(name) or {}).get("status") or {}
        return {one["type"]: one for one in status.get("conditions") or ()}

    def daemonset(self, name: str = "aws-node") -> Object:
        """The DaemonSet as it is now."""
        return self.run(self.client.get(f"{manifests.DAEMON_SETS}/{name}"))

    def env(self, name: str = "aws-node") -> dict[str, str]:
        """Literal env entries of the DaemonSet's aws-node container."""
        containers = self.daemonset(name)["spec"]["template"]["spec"]["containers"]
        container = next(one for one in containers if one["name"] == "aws-node")
        return {
            one["name"]: one.get("value", "") for one in container["env"] if "valueFrom" not in one
        }

    def rolled_out(self, name: str = "aws-node") -> bool:
        """Whether every aws-node pod runs the DaemonSet's present template and is available."""
        found = self.daemonset(name)
        status = found.get("status") or {}
        desired = status.get("desiredNumberScheduled", -1)
        return bool(
            status.get("observedGeneration") == found["metadata"]["generation"]
            and status.get("updatedNumberScheduled", 0) == desired
            and status.get("numberAvailable", 0) == desired
        )

    def daemonset_generation(self, name: str = "aws-node") -> int:
        """How often the DaemonSet's spec was written, its creation included."""
        return int(self.daemonset(name)["metadata"]["generation"])

    def events(self, kind: str = "") -> list[Object]:
        """Events of all namespaces on objects of that kind, or on all, oldest first."""
        params = {"fieldSelector": f"involvedObject.kind={kind}"} if kind else {}
        items, _ = self.run(self.client.list("/api/v1/events", **params))
        return sorted(items, key=_happened_at)

    def wait(
        self, predicate: Callable[[], bool], what: str, *, timeout_s: float = PATIENCE_S
    ) -> None:
        """Poll `predicate` until it holds. Raises SandboxError that names `what`, and why not."""
        deadline_s = time.monotonic() + timeout_s
        while not predicate():
            if time.monotonic() > deadline_s:
                raise SandboxError(f"waited {timeout_s:g} s in vain for {what}\n{self.explain()}")
            time.sleep(POLL_S)

    def explain(self, name: str = "default") -> str:
        """What to look at when something did not happen: conditions, then the operator's log."""
        lines = [
            f"  {kind}={one['status']} {one.get('reason', '')}: {one.get('message', '')}"
            for kind, one in self.conditions(name).items()
        ]
        log = [f"  {line}" for line in self.operator.last_lines()]
        return "\n".join(
            [
                f"conditions of IPPolicy {name}:",
                *(lines or ["  none"]),
                f"operator ({'running' if self.operator.running else 'not running'}), last lines:",
                *(log or ["  none"]),
            ]
        )

    # -- inside -------------------------------------------------------------------------------

    async def _assemble(self, folder: Path) -> None:
        """Start what everything else stands on."""
        admin = operator = folder / "kubeconfig"
        if self._real is None:
            clock = self.clock.date if self.layout.stamped_by_clock else utc_now
            kube = EmbeddedKube(validators={KIND: problems}, clock=clock, seed=self.layout.seed)
            self.kube = await self._parts.enter_async_context(kube)
            kube.kubeconfig(admin)
        else:
            admin, operator = self._real.admin, self._real.operator
        self.client = await self._parts.enter_async_context(KubeClient(admin, user_agent=USER))
        self.fleet = await self._parts.enter_async_context(
            Fleet(
                admin,
                self.ec2,
                self.clock,
                replace(self.layout.fleet, heartbeats=self._real is not None),
            )
        )
        self.workload = await self._parts.enter_async_context(
            Workload(admin, self.clock, scheduled=self._real is not None, seed=self.layout.seed)
        )
        self.operator = OperatorProcess(
            kubeconfig=operator,
            endpoint_url=self.ec2.endpoint_url,
            region=self.ec2.region,
            log=folder / "operator.log",
            settings=self.layout.operator_settings,
            command=self.layout.operator_command,
        )

    async def _populate(self) -> None:
        """Install what a cluster on the VPC CNI has, and bring nodes and pods up."""
        layout, client = self.layout, self.client
        zones = [f"{self.ec2.region}{chr(ord('a') + i)}" for i in range(len(layout.subnets))]
        self.ec2.add_vpc("10.0.0.0/16")
        self.subnets = tuple(
            self.ec2.add_subnet(cidr, zone).id
            for cidr, zone in zip(layout.subnets, zones, strict=True)
        )
        for crd in (custom_resource_definition(), manifests.eni_config_crd()):
            path = f"{manifests.CRDS}/{crd['metadata']['name']}"
            await client.apply(path, crd, manager=manifests.INSTALLER)
            await self._established(path)
        account = manifests.aws_node_service_account()
        await client.apply(
            f"{manifests.SERVICE_ACCOUNTS}/aws-node", account, manager=manifests.INSTALLER
        )
        daemon_set = manifests.aws_node_daemon_set(layout.env)
        await client.apply(
            f"{manifests.DAEMON_SETS}/aws-node", daemon_set, manager=manifests.INSTALLER
        )
        self.node_names = tuple(
            await self.fleet.add_nodes(
                NodeSpec(
                    layout.instance_type,
                    self.subnets[number % len(self.subnets)],
                    max_pods=layout.max_pods,
                )
                for number in range(layout.nodes)
            )
        )
        await self.fleet.settled()
        await self.workload.scale(dict.fromkeys(self.node_names, layout.pods_per_node))
        await self.fleet.settled(pods=layout.nodes * layout.pods_per_node)

    async def _established(self, path: str) -> None:
        while True:
            conditions = (await self.client.get(path)).get("status", {}).get("conditions") or ()
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                return
            await asyncio.sleep(POLL_S)

    def _close(self) -> None:
        if hasattr(self, "operator"):
            self.operator.stop()
        try:
            self.run(self._end(), timeout_s=CLOSE_S)
        finally:
            self.ec2.stop()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_S)
            self._loop.close()
            if self.folder is not None:
                shutil.rmtree(self.folder, ignore_errors=True)

    async def _end(self) -> None:
        await self._parts.aclose()
        # Whatever was asked of the loop and not waited for, after an interrupt.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        # TLS takes leave of a server, which may be slow to answer, after whoever used it has gone.
        for _ in range(round(GOODBYE_S / POLL_S)):
            if len(self._sockets.get_map()) == 1:  # the loop's own
                break
            await asyncio.sleep(POLL_S)
        await asyncio.sleep(0)  # the last call of a transport


def _happened_at(event: Object) -> str:
    return str(
        event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
    )
