"""Reads the metrics port of every aws-node, a few at a time, spread over the interval."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from ippolicy.errors import ScrapeFailed
from ippolicy.facts import Coverage, PoolFacts, SourceState
from ippolicy.observe.fetch import FORBIDDEN, Fetch
from ippolicy.observe.metrics import CounterState, parse
from ippolicy.observe.records import AwsNodePod
from ippolicy.observe.settings import ObserveSettings

DURATION_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COUNTERS_KEPT_S = 900.0
FIRST_READING_S = 5.0


@dataclass(slots=True)
class Durations:
    """Histogram of the times of readings; `buckets[i]` counts those within the i-th bound."""

    count: int = 0
    sum_s: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * len(DURATION_BUCKETS_S))

    def add(self, span_s: float) -> None:
        """Take in one reading's time."""
        self.count += 1
        self.sum_s += span_s
        for index, bound_s in enumerate(DURATION_BUCKETS_S):
            self.buckets[index] += span_s <= bound_s


@dataclass(slots=True)
class _Target:
    pod: AwsNodePod
    slot: int
    first_at_s: float
    misses: int = 0
    reason: str = ""
    tried: bool = False
    busy: bool = False
    facts: PoolFacts | None = None


@dataclass(slots=True)
class _Counted:
    state: CounterState
    used_at_s: float


class Scraper:
    """Keeps the last reading of each aws-node pod that `targets()` lists.

    Each node has its own moment in the interval, from a hash of its name, so that readings are
    spread evenly and stay so across restarts. A reading belongs to one pod (by uid): it is dropped
    with the pod, and an answer that arrives after its pod is gone is thrown away. Counters belong
    to the node and go on with its next pod.
    """

    def __init__(
        self,
        targets: Callable[[], Iterable[AwsNodePod]],
        fetch: Fetch,
        settings: ObserveSettings,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.durations = Durations()
        self.reads = 0
        self.errors: Counter[str] = Counter()
        self._listed = targets
        self._fetch = fetch
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._targets: dict[str, _Target] = {}
        self._counted: dict[str, _Counted] = {}
        self._running = asyncio.Semaphore(settings.scrape_concurrency)
        self._tasks: set[asyncio.Task[None]] = set()
        self._succeeded_at_s: float | None = None
        self._filled = False

    async def run(self) -> None:
        """Read each pod once an interval until cancelled."""
        interval_s = self._settings.scrape_interval_s
        try:
            while True:
                self._start_due()
                await self._sleep(min(1.0, interval_s / 10))
        finally:
            await self._abandon()

    async def scrape_now(self) -> None:
        """Read every listed pod once, and wait for all of them."""
        self._renew()
        await asyncio.gather(*(self._read(target) for target in self._targets.values()))

    def pools(self, pods: Iterable[AwsNodePod], now_s: float) -> dict[str, PoolFacts]:
        """Node name -> last reading, of those `pods` that have one that is not stale."""
        return {
            pod.node: facts
            for pod in pods
            if (facts := self._fresh(self._targets.get(pod.node), pod, now_s)) is not None
        }

    def coverage(self, pods: Iterable[AwsNodePod], now_s: float) -> Coverage:
        """How many of `pods` have a fresh reading, and how many were missed too often."""
        listed = list(pods)
        targets = [self._target_of(pod) for pod in listed]
        stale = sum(t is not None and t.misses >= self._settings.scrape_max_misses for t in targets)
        return Coverage(len(listed), len(self.pools(listed, now_s)), stale)

    def untried(self) -> int:
        """Pods that no reading was tried of yet, until all that are listed had their turn once.

        From then on 0: in a rollout of aws-node there is always a pod that is new.
        """
        targets = [self._target_of(pod) for pod in self._listed()]
        untried = sum(target is None or not target.tried for target in targets)
        self._filled = self._filled or (bool(targets) and not untried)
        return 0 if self._filled else untried

    def state(self, pods: Iterable[AwsNodePod], now_s: float) -> SourceState:
        """Failing when there are pods but none could be read; single misses show in coverage."""
        listed = list(pods)
        if not listed:
            return SourceState(succeeded_at_s=now_s)
        targets = [t for pod in listed if (t := self._target_of(pod)) is not None]
        if not targets or any(not target.misses for target in targets):
            return SourceState(self._succeeded_at_s)
        reasons = Counter(target.reason for target in targets).most_common()
        causes = ", ".join(f"{count} {reason}" for reason, count in reasons)
        fix = (
            "allow get pods/proxy to the operator's service account"
            if reasons[0][0] == FORBIDDEN
            else f"allow TCP {self._settings.scrape_port} from the operator to the nodes, or read "
            "through the API server's pod proxy"
        )
        return SourceState(
            self._succeeded_at_s,
            f"none of {len(listed)} aws-node pods could be read ({causes}): {fix}",
        )

    def _start_due(self) -> None:
        self._renew()
        now_s = self._clock()
        for node, target in self._targets.items():
            slot = self._slot(node, now_s)
            due = slot != target.slot if target.tried else now_s >= target.first_at_s
            if due and not target.busy:
                target.slot = slot
                task = asyncio.create_task(self._read(target))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _renew(self) -> None:
        """Follow the listed pods: gone ones are dropped at once, new ones are read within seconds,
        though not all at the same moment."""
        now_s = self._clock()
        listed = {pod.node: pod for pod in self._listed()}
        for node in set(self._targets) - set(listed):
            del self._targets[node]
        for node, pod in listed.items():
            target = self._targets.get(node)
            if target is None or target.pod.uid != pod.uid:
                first_s = min(FIRST_READING_S, self._settings.scrape_interval_s)
                first_at_s = now_s + _fraction(node) * first_s
                self._targets[node] = _Target(pod, self._slot(node, now_s), first_at_s)
            else:
                target.pod = pod
            if node in self._counted:
                self._counted[node].used_at_s = now_s
        for node, counted in list(self._counted.items()):
            if now_s - counted.used_at_s > COUNTERS_KEPT_S:
                del self._counted[node]

    def _slot(self, node: str, now_s: float) -> int:
        """Number of the interval that `now_s` is in, on this node's own time line."""
        interval_s = self._settings.scrape_interval_s
        return int((now_s - _fraction(node) * interval_s) // interval_s)

    async def _read(self, target: _Target) -> None:
        if target.busy:
            return  # two answers of one pod could be taken in the wrong order
        target.busy = True
        try:
            async with self._running:
                await self._read_now(target)
        finally:
            target.busy = False

    async def _read_now(self, target: _Target) -> None:
        pod = target.pod
        started_at_s = self._clock()
        try:
            reading = parse(await self._fetch(pod))
        except ScrapeFailed as error:
            self.errors[error.reason] += 1
            target.misses += 1
            target.reason = error.reason
            return
        finally:
            target.tried = True
            self.reads += 1
            self.durations.add(max(0.0, self._clock() - started_at_s))
        if self._target_of(pod) is not target:
            return
        now_s = self._clock()
        counted = self._counted.setdefault(pod.node, _Counted(CounterState(), now_s))
        counters = counted.state.update(reading, pod.uid)
        target.misses, target.reason = 0, ""
        target.facts = PoolFacts(
            node=pod.node,
            held=reading.held,
            assigned=reading.assigned,
            enis=reading.enis,
            enis_max=reading.enis_max,
            prefixes=reading.prefixes,
            cni_version=reading.cni_version,
            counters=counters,
            read_at_s=now_s,
            restarts=counted.state.restarts,
            held_max=reading.held_max,
        )
        self._succeeded_at_s = now_s

    def _target_of(self, pod: AwsNodePod) -> _Target | None:
        target = self._targets.get(pod.node)
        return target if target is not None and target.pod.uid == pod.uid else None

    def _fresh(self, target: _Target | None, pod: AwsNodePod, now_s: float) -> PoolFacts | None:
        settings = self._settings
        if target is None or target.facts is None or target.pod.uid != pod.uid:
            return None
        # By age too: a loop that stands still misses nothing and would keep old facts for ever.
        oldest_s = settings.scrape_interval_s * (settings.scrape_max_misses + 1)
        if target.misses >= settings.scrape_max_misses or now_s - target.facts.read_at_s > oldest_s:
            return None
        return target.facts

    async def _abandon(self) -> None:
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._fetch.close()


def _fraction(node: str) -> float:
    """A node's own number from 0 to 1, the same at every start."""
    return zlib.crc32(node.encode()) / 2**32
