"""Drives the model's generators in tests, against a counted EC2 that can be told to refuse."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

from ippolicy.ipamd import EC2CallError, Ipamd, NodeShape, PoolSettings, Request, Sleep, Steps
from ippolicy.ipamd.cloud import NODE_SUBNET, CountedEC2, CountedSubnet

T = TypeVar("T")
SHAPE = NodeShape("m5.large", eni_limit=3, addresses_per_eni=10, max_pods=29)


class World:
    """One node and its EC2, with a clock that only sleeping and `pass_time` move.

    `refusals` maps an EC2 API to error codes for its next calls; "" lets one call through.
    """

    def __init__(
        self,
        settings: PoolSettings | None = None,
        *,
        shape: NodeShape = SHAPE,
        subnets: list[CountedSubnet] | None = None,
        seed: int = 1,
    ) -> None:
        self.now = 0.0
        self.cloud = CountedEC2(subnets or [CountedSubnet(NODE_SUBNET, 1000)])
        self.refusals: dict[str, deque[str]] = {}
        self.asked: list[Request] = []
        self.shape, self.seed = shape, seed
        self.node = self.make(settings or PoolSettings())

    def make(self, settings: PoolSettings) -> Ipamd:
        self.node = Ipamd(
            self.shape,
            settings,
            random=Random(self.seed),
            clock=lambda: self.now,
            custom_subnet=list(self.cloud.subnets)[-1],
        )
        return self.node

    def refuse(self, api: str, *codes: str) -> None:
        self.refusals[api] = deque(codes)

    def start(self, assignments: dict[str, str] | None = None) -> Counter[str]:
        return self._counted(lambda: self.node.start(assignments))

    def pass_(self, seconds: float = 5.0) -> Counter[str]:
        """Let `seconds` go by, then one pass; the EC2 calls it made, by API."""
        self.now += seconds
        return self._counted(self.node.pool_pass)

    def settle(self, passes: int = 60) -> None:
        for _ in range(passes):
            self.pass_()

    def add(self, *pods: str) -> list[str | None]:
        return [self.node.add_pod(pod) for pod in pods]

    def _counted(self, make: Callable[[], Steps[Any]]) -> Counter[str]:
        before = Counter(self.cloud.calls) + Counter(self.node.counters().ec2_errors)
        self.run(make())
        after = Counter(self.cloud.calls) + Counter(self.node.counters().ec2_errors)
        return after - before

    def run(self, steps: Steps[T]) -> T:
        try:
            request = next(steps)
            while True:
                try:
                    result = self._perform(request)
                except EC2CallError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(result)
        except StopIteration as end:
            value: T = end.value
            return value

    def _perform(self, request: Request) -> object:
        self.asked.append(request)
        if isinstance(request, Sleep):
            self.now += request.seconds
        codes = self.refusals.get(request.api_name or type(request).__name__)
        if codes and (code := codes.popleft()):
            raise EC2CallError(code, "refused")
        return self.cloud.perform(request)
