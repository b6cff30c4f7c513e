"""The IPPolicy resource: its types, defaults and rules, from which the CRD is generated.

from ippolicy.api import IPPolicy
policy = IPPolicy.from_raw(raw)
policy.spec.demand.window.seconds      # 86400.0
policy.spec.objective.delayed_starts_limit   # 0.005
"""

from __future__ import annotations

from ippolicy.api.objective import (
    Bounds,
    Goal,
    MinimumIPBounds,
    Objective,
    WarmIPBounds,
    WarmPrefixBounds,
)
from ippolicy.api.policy import IPPolicy
from ippolicy.api.prometheus import Prometheus, SigV4
from ippolicy.api.quantities import Duration, Share
from ippolicy.api.spec import (
    API_VERSION,
    FINALIZER,
    GROUP,
    KIND,
    PAUSED_ANNOTATION,
    PLURAL,
    VERSION,
    Apply,
    ChangePolicy,
    DaemonSetReference,
    Demand,
    EnvKey,
    Method,
    Mode,
    OnDelete,
    PolicySpec,
    Subnets,
    SubnetSelector,
    Urgent,
)
from ippolicy.api.validate import problems
from ippolicy.api.windows import Window

__all__ = [
    "API_VERSION",
    "FINALIZER",
    "GROUP",
    "KIND",
    "PAUSED_ANNOTATION",
    "PLURAL",
    "VERSION",
    "Apply",
    "Bounds",
    "ChangePolicy",
    "DaemonSetReference",
    "Demand",
    "Duration",
    "EnvKey",
    "Goal",
    "IPPolicy",
    "Method",
    "MinimumIPBounds",
    "Mode",
    "Objective",
    "OnDelete",
    "PolicySpec",
    "Prometheus",
    "Share",
    "SigV4",
    "SubnetSelector",
    "Subnets",
    "Urgent",
    "WarmIPBounds",
    "WarmPrefixBounds",
    "Window",
    "problems",
]
