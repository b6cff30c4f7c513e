"""A textbook rule to compare with: the base-stock level of a newsvendor who reorders all the time.

Stock is what is available, an order takes a lead time, and a customer who finds none is a delayed
pod. The stock that serves the share q of customers is the q-quantile of the demand that arrives
within the lead time before a customer, the customer's own included (a pod sees the demand of its
burst, not of a random moment). Lead time: the 5 s between two passes and the 20 s that a new ENI
takes, the longest replenishment there is.
"""

from __future__ import annotations

import numpy as np

from ippolicy.ipamd import PASS_INTERVAL_S, WarmTargets
from warmpool.families import Pods

NEW_ENI_S = 20.0
LEAD_TIME_S = PASS_INTERVAL_S + NEW_ENI_S


def base_stock(pods: Pods, delayed_share: float, *, until_s: int) -> WarmTargets:
    """WARM_IP_TARGET for pods that arrive before `until_s`, of which `delayed_share` may wait."""
    arrivals = pods[pods[:, 0] < until_s, 0]
    earliest = np.searchsorted(arrivals, arrivals - LEAD_TIME_S)
    demand = np.sort(np.arange(1, len(arrivals) + 1) - earliest)
    served = int(np.ceil((1.0 - delayed_share) * len(demand) - 1e-9))
    return WarmTargets(warm_ip=int(demand[max(served, 1) - 1]))
