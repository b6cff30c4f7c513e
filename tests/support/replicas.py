"""Two operators on one sandbox, one of which acts: started beside it, stopped, killed, paused."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ippolicy.cli import FAILED
from ippolicy.sandbox.clock import PATIENCE_S
from ippolicy.sandbox.cluster import Sandbox
from ippolicy.sandbox.operator import OperatorProcess
from served import page

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/ippolicy-operator"
LOOK_S = 0.2
OUT_OF_OFFICE = FAILED
"""Exit code of an operator that another one has followed."""


def elected(duration: str) -> dict[str, str]:
    """Settings of operators that elect one of themselves."""
    return {"IPPOLICY_LEASE_NAMESPACE": "kube-system", "IPPOLICY_LEASE_DURATION": duration}


class Replica:
    """One of the operators, under the name that it has in the Lease."""

    def __init__(
        self, sandbox: Sandbox, name: str, settings: Mapping[str, str] | None = None
    ) -> None:
        assert sandbox.folder is not None
        self.name = name
        self.log = sandbox.folder / f"{name}.log"
        self.process = OperatorProcess(
            kubeconfig=sandbox.operator.kubeconfig,
            endpoint_url=sandbox.ec2.endpoint_url,
            region=sandbox.ec2.region,
            log=self.log,
            command=sandbox.layout.operator_command,
            settings={
                **sandbox.layout.operator_settings,
                **(settings or {}),
                "IPPOLICY_LEASE_HOLDER": name,
            },
        )
        self._life = threading.Lock()

    def die(self) -> None:
        """End it by kill -9, and start it anew."""
        with self._life:
            self.process.kill9()
            self.process.start()

    def revive(self) -> None:
        """Start it anew if it has ended of itself."""
        with self._life:
            if self.process.ended:
                self.process.start()

    def pause(self) -> None:
        """Let nothing of it run, as on a node that stands still."""
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.process.send(signal.SIGCONT)

    def exit_code(self) -> int | None:
        """What it ends with, of itself."""
        deadline_s = time.monotonic() + PATIENCE_S
        while self.process.running:
            assert time.monotonic() < deadline_s, f"{self.name} goes on, out of office"
            time.sleep(0.02)
        return self.process.stop()

    def answers(self, path: str) -> tuple[int, str]:
        """Status and text of a probe or of the metrics; (0, "") where nobody answers."""
        return page(f"{self.process.url}{path}")


class Replicas:
    """Several operators, and the Lease by which one of them acts.

    `settings` are of one by its name, beside those that all have.
    """

    def __init__(
        self, sandbox: Sandbox, *names: str, settings: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self._sandbox = sandbox
        own = settings or {}
        self.all = tuple(Replica(sandbox, name, own.get(name)) for name in names)

    def lease(self) -> Mapping[str, Any]:
        """The spec of the Lease; empty while there is none."""
        found = self._sandbox.run(self._sandbox.client.find(LEASE))
        return (found or {}).get("spec") or {}

    def leader(self) -> Replica | None:
        """The one that holds the Lease, dead or alive."""
        name = str(self.lease().get("holderIdentity") or "").rpartition("_")[0]
        return next((one for one in self.all if one.name == name), None)

    def other_than(self, one: Replica) -> Replica:
        """Any that is not this one."""
        return next(other for other in self.all if other is not one)

    def wait_for_leader(self, *, not_one: Replica | None = None) -> tuple[Replica, float]:
        """The one in office, `not_one` put aside, and how long that took in seconds."""
        began_s = time.monotonic()
        found: list[Replica] = []

        def is_there() -> bool:
            leader = self.leader()
            found[:] = [leader] if leader is not None and leader is not not_one else []
            return bool(found)

        self._sandbox.wait(is_there, "a leader")
        return found[0], time.monotonic() - began_s


@contextmanager
def kubelet(replicas: Replicas) -> Iterator[None]:
    """Whoever ends of itself is started anew, as one does that was too late to renew the Lease."""
    over = threading.Event()

    def look_after() -> None:
        while not over.wait(LOOK_S):
            for one in replicas.all:
                one.revive()

    thread = threading.Thread(target=look_after)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()  # and with it those that it has started


@contextmanager
def two_operators(
    sandbox: Sandbox, settings: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Replicas]:
    """Two operators, `one` and `two`, that run; whatever happens to them meanwhile, none is left at
    the end. `settings` are those of each alone."""
    replicas = Replicas(sandbox, "one", "two", settings=settings)
    for one in replicas.all:
        one.process.start()
    try:
        yield replicas
    finally:
        for one in replicas.all:
            one.process.kill9()
