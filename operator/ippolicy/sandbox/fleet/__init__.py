"""Simulated nodes: each plays kubelet and aws-node for a cluster and holds addresses in EC2."""

from ippolicy.sandbox.fleet.awsnode import AwsNodeState, Timings
from ippolicy.sandbox.fleet.endpoints import METRICS_PORT, MetricsFault
from ippolicy.sandbox.fleet.fleet import Fleet, FleetOptions
from ippolicy.sandbox.fleet.kubeclient import KubeClient, KubeRefused
from ippolicy.sandbox.fleet.objects import NodeSpec
from ippolicy.sandbox.fleet.process import Refusal
from ippolicy.sandbox.fleet.report import FleetReport, NodeReport
from ippolicy.sandbox.fleet.starts import PodStart

__all__ = [
    "METRICS_PORT",
    "AwsNodeState",
    "Fleet",
    "FleetOptions",
    "FleetReport",
    "KubeClient",
    "KubeRefused",
    "MetricsFault",
    "NodeReport",
    "NodeSpec",
    "PodStart",
    "Refusal",
    "Timings",
]
