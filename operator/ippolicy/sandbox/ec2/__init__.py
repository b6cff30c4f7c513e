"""A stand-in for EC2 that behaves as the real one where the VPC CNI and the operator touch it.

The protocol (parsing, XML) and the instance types are moto's; addresses, prefixes, ENIs, their
limits and shortages, paging, throttling and faults are kept here, because moto's never run out.
"""

from ippolicy.sandbox.ec2.calls import AWS_NODE, OK, OPERATOR, OTHER, Call, CallLog
from ippolicy.sandbox.ec2.cni import CniCalls
from ippolicy.sandbox.ec2.errors import Ec2CallError
from ippolicy.sandbox.ec2.faults import Faults, Loss
from ippolicy.sandbox.ec2.model import (
    Attachment,
    Instance,
    InstanceLimits,
    Interface,
    Reservation,
    Subnet,
)
from ippolicy.sandbox.ec2.standin import Ec2StandIn

__all__ = [
    "AWS_NODE",
    "OK",
    "OPERATOR",
    "OTHER",
    "Attachment",
    "Call",
    "CallLog",
    "CniCalls",
    "Ec2CallError",
    "Ec2StandIn",
    "Faults",
    "Instance",
    "InstanceLimits",
    "Interface",
    "Loss",
    "Reservation",
    "Subnet",
]
