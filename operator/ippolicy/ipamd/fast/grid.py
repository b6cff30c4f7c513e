"""Many nodes times many settings, replayed at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ippolicy.errors import ModelError
from ippolicy.ipamd.cloud import Latency
from ippolicy.ipamd.fast import kernel as layout
from ippolicy.ipamd.fast import state as requests
from ippolicy.ipamd.fast.compiled import kernel
from ippolicy.ipamd.fast.draws import lane_seed
from ippolicy.ipamd.fast.pods import DEPARTURE, NO_LIFE
from ippolicy.ipamd.fast.state import Limits, new_state
from ippolicy.ipamd.fast.trace import Trace
from ippolicy.ipamd.settings import PoolSettings
from ippolicy.ipamd.shape import ADDRESSES_PER_PREFIX, NodeShape

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
        return self.calls.sum(axis=2, dtype=np.int32)

    @property
    def mutating_calls(self) -> Ints:
        """EC2 calls that change something, which draw on the smaller of EC2's two budgets."""
        return self._weighed({name: 1 for name in MUTATING})

    @property
    def simple_calls(self) -> Ints:
        """A coarse count: 1 to assign or unassign, 3 for a new ENI, 2 to free one."""
        return self._weighed(_SIMPLE_WEIGHTS)

    def _weighed(self, weights: dict[str, int]) -> Ints:
        factors = np.array([weights.get(name, 0) for name in API_NAMES], dtype=np.int32)
        return self.calls @ factors


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
    nodes, events = _nodes(shapes, traces, seed), _events(traces)
    shape = (len(traces), len(settings))
    counts = np.zeros((*shape, layout.OUT_COLUMNS), dtype=np.int32)
    means = np.zeros((*shape, layout.MEAN_COLUMNS), dtype=np.float64)
    if traces and settings:
        kernel()(
            new_state(_limits(shapes, traces, settings)),
            nodes,
            events,
            _settings(settings),
            _options(latency or Latency(), retry_s, score_from_s, leak_scans=leak_scans),
            counts,
            means,
        )
    return _result(counts, means)


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
    for shape in shapes:
        if shape.slots < 1:
            raise ModelError(f"{shape.instance_type}: an ENI without secondary addresses: skip it")


def _limits(
    shapes: Sequence[NodeShape], traces: Sequence[Trace], settings: Sequence[PoolSettings]
) -> Limits:
    size = ADDRESSES_PER_PREFIX if any(s.prefix_delegation for s in settings) else 1
    return Limits(
        enis=max(shape.eni_limit for shape in shapes),
        slots=max(shape.slots for shape in shapes),
        addresses=max(shape.eni_limit * shape.slots for shape in shapes) * size,
        events=max(len(trace.times_s) for trace in traces),
        level=max(trace.level for trace in traces),
    )


def _nodes(shapes: Sequence[NodeShape], traces: Sequence[Trace], seed: int) -> layout.Nodes:
    lengths = [_length(trace) for trace in traces]
    last = np.cumsum(np.array(lengths, dtype=np.int64), dtype=np.int64)
    return layout.Nodes(
        slots=_ints(shape.slots for shape in shapes),
        eni_limit=_ints(shape.eni_limit for shape in shapes),
        max_pods=_ints(shape.max_pods for shape in shapes),
        prefix_capable=_ints(shape.prefix_capable for shape in shapes),
        seed=np.array([lane_seed(seed, node) for node in range(len(shapes))], dtype=np.uint64),
        level=_ints(0 if trace.cold else trace.level for trace in traces),
        settled=_ints(not trace.cold for trace in traces),
        span_s=np.array([trace.span_s for trace in traces], dtype=np.float64),
        first=last - np.array(lengths, dtype=np.int64),
        last=last,
    )


def _length(trace: Trace) -> int:
    return len(trace.times_s) + (trace.level if trace.cold else 0)


def _events(traces: Sequence[Trace]) -> layout.Events:
    """The events of all nodes in a row; the level of a cold node comes at second 0."""
    total = sum(map(_length, traces))
    events = layout.Events(
        seconds=np.zeros(total, dtype=np.int32),
        lives=np.full(total, NO_LIFE, dtype=np.int32),
        ranks=np.zeros(total, dtype=np.int32),
    )
    end = 0
    for trace in traces:
        end += _length(trace)
        part = slice(end - len(trace.times_s), end)
        events.seconds[part] = trace.times_s
        if trace.lives_s is None:
            events.lives[part][trace.changes < 0] = DEPARTURE
        else:
            events.lives[part] = trace.lives_s
            events.ranks[part] = name_ranks(len(trace.times_s))
    return events


def name_ranks(pods: int) -> NDArray[np.int64]:
    """Where "pod-0", "pod-1"... come among themselves as text: the step form's order of ends."""
    order = np.argsort(np.array([str(pod) for pod in range(pods)]), kind="stable")
    ranks = np.empty(pods, dtype=np.int64)
    ranks[order] = np.arange(pods)
    return ranks


def _settings(settings: Sequence[PoolSettings]) -> layout.Settings:
    targets = [setting.targets for setting in settings]
    return layout.Settings(
        warm_eni=_ints(target.warm_eni for target in targets),
        warm_ip=_ints(target.warm_ip for target in targets),
        minimum_ip=_ints(target.minimum_ip for target in targets),
        warm_prefix=_ints(target.warm_prefix for target in targets),
        prefixes=_ints(setting.prefix_delegation for setting in settings),
        max_eni=_ints(setting.max_eni for setting in settings),
        cooldown_s=np.array([setting.cooldown_s for setting in settings], dtype=np.float64),
    )


def _options(
    latency: Latency, retry_s: int, score_from_s: float, *, leak_scans: bool
) -> layout.Options:
    return layout.Options(
        retry_s=retry_s,
        assign_s=float(latency.assign_s),
        create_s=float(latency.create_s),
        attach_s=float(latency.attach_s),
        other_s=float(latency.other_s),
        score_from_s=float(score_from_s),
        leak_scans=leak_scans,
    )


def _ints(values: Iterable[int]) -> NDArray[np.int64]:
    return np.fromiter(values, dtype=np.int64)


def _result(counts: Ints, means: Floats) -> GridResult:
    calls = counts[:, :, layout.COUNTS :]
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
            [calls[:, :, list(_REQUESTS_OF[name])].sum(axis=2) for name in API_NAMES],
            axis=2,
            dtype=np.int32,
        ),
    )
