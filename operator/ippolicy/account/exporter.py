"""The metrics registry: gauges are what the last pass said, so nothing that is gone lingers."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence, Set
from enum import StrEnum

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

import ippolicy
from ippolicy.account import birth_metrics, change_metrics, metrics
from ippolicy.account.counted import CniCounts
from ippolicy.account.metric import Metric
from ippolicy.account.samples import Sample, samples
from ippolicy.account.view import View
from ippolicy.act.outcome import OutcomeKind
from ippolicy.api.status import Condition

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LOOP_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Lost(StrEnum):
    """Why an event is not to be read on the cluster."""

    REFUSED = "Refused"
    QUEUE_FULL = "QueueFull"


class Exporter(Collector):
    """Everything that /metrics serves. Safe to be called from several threads.

    A scrape formats what was stored at the last pass and reads nothing; `leading` says whether this
    operator is in office.
    """

    def __init__(self, *, leading: Callable[[], bool] = lambda: True) -> None:
        self._leading = leading
        self._gauges: dict[str, tuple[Sample, ...]] = {}
        self._counters: dict[tuple[Metric, tuple[str, ...]], float] = defaultdict(float)
        self._cni = CniCounts()
        self._loop_counts = [0] * (len(LOOP_BUCKETS_S) + 1)
        self._loop_sum_s = 0.0
        self._lock = threading.Lock()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def update(self, view: View, conditions: Sequence[Condition]) -> None:
        """Take up what a pass over a policy found; what it no longer has is served no more."""
        found = samples(view, conditions)
        with self._lock:
            self._gauges[view.policy.name] = found
            for key, more in self._cni.growth(view).items():
                self._counters[key] += more
            self._drop_groups(view.policy.name, {node.group for node in view.snapshot.nodes})

    def forget(self, policy: str) -> None:
        """Serve nothing of a policy any more, counters included."""
        with self._lock:
            self._gauges.pop(policy, None)
            self._cni.forget(policy)
            for metric, labels in tuple(self._counters):
                if metric.labels[0] == "policy" and labels[0] == policy:
                    del self._counters[metric, labels]

    def render(self) -> bytes:
        """The text that Prometheus reads, of type `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def decided(self, policy: str, reason: str) -> None:
        """A decision was made."""
        self._count(metrics.DECISIONS, policy, reason)

    def acted(self, policy: str, outcome: OutcomeKind) -> None:
        """A decision to change was carried out, or was tried to be."""
        self._count(metrics.CHANGES, policy, outcome.value)

    def rolled_back(self, policy: str, guard: str) -> None:
        """A change was undone since a guard tripped."""
        self._count(change_metrics.ROLLBACKS, policy, guard)

    def restored(self, policy: str, outcome: OutcomeKind) -> None:
        """The originals were put back, or were tried to be."""
        self._count(metrics.RESTORES, policy, outcome.value)

    def drifted(self, policy: str, entries: int) -> None:
        """Somebody else changed entries that the operator had set."""
        self._count(metrics.DRIFTS, policy, times=entries)

    def imported(self, policy: str, node_seconds: float) -> None:
        """Demand of the past was taken up from Prometheus."""
        self._count(metrics.IMPORTED, policy, times=node_seconds)

    def left_out(self, policy: str, nodes: int) -> None:
        """Demand of nodes that are gone could not be taken up."""
        self._count(metrics.IMPORT_LEFT_OUT, policy, times=nodes)

    def checkpointed(self, policy: str, outcome: str) -> None:
        """A checkpoint of demand was read or written, or was tried to be."""
        self._count(metrics.CHECKPOINTS, policy, outcome)

    def posted(self, policy: str, reason: str) -> None:
        """The API server took an event."""
        self._count(metrics.EVENTS, policy, reason)

    def lost(self, policy: str, cause: Lost) -> None:
        """An event will never be taken."""
        self._count(metrics.EVENTS_LOST, policy, cause.value)

    def called(self, kind: str, operation: str, *, times: int = 1) -> None:
        """Calls were made; `kind` is kubernetes, ec2, scrape or prometheus."""
        self._count(metrics.API_CALLS, kind, operation, times=times)

    def failed(self, kind: str, operation: str, reason: str, *, times: int = 1) -> None:
        """Calls failed; `reason` is a stable word."""
        self._count(metrics.API_ERRORS, kind, operation, reason, times=times)

    def answered(self, verdict: str, *, times: int) -> None:
        """The webhook answered about new pods."""
        self._count(birth_metrics.ANSWERS, verdict, times=times)

    def restarted(self, policy: str, group: str) -> None:
        """An aws-node was told to go, so that another is born with other targets."""
        self._count(birth_metrics.AGENT_RESTARTS, policy, group)

    def tried(self, policy: str, group: str, step: str) -> None:
        """The trial of targets by a group went a step on."""
        self._count(birth_metrics.TRIALS, policy, group, step)

    def looped(self, duration_s: float) -> None:
        """A pass over all policies took `duration_s`."""
        with self._lock:
            self._loop_counts[bisect_left(LOOP_BUCKETS_S, duration_s)] += 1
            self._loop_sum_s += duration_s

    def collect(self) -> list[Family]:
        """The metric families as of now, for the registry."""
        with self._lock:
            return [*self._gauge_families(), *self._counter_families(), self._loop_family()]

    def _drop_groups(self, policy: str, groups: Set[str]) -> None:
        gone = [
            (metric, labels)
            for metric, labels in self._counters
            if metric.labels[:2] == ("policy", "group")
            and labels[0] == policy
            and labels[1] not in groups
        ]
        for key in gone:
            del self._counters[key]

    def _count(self, metric: Metric, *labels: str, times: float = 1) -> None:
        with self._lock:
            self._counters[metric, labels] += times

    def _gauge_families(self) -> Iterator[Family]:
        families = {m: GaugeMetricFamily(m.name, m.help, labels=m.labels) for m in metrics.GAUGES}
        families[metrics.BUILD_INFO].add_metric((ippolicy.__version__,), 1.0)
        families[metrics.LEADER].add_metric((), float(self._leading()))
        for found in self._gauges.values():
            for sample in found:
                families[sample.metric].add_metric(sample.labels, sample.value)
        return (family for family in families.values() if family.samples)

    def _counter_families(self) -> Iterator[Family]:
        families = {
            m: CounterMetricFamily(m.name, m.help, labels=m.labels) for m in metrics.COUNTERS
        }
        for (metric, labels), value in self._counters.items():
            families[metric].add_metric(labels, value)
        return (family for family in families.values() if family.samples)

    def _loop_family(self) -> Family:
        family = HistogramMetricFamily(metrics.LOOP_DURATION.name, metrics.LOOP_DURATION.help)
        bounds, total, buckets = (*map(str, LOOP_BUCKETS_S), "+Inf"), 0, []
        for bound, count in zip(bounds, self._loop_counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        family.add_metric((), buckets, self._loop_sum_s)
        return family
