"""Turns the outside world into facts: the cluster, the metrics of aws-node, and EC2.

All I/O that reads lives here; `Observer.snapshot` gives what is known without doing any.
"""

from __future__ import annotations

from ippolicy.observe.observer import Observer, ObserveStats, Readiness
from ippolicy.observe.records import AwsNodePod
from ippolicy.observe.settings import ObserveSettings

__all__ = ["AwsNodePod", "ObserveSettings", "ObserveStats", "Observer", "Readiness"]
