"""What is ahead of subnets and zones, as series: (metric, labels, value)."""

from __future__ import annotations

from collections.abc import Iterator

from ippolicy.account import metrics
from ippolicy.account.ahead import bounds
from ippolicy.account.metric import Metric
from ippolicy.account.view import View
from ippolicy.decide.subnets.ahead import Ahead

Row = tuple[Metric, tuple[str, ...], float]


def ahead_rows(view: View) -> Iterator[Row]:
    """Every series of what is ahead."""
    if view.ahead is not None:
        yield from _exhaustions(view.policy.name, view.ahead, view.now_s)
        yield from _headroom(view.policy.name, view.ahead)
        yield from _zone_losses(view.policy.name, view.ahead)
    if view.decision is not None and view.decision.braking is not None:
        yield metrics.BRAKE_STEP, (view.policy.name,), float(view.decision.braking.step)


def _exhaustions(policy: str, ahead: Ahead, now_s: float) -> Iterator[Row]:
    for subnet in ahead.outlook.subnets:
        labels = (policy, subnet.subnet_id, subnet.zone)
        for bound, at_s in bounds(subnet.free, now_s):
            yield metrics.SUBNET_EXHAUSTED, (*labels, bound), at_s
        for bound, at_s in bounds(subnet.leanest, now_s):
            yield metrics.SUBNET_LEANEST_EXHAUSTED, (*labels, bound), at_s
    for zone, forecast in ahead.outlook.zones.items():
        for bound, at_s in bounds(forecast, now_s):
            yield metrics.ZONE_EXHAUSTED, (policy, zone, bound), at_s


def _headroom(policy: str, ahead: Ahead) -> Iterator[Row]:
    zones = {subnet.subnet_id: subnet.zone for subnet in ahead.outlook.subnets}
    for row in ahead.headroom:
        labels = (policy, row.subnet_id, zones[row.subnet_id], row.group)
        yield metrics.SUBNET_HEADROOM, (*labels, "in_force"), float(row.present.nodes)
        yield metrics.SUBNET_HEADROOM, (*labels, "recommended"), float(row.recommended.nodes)


def _zone_losses(policy: str, ahead: Ahead) -> Iterator[Row]:
    for loss in ahead.zone_losses:
        labels = (policy, loss.zone)
        yield metrics.ZONE_LOSS_SHORT, (*labels, "in_force"), float(loss.present.short)
        yield metrics.ZONE_LOSS_SHORT, (*labels, "recommended"), float(loss.recommended.short)
