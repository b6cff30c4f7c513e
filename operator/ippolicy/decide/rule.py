"""The plain rule: targets from quantiles of demand.

    MINIMUM_IP_TARGET   the pods that a node has at most, but for the allowed share of time
    WARM_IP_TARGET      the spare addresses that a pod start needs at most, but for the allowed
                        share of starts: those still cooling, plus the starts since the pool
                        could last have grown

The minimum makes the steady pods of a node cost no EC2 call; the warm target covers what comes on
top of it. WARM_IP_TARGET is never 0: with 0 a node would never grow past its minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ippolicy.api import Bounds
from ippolicy.decide.demand import DemandProfile, quantile
from ippolicy.ipamd import WarmTargets

LEAN_SHARE = 0.1  # the share of time and starts that the lower bound leaves uncovered


@dataclass(frozen=True, slots=True)
class RuleTargets:
    """What the rule gives: within bounds, its lean and generous readings, and unbounded.

    `binding` is "demand" or names the bound that set a value, such as "bounds.warmIPTarget.max".
    """

    targets: WarmTargets
    lower: WarmTargets
    upper: WarmTargets
    uncapped: WarmTargets
    binding: str


def choose(
    demands: Sequence[DemandProfile],
    *,
    present: WarmTargets,
    bounds: Bounds,
    delayed_share: float,
) -> RuleTargets:
    """Targets that serve each of `demands`; WARM_ENI and WARM_PREFIX stay as in `present`."""
    uncapped = _targets(demands, present, uncovered=delayed_share)
    targets = bounded(uncapped, bounds)
    return RuleTargets(
        targets=targets,
        lower=bounded(_targets(demands, present, uncovered=LEAN_SHARE), bounds),
        upper=bounded(_targets(demands, present, uncovered=0.0), bounds),
        uncapped=uncapped,
        binding=_binding(uncapped, targets),
    )


def _targets(
    demands: Sequence[DemandProfile], present: WarmTargets, *, uncovered: float
) -> WarmTargets:
    covered = 1.0 - uncovered
    return WarmTargets(
        warm_eni=present.warm_eni,
        warm_ip=max(1, *(quantile(demand.burst_count, covered) for demand in demands)),
        minimum_ip=max(quantile(demand.level_s, covered) for demand in demands),
        warm_prefix=present.warm_prefix,
    )


def bounded(targets: WarmTargets, bounds: Bounds) -> WarmTargets:
    """The targets within the bounds that are nearest to others. Of targets that count no addresses
    WARM_PREFIX_TARGET alone has bounds."""
    warm, minimum, prefix = (
        bounds.warm_ip_target,
        bounds.minimum_ip_target,
        bounds.warm_prefix_target,
    )
    if not targets.counts_addresses:
        within = min(max(targets.warm_prefix, prefix.min), prefix.max)
        return replace(targets, warm_prefix=within if targets.warm_prefix else 0)
    return WarmTargets(
        warm_eni=targets.warm_eni,
        warm_ip=min(max(targets.warm_ip, warm.min), warm.max),
        minimum_ip=min(max(targets.minimum_ip, minimum.min), minimum.max),
        warm_prefix=targets.warm_prefix,
    )


def _binding(uncapped: WarmTargets, targets: WarmTargets) -> str:
    for name, free, bound in (
        ("warmIPTarget", uncapped.warm_ip, targets.warm_ip),
        ("minimumIPTarget", uncapped.minimum_ip, targets.minimum_ip),
    ):
        if free != bound:
            return f"bounds.{name}.{'max' if free > bound else 'min'}"
    return "demand"
