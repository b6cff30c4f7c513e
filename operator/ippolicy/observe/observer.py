"""The observe room as one object: starts the sources, and gives snapshots of what they know."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from random import Random

from ippolicy.facts import (
    DaemonSetRef,
    PodEvent,
    Snapshot,
    SourceName,
    SourceState,
    SubnetSelection,
)
from ippolicy.observe.cluster import Cluster
from ippolicy.observe.ec2 import Ec2Facts
from ippolicy.observe.ec2_client import Ec2Client, Questions
from ippolicy.observe.fetch import DirectFetch, Fetch, ProxyFetch
from ippolicy.observe.records import AwsNodePod
from ippolicy.observe.scrape import DURATION_BUCKETS_S, Scraper
from ippolicy.observe.settings import ObserveSettings
from ippolicy.observe.surroundings import Surroundings
from ippolicy.observe.transport import Transport


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether decisions can be made on the caches; `reasons` say what is missing, one line each."""

    ready: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ObserveStats:
    """What observing has cost so far, as counters for metrics.

    `calls` and `errors` are keyed by (source, operation) and (source, reason). `events` and
    `relists` are by source. `scrape_buckets` maps upper bound in seconds -> readings within it.
    """

    calls: Mapping[tuple[str, str], int]
    errors: Mapping[tuple[str, str], int]
    events: Mapping[SourceName, int]
    relists: Mapping[SourceName, int]
    scrapes: int
    scrape_sum_s: float
    scrape_buckets: Mapping[float, int]


class Observer:
    """Watches the cluster, scrapes aws-node and asks EC2, all in the background.

    `on_pod_event` is told of arrivals and departures on the event loop. `endpoint` (aws-node pod
    -> URL of its metrics) and `questions` replace where metrics and EC2 answers come from.
    """

    def __init__(
        self,
        api: Transport,
        settings: ObserveSettings,
        *,
        on_pod_event: Callable[[PodEvent], None],
        endpoint: Callable[[AwsNodePod], str] | None = None,
        questions: Questions | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._refs: frozenset[DaemonSetRef] = frozenset()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self.cluster = Cluster(
            api,
            settings,
            on_pod_event,
            clock=clock,
            sleep=sleep,
            random=random or Random(),  # noqa: S311  (jitter, not secrets)
        )
        fetch: Fetch = (
            ProxyFetch(api, settings)
            if settings.scrape_via == "proxy" and endpoint is None
            else DirectFetch(settings, endpoint)
        )
        self.scraper = Scraper(self._readable, fetch, settings, clock=clock, sleep=sleep)
        self.ec2 = Ec2Facts(
            self.cluster.nodes_with_pools,
            questions or Ec2Client(settings, clock=clock),
            settings,
            clock=clock,
        )
        self.surroundings = Surroundings(api, self.cluster, self.ec2, settings, clock=clock)

    @property
    def refs(self) -> frozenset[DaemonSetRef]:
        """The DaemonSets that are observed."""
        return self._refs

    async def set_refs(self, refs: Iterable[DaemonSetRef]) -> None:
        """Observe exactly these DaemonSets, from now on."""
        self._refs = frozenset(refs)
        await self.cluster.set_namespaces(ref.namespace for ref in self._refs)

    async def start(self) -> None:
        """Start all sources; returns at once, `readiness` tells when the caches are filled."""
        self.cluster.start()
        self._tasks = (
            asyncio.create_task(self.scraper.run()),
            asyncio.create_task(self._ask_ec2()),
        )

    async def stop(self) -> None:
        """Stop all sources; the caches stay readable."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.cluster.stop()

    def select_subnets(self, selections: Iterable[SubnetSelection]) -> None:
        """Ask EC2 for these subnets, too, besides those of the nodes' ENIs."""
        self.ec2.selections = frozenset(selection for selection in selections if selection)

    def snapshot(
        self, ref: DaemonSetRef, now_s: float, selection: SubnetSelection | None = None
    ) -> Snapshot:
        """All facts about the nodes of `ref` as the caches have them now; no I/O.

        The subnets are those of `selection`, or else of the nodes' ENIs and those that aws-node
        may make more ENIs in. Where no node has an aws-node, all nodes count for that.
        """
        view = self.cluster.node_view(ref, now_s)
        pods, agents = self._readable(ref), self.cluster.aws_node_pods(ref)
        limits, unknown = self.ec2.limits_of(view.nodes)
        around = self.surroundings.seen(ref, view.nodes, now_s, selection)
        return Snapshot(
            taken_at_s=now_s,
            daemon_set=self.cluster.daemon_set(ref),
            nodes=view.nodes,
            left_out=view.left_out,
            pods_per_node=self.cluster.pods_on(view.nodes),
            pools=self.scraper.pools(pods, now_s),
            coverage=self.scraper.coverage(pods, now_s),
            limits=limits,
            unknown_types=unknown,
            subnets=around.subnets,
            sources=self._states(pods, now_s, ref.namespace, selection),
            inventories=around.inventories,
            reservations=around.reservations,
            instances=around.instances,
            cni=around.cni,
            windows_ipam=around.windows_ipam,
            agents={pod.node: pod.agent for pod in agents},
            waiting=self.cluster.waiting_on(view.nodes),
        )

    def readiness(self, now_s: float) -> Readiness:
        """Ready = every list is complete and fresh, and metrics and EC2 were tried at least once.

        What metrics or EC2 lack does not make the operator unready: it goes on without them.
        """
        unsynced = self.cluster.unsynced()
        states = self.cluster.states(now_s)
        reasons = [self._not_listed(name, states[name]) for name in unsynced]
        for name, state in states.items():
            if name not in unsynced and state.age_s(now_s) > self._settings.facts_max_age_s:
                reasons.append(
                    f"{name} were last heard of {state.age_s(now_s):.0f} s ago: {state.error}"
                )
        if not unsynced:
            if untried := self.scraper.untried():
                reasons.append(f"metrics of {untried} aws-node pods were not read yet")
            reasons.extend(f"{name} was not asked yet" for name in self.ec2.untried())
        if crash := self._crashed():
            reasons.append(f"observing broke down ({crash}): restart the operator")
        return Readiness(not reasons, tuple(reasons))

    def stats(self) -> ObserveStats:
        """Counters since the start."""
        calls: dict[tuple[str, str], int] = {}
        errors: dict[tuple[str, str], int] = {}
        for name, counters in self.cluster.counters.items():
            calls[name, "list"] = counters.pages
            calls[name, "watch"] = counters.watches
            errors |= {(name, reason): n for reason, n in counters.errors.items()}
        calls[SourceName.METRICS, "scrape"] = self.scraper.reads
        errors |= {(SourceName.METRICS, r): n for r, n in self.scraper.errors.items()}
        calls |= {("ec2", operation): n for operation, n in self.ec2.client.calls.items()}
        errors |= {("ec2", reason): n for reason, n in self.ec2.client.errors.items()}
        durations = self.scraper.durations
        return ObserveStats(
            calls=calls,
            errors=errors,
            events={name: c.events for name, c in self.cluster.counters.items()},
            relists={name: c.relists for name, c in self.cluster.counters.items()},
            scrapes=durations.count,
            scrape_sum_s=durations.sum_s,
            scrape_buckets=dict(zip(DURATION_BUCKETS_S, durations.buckets, strict=True)),
        )

    def _readable(self, ref: DaemonSetRef | None = None) -> list[AwsNodePod]:
        """The aws-node pods that are up: one that is starting has nothing to be read, and the
        DaemonSet's own status tells of it."""
        return [pod for pod in self.cluster.aws_node_pods(ref) if pod.ready]

    async def _ask_ec2(self) -> None:
        """Ask EC2, each time with what the cluster says of where to look."""
        await self.cluster.nodes_listed()
        while True:
            await self.surroundings.look(self._refs)
            await self.ec2.refresh()
            await self._sleep(self._settings.ec2_poll_s)

    def _states(
        self,
        pods: list[AwsNodePod],
        now_s: float,
        namespace: str,
        selection: SubnetSelection | None,
    ) -> dict[SourceName, SourceState]:
        return {
            **self.cluster.states(now_s, namespace),
            SourceName.METRICS: self.scraper.state(pods, now_s),
            **self.ec2.states(selection),
            **self.surroundings.states(),
        }

    def _not_listed(self, name: SourceName, state: SourceState) -> str:
        return f"{name} not listed yet" + (f": {state.error}" if state.error else "")

    def _crashed(self) -> str | None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                return f"{type(error).__name__}: {error}"
        return self.cluster.crashed()
