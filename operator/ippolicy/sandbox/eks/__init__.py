"""EKS for the sandbox, as far as its add-on vpc-cni goes: an endpoint for boto3.

addon.py     the add-on: its updates, their time, their failures
cluster.py   what it sets on a real DaemonSet, by server-side apply as manager `eks`
standin.py   the endpoint
"""

from __future__ import annotations

from ippolicy.sandbox.eks.addon import AddonState, EksCallError, Failure
from ippolicy.sandbox.eks.cluster import DaemonSetEnv
from ippolicy.sandbox.eks.standin import EksStandIn

__all__ = ["AddonState", "DaemonSetEnv", "EksCallError", "EksStandIn", "Failure"]
