"""Many nodes times many settings, replayed at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ippolicy.errors import ModelError
from ippolicy.ipamd.cloud import Latency
from ippolicy.ipamd.fast import kernel as layout
from ippolicy.ipamd.fast import state as requests
from ippolicy.ipamd.fast.compiled import compile_kernel
from ippolicy.ipamd.fast.state import MOST_ROWS, State, new_state
from ippolicy.ipamd.fast.tables import (
    event_table,
    node_table,
    option_table,
    pods_of,
    setting_table,
)
from ippolicy.ipamd.fast.trace import Trace
from ippolicy.ipamd.settings import PoolSettings
from ippolicy.ipamd.shape import NodeShape

API_NAMES: Final = (
    "AssignPrivateIpAddresses",
    "AttachNetworkInterface",
    "CreateNetworkInterface",
    "CreateTags",
    "DeleteNetworkInterface",
    "DescribeInstances",
    "DescribeNetworkInterfaces",
    "DescribeSubnets",
    "DetachNetworkInterface",
    "ModifyNetworkInterfaceAttribute",
    "UnassignPrivateIpAddresses",
)
MUTATING: Final = tuple(name for name in API_NAMES if not name.startswith("Describe"))
_REQUESTS_OF: Final[dict[str, tuple[int, ...]]] = {
    "AssignPrivateIpAddresses": (requests.ASSIGN,),
    "AttachNetworkInterface": (requests.ATTACH,),
    "CreateNetworkInterface": (requests.CREATE,),
    "CreateTags": (requests.START,),
    "DeleteNetworkInterface": (requests.DELETE,),
    "DescribeInstances": (requests.INSTANCES,),
    "DescribeNetworkInterfaces": (requests.DESCRIBE, requests.LEAK_SCAN, requests.START),
    "DescribeSubnets": (requests.MAKE_SUBNETS, requests.SET_UP_SUBNETS, requests.START),
    "DetachNetworkInterface": (requests.DETACH,),
    "ModifyNetworkInterfaceAttribute": (requests.MODIFY, requests.START),
    "UnassignPrivateIpAddresses": (requests.UNASSIGN,),
}
_SIMPLE_WEIGHTS: Final = {
    "AssignPrivateIpAddresses": 1,
    "CreateNetworkInterface": 3,
    "UnassignPrivateIpAddresses": 1,
    "DeleteNetworkInterface": 2,
}

_BLOCK: Final = 64
"""Nodes whose events are laid out at a time, which bounds the memory beside the results."""

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GridResult:
    """What each lane came to: every array is [node, setting].

    `pods` came in the scored time, `delayed` of them had no address at their first ADD,
    `delayed_cooling` of these while addresses were cooling down. `wait_s` is what pods waited in
    sum until they got an address or gave up; `unserved` still wait at the end. Means are over
    time: addresses held, addresses of pods, ENIs; `max_held` and `max_assigned` are peaks.
    `calls` is [node, setting, API] in the order of `API_NAMES`, the start of ipamd and the hourly
    look for ENIs left behind included.
    """

    pods: Ints
    delayed: Ints
    delayed_cooling: Ints
    unserved: Ints
    wait_s: Ints
    max_held: Ints
    max_assigned: Ints
    mean_held: Floats
    mean_assigned: Floats
    mean_enis: Floats
    calls: Ints

    @property
    def mean_idle(self) -> Floats:
        """Addresses held that no pod has, mean over time."""
        return self.mean_held - self.mean_assigned

    @property
    def total_calls(self) -> Ints:
        """All EC2 calls."""
        calls: Ints = self.calls.sum(axis=2, dtype=np.int32)
        return calls

    @property
    def mutating_calls(self) -> Ints:
        """EC2 calls that change something, which draw on the smaller of EC2's two budgets."""
        return self._weighed(dict.fromkeys(MUTATING, 1))

    @property
    def simple_calls(self) -> Ints:
        """A coarse count: 1 to assign or unassign, 3 for a new ENI, 2 to free one."""
        return self._weighed(_SIMPLE_WEIGHTS)

    def _weighed(self, weights: dict[str, int]) -> Ints:
        factors = np.array([weights.get(name, 0) for name in API_NAMES], dtype=np.int32)
        weighed: Ints = self.calls @ factors
        return weighed


def replay_grid(
    shapes: Sequence[NodeShape],
    traces: Sequence[Trace],
    settings: Sequence[PoolSettings],
    *,
    seed: int,
    latency: Latency | None = None,
    retry_s: int = 1,
    score_from_s: float = 0.0,
    leak_scans: bool = True,
) -> GridResult:
    """Replay every trace, on the node of its shape, under every setting.

    One shape and one trace a node, in the same order. Subnets have addresses without end. EC2 takes
    its default `latency` unless told otherwise; a pod without address tries again every `retry_s`
    seconds; what comes before `score_from_s` is played but not counted. `seed` settles every
    random choice, alike for all settings of a node. One core is busy until it returns, without the
    interpreter's lock: run it in a thread. The first call in a process compiles or loads the code.

    Raises:
        ModelError: shapes and traces differ in number, or a setting or shape is beyond this form:
            `replay_lane` plays custom networking, trunk ENIs, and nodes without subnet discovery.
    """
    _check(shapes, traces, settings, retry_s)
    shape = (len(traces), len(settings))
    counts = np.zeros((*shape, layout.OUT_COLUMNS), dtype=np.int32)
    means = np.zeros((*shape, layout.MEAN_COLUMNS), dtype=np.float64)
    options = option_table(latency or Latency(), retry_s, score_from_s, leak_scans=leak_scans)
    for first in range(0, len(traces) if settings else 0, _BLOCK):
        block = slice(first, first + _BLOCK)
        compile_kernel()(
            *_room(shapes[block], traces[block]),
            node_table(shapes[block], traces[block], seed, first),
            np.array([trace.span_s for trace in traces[block]], dtype=np.float64),
            setting_table(settings),
            options,
            event_table(traces[block]),
            counts[block],
            means[block],
        )
    return _result(counts, means)


def _room(shapes: Sequence[NodeShape], traces: Sequence[Trace]) -> State:
    return new_state(
        enis=max(shape.eni_limit for shape in shapes),
        slots=max(shape.slots for shape in shapes),
        pods=max(map(pods_of, traces)),
    )


def _check(
    shapes: Sequence[NodeShape],
    traces: Sequence[Trace],
    settings: Sequence[PoolSettings],
    retry_s: int,
) -> None:
    if len(shapes) != len(traces):
        raise ModelError(f"{len(shapes)} shapes for {len(traces)} traces: give one a node")
    if retry_s < 1:
        raise ModelError(f"retry_s {retry_s} is no pause between tries: give 1 or more")
    for setting in settings:
        if setting.custom_networking or setting.pod_eni or not setting.subnet_discovery:
            raise ModelError(
                "the grid knows no custom networking, no ENABLE_POD_ENI and no "
                "ENABLE_SUBNET_DISCOVERY=false: replay such a setting with replay_lane"
            )
    for shape in set(shapes):
        if shape.slots < 1 or shape.eni_limit + 2 > MOST_ROWS:
            raise ModelError(
                f"{shape.instance_type}: {shape.eni_limit} ENIs of {shape.slots} secondary "
                "addresses are beyond the grid: leave the node out"
            )


def _result(counts: Ints, means: Floats) -> GridResult:
    made = counts[:, :, layout.OUT_REQUESTS :]
    return GridResult(
        pods=counts[:, :, layout.OUT_PODS],
        delayed=counts[:, :, layout.OUT_DELAYED],
        delayed_cooling=counts[:, :, layout.OUT_DELAYED_COOLING],
        unserved=counts[:, :, layout.OUT_UNSERVED],
        wait_s=counts[:, :, layout.OUT_WAIT_S],
        max_held=counts[:, :, layout.OUT_MAX_HELD],
        max_assigned=counts[:, :, layout.OUT_MAX_ASSIGNED],
        mean_held=means[:, :, layout.MEAN_HELD],
        mean_assigned=means[:, :, layout.MEAN_ASSIGNED],
        mean_enis=means[:, :, layout.MEAN_ENIS],
        calls=np.stack(
            [made[:, :, list(_REQUESTS_OF[name])].sum(axis=2) for name in API_NAMES],
            axis=2,
            dtype=np.int32,
        ),
    )
