"""What a Prometheus would have seen of an aws-node, from what really happened on its node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np

from ippolicy.observe.prometheus_traces import Series, Stretch

Kind = Literal["arrive", "leave", "fail", "again", "restart", "replace"]
"""A pod came, or left; an ADD found no address, and its sandbox was deleted; a DEL was repeated;
aws-node started anew in its pod, or as another pod."""

METRICS = {
    "awscni_assigned_ip_addresses": "gauge",
    "awscni_add_ip_req_count": "counter",
    "awscni_del_ip_req_count": "counter",
    "awscni_no_available_ip_addresses": "counter",
}


class Event(NamedTuple):
    """Something that happened on a node."""

    at_s: float
    kind: Kind


class Sample(NamedTuple):
    """The metrics of one aws-node at one moment; `pod` counts its pods on this node."""

    at_s: float
    pod: int
    assigned: int
    adds: int
    dels: int
    in_vain: int


@dataclass
class AwsNodeMetrics:
    """The metrics of the aws-node of one node, as its events move them."""

    assigned: int = 0
    pod: int = 0
    adds: int = 0
    dels: int = 0
    in_vain: int = 0

    def happen(self, kind: Kind) -> None:
        """Count an event; only pods that are there can leave."""
        if kind == "arrive":
            self.assigned, self.adds = self.assigned + 1, self.adds + 1
        elif kind == "leave":
            assert self.assigned
            self.assigned, self.dels = self.assigned - 1, self.dels + 1
        elif kind == "fail":
            self.adds, self.in_vain, self.dels = self.adds + 1, self.in_vain + 1, self.dels + 1
        elif kind == "again":
            self.dels += 1
        else:
            self.adds = self.dels = self.in_vain = 0
            self.pod += kind == "replace"

    def sample(self, at_s: float) -> Sample:
        """What is scraped now."""
        return Sample(at_s, self.pod, self.assigned, self.adds, self.dels, self.in_vain)


@dataclass
class History:
    """What really happened on one node from `assigned` pods on, and when it was scraped."""

    name: str
    events: Sequence[Event]
    scraped_s: Sequence[float]
    assigned: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)

    def samples(self) -> list[Sample]:
        """One sample a scrape: what happened at the very moment is in it."""
        metrics, events, found = AwsNodeMetrics(self.assigned), list(self.events)[::-1], []
        for at_s in self.scraped_s:
            while events and events[-1].at_s <= at_s:
                metrics.happen(events.pop().kind)
            found.append(metrics.sample(at_s))
        return found

    def level(self, at_s: float) -> int:
        """The number of pods at a moment."""
        return self.assigned + self.count("arrive", at_s) - self.count("leave", at_s)

    def count(self, kind: Kind, until_s: float, since_s: float = -np.inf) -> int:
        """The events of a kind after `since_s`, up to `until_s`."""
        return sum(e.kind == kind for e in self.events if since_s < e.at_s <= until_s)

    def all_labels(self, pod: int) -> dict[str, str]:
        """The labels of the series of one aws-node pod."""
        return {"node": self.name, "pod": f"aws-node-{self.name}-{pod}", **self.labels}


def stretch(histories: Iterable[History], step_s: float) -> Stretch:
    """All that was scraped, as the answers to range queries at the moments of scrapes."""
    columns: list[list[Series]] = [[], [], [], []]
    for history in histories:
        for pod, group in groupby(history.samples(), key=lambda sample: sample.pod):
            rows = np.array([(s.at_s, *s[2:]) for s in group], dtype=np.float64).T
            for column, values in zip(columns, rows[1:], strict=True):
                column.append(Series(history.all_labels(pod), rows[0], values))
    return Stretch(step_s, *columns)


def openmetrics(histories: Iterable[History], since_s: float, until_s: float) -> str:
    """What was scraped from `since_s` on and before `until_s`, in the OpenMetrics text format.

    Counters go as of unknown type, since aws-node's names lack the suffix that OpenMetrics asks of
    counters. DELs are split by reason, as aws-node does.
    """
    rows: dict[str, list[str]] = {name: [] for name in METRICS}
    for history in histories:
        for sample in history.samples():
            if since_s <= sample.at_s < until_s:
                labels = _text(history.all_labels(sample.pod))
                assigned, adds, dels, in_vain = rows.values()
                at = f"{sample.at_s:.3f}"
                assigned.append(f"{{{labels}}} {sample.assigned} {at}")
                adds.append(f"{{{labels}}} {sample.adds} {at}")
                in_vain.append(f"{{{labels}}} {sample.in_vain} {at}")
                for reason, count in (("deleted", sample.dels // 2), ("", -(-sample.dels // 2))):
                    if count:
                        dels.append(f'{{{labels},reason="{reason}"}} {count} {at}')
    lines: list[str] = []
    for name, found in rows.items():
        lines += [f"# TYPE {name} unknown", *(f"{name}{row}" for row in found)]
    return "\n".join([*lines, "# EOF", ""])


def _text(labels: Mapping[str, str]) -> str:
    return ",".join(f'{key}="{value}"' for key, value in labels.items())
