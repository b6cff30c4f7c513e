'''The exact model of ipamd's pool manager (amazon-vpc-cni-k8s v1.23), as a library.

It knows no clock, no network and no subnet of its own. `Ipamd.start` and `Ipamd.pool_pass` are
generators: each yields requests (`ippolicy.ipamd.calls`), is sent their results, or has
`EC2CallError` thrown in. The same code runs in virtual time (`ippolicy.ipamd.replay`) and against
a real API. Pods come and go by `add_pod` and `del_pod`, also between two requests.

A driver in real time needs no more than this:

    def perform(steps, ec2):
        """Drive one generator to its end; `ec2(request)` performs a request."""
        try:
            request = next(steps)
            while True:
                try:
                    result = ec2(request)         # Sleep(seconds) and WaitForInterface, too
                except EC2CallError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(result)
        except StopIteration as end:
            return end.value

    check_entry_point(env)                        # raises EntryPointRefused: aws-node crash-loops
    node = Ipamd(
        NodeShape("m5.large", eni_limit=3, addresses_per_eni=10, max_pods=29),
        PoolSettings.from_env(env),               # {"WARM_IP_TARGET": "5", ...}
        random=Random(7),
        clock=time.monotonic,
    )
    perform(node.start(), ec2)                    # then, for as long as the node lives:
    perform(node.pool_pass(), ec2)                # 2.5 s after the start, then 5 s after each end
    address = node.add_pod("default/web-1")       # None: no address free; kubelet tries again
    node.del_pod("default/web-1")
    node.snapshot()                               # what :61678/metrics and introspection show

A restart of aws-node is a new `Ipamd` whose `start` is given the old one's `checkpoint()`.
'''

from __future__ import annotations

from ippolicy.ipamd.calls import (
    ADDRESS_LIMIT_EXCEEDED,
    INSUFFICIENT_CIDR_BLOCKS,
    INSUFFICIENT_FREE_ADDRESSES,
    AssignAddresses,
    AttachedENI,
    AttachInterface,
    CreateInterface,
    CreateTags,
    DeleteInterface,
    DescribeInstances,
    DescribeInterfaces,
    DescribeLeakedInterfaces,
    DescribeSubnets,
    DetachInterface,
    EC2CallError,
    ModifyInterface,
    Request,
    Sleep,
    Steps,
    SubnetFact,
    UnassignAddresses,
    WaitForInterface,
)
from ippolicy.ipamd.node import PASS_INTERVAL_S, Ipamd, NodeInitFailed
from ippolicy.ipamd.settings import PoolSettings, WarmTargets, check_entry_point
from ippolicy.ipamd.shape import NodeShape
from ippolicy.ipamd.snapshot import Counters, ENIView, Snapshot

__all__ = [
    "ADDRESS_LIMIT_EXCEEDED",
    "INSUFFICIENT_CIDR_BLOCKS",
    "INSUFFICIENT_FREE_ADDRESSES",
    "PASS_INTERVAL_S",
    "AssignAddresses",
    "AttachInterface",
    "AttachedENI",
    "Counters",
    "CreateInterface",
    "CreateTags",
    "DeleteInterface",
    "DescribeInstances",
    "DescribeInterfaces",
    "DescribeLeakedInterfaces",
    "DescribeSubnets",
    "DetachInterface",
    "EC2CallError",
    "ENIView",
    "Ipamd",
    "ModifyInterface",
    "NodeInitFailed",
    "NodeShape",
    "PoolSettings",
    "Request",
    "Sleep",
    "Snapshot",
    "Steps",
    "SubnetFact",
    "UnassignAddresses",
    "WaitForInterface",
    "WarmTargets",
    "check_entry_point",
]
