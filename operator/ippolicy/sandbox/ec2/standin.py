"""EC2 for the sandbox: a real endpoint for boto3, and the same thing in process for the fleet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Self

from ippolicy.errors import SandboxError
from ippolicy.sandbox.ec2.calls import CallLog
from ippolicy.sandbox.ec2.cni import CniCalls
from ippolicy.sandbox.ec2.faults import Faults
from ippolicy.sandbox.ec2.network import Network
from ippolicy.sandbox.ec2.seed import Seeding
from ippolicy.sandbox.ec2.server import Server


class Ec2StandIn(Seeding):
    """One AWS account's EC2 in one Region; several in a process share nothing.

    Seed it, `start()` it (or use it as a context manager), point boto3's `endpoint_url` at
    `endpoint_url` with any credentials, and give each simulated node `cni(instance_id)`.
    Nothing but HTTP needs `start()`.

    `faults` sets what goes wrong, `calls` tells who called what. `clock` gives seconds since
    1970: it fills the throttling buckets and dates attachments. `seed` fixes the ids and which
    addresses EC2 picks.
    """

    def __init__(
        self,
        *,
        region: str = "us-west-2",
        account_id: str = "111122223333",
        clock: Callable[[], float] = time.time,
        seed: int = 0,
    ) -> None:
        super().__init__(Network(region=region, account_id=account_id, clock=clock, seed=seed))
        self.region = region
        self.faults = Faults(clock=clock, account_id=account_id)
        self.calls = CallLog()
        self._clock = clock
        self._server: Server | None = None

    def start(self) -> Self:
        """Answer HTTP on a free port of 127.0.0.1. Raises SandboxError if started twice."""
        if self._server is not None:
            raise SandboxError("the EC2 stand-in runs already: stop it before starting it again")
        self._server = Server(self._network, self.faults, self.calls, self._clock)
        return self

    def stop(self) -> None:
        """Close the port and every connection, hanging ones too; what was seeded stays."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint_url(self) -> str:
        """`http://127.0.0.1:port`; SandboxError while stopped."""
        if self._server is None:
            raise SandboxError("the EC2 stand-in is not running: call start() first")
        return self._server.url

    def cni(
        self, instance_id: str, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> CniCalls:
        """The calls that aws-node on this instance makes; `sleep` awaits injected latency."""
        return CniCalls(
            instance_id,
            network=self._network,
            faults=self.faults,
            calls=self.calls,
            clock=self._clock,
            sleep=sleep,
        )
