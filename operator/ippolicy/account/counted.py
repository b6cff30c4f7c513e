"""What every aws-node of a policy counted, as counters that only ever grow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ippolicy.account import metrics
from ippolicy.account.metric import Metric
from ippolicy.account.view import View
from ippolicy.facts import PoolCounters, PoolFacts

Growth = dict[tuple[Metric, tuple[str, ...]], float]


@dataclass(frozen=True, slots=True)
class _Last:
    """The last reading of a policy's nodes, by name."""

    uid: str
    pools: Mapping[str, PoolFacts]


class CniCounts:
    """Sums what the nodes counted since the pass before.

    A sum of the nodes' own counters would fall whenever a node goes, which a Prometheus takes for a
    restart and counts all over again.
    """

    def __init__(self) -> None:
        self._last: dict[str, _Last] = {}

    def growth(self, view: View) -> Growth:
        """What is to be added to which series; 0 where nothing was counted, so that a series is
        there before its first increase. Nodes seen for the first time add nothing."""
        name, uid = view.policy.name, view.policy.uid
        if view.rival is not None:
            self.forget(name)
            return {}
        last, pools = self._last.get(name), view.snapshot.pools
        former = last.pools if last is not None and last.uid == uid else {}
        groups = {node.name: node.group for node in view.snapshot.nodes}
        unread = {node: pool for node, pool in former.items() if node in groups}
        self._last[name] = _Last(uid, unread | dict(pools))
        growth: Growth = defaultdict(float)
        for node, pool in pools.items():
            if node in groups:
                before = former.get(node, pool).counters
                for metric, label, more in _grown(before, pool.counters, groups[node]):
                    growth[metric, (name, label)] += more
        return growth

    def forget(self, policy: str) -> None:
        """Drop what is kept of a policy that is gone."""
        self._last.pop(policy, None)


def _grown(was: PoolCounters, now: PoolCounters, group: str) -> Iterator[tuple[Metric, str, float]]:
    pairs = (
        (metrics.ADDS, {group: was.add_requests}, {group: now.add_requests}),
        (
            metrics.FAILED_ADDS,
            {group: was.no_available_addresses},
            {group: now.no_available_addresses},
        ),
        (metrics.CNI_EC2_CALLS, was.ec2_calls, now.ec2_calls),
        (
            metrics.CNI_EC2_OVERLOADS,
            was.ec2_overloads,
            dict.fromkeys(now.answers, 0) | dict(now.ec2_overloads),
        ),
    )
    for metric, before, after in pairs:
        for label, count in after.items():
            yield metric, label, max(0, count - before.get(label, 0))
