"""An in-memory Kubernetes API served over real HTTP, with the controllers the sandbox needs."""

from ippolicy.sandbox.kube.faults import Fault, Faults
from ippolicy.sandbox.kube.requestlog import Request, RequestLog
from ippolicy.sandbox.kube.server import EmbeddedKube

__all__ = ["EmbeddedKube", "Fault", "Faults", "Request", "RequestLog"]
