"""Facts for tests, healthy unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ippolicy.api import IPPolicy
from ippolicy.decide.types import Decision
from ippolicy.facts import (
    Agent,
    Change,
    ChangePhase,
    Coverage,
    DaemonSetFacts,
    DaemonSetRef,
    EnvEntry,
    InstanceLimits,
    NodeFacts,
    NodeTrace,
    PoolCounters,
    PoolFacts,
    Record,
    RolloutFacts,
    Snapshot,
    SourceName,
    SourceState,
)

NOW_S = 1_800_000_000.0
REF = DaemonSetRef("kube-system", "aws-node")
R5_XLARGE = InstanceLimits("r5.xlarge", enis=4, addresses_per_eni=15, nitro=True)
CNI_DEFAULTS = {"WARM_ENI_TARGET": "1", "WARM_PREFIX_TARGET": "1"}


def node(number: int = 0, **changes: Any) -> NodeFacts:
    """An r5.xlarge of group `blue`."""
    facts = NodeFacts(
        name=f"node-{number}",
        instance_type="r5.xlarge",
        instance_id=f"i-{number:017x}",
        zone="eu-west-1a",
        group="blue",
        max_pods=58,
        address=f"127.1.0.{number + 1}",
        unschedulable=False,
        created_at_s=NOW_S - 86_400,
    )
    return replace(facts, **changes)


def pool(number: int = 0, **changes: Any) -> PoolFacts:
    """The pool of a node with 20 pods at the CNI's defaults: 42 held on 3 ENIs."""
    facts = PoolFacts(
        node=f"node-{number}",
        held=42,
        assigned=20,
        enis=3,
        enis_max=4,
        prefixes=0,
        cni_version="v1.23.1",
        counters=PoolCounters(),
        read_at_s=NOW_S,
    )
    return replace(facts, **changes)


def agent(number: int = 0, **changes: Any) -> Agent:
    """The ready aws-node pod of a node, born with the CNI's default env."""
    facts = Agent(
        name=f"aws-node-{number}",
        uid=f"agent-{number}",
        created_at_s=NOW_S - 86_400,
        targets=CNI_DEFAULTS,
    )
    return replace(facts, **changes)


def daemon_set(
    env: Mapping[str, str | EnvEntry] | None = None,
    owners: Mapping[str, tuple[str, ...]] | None = None,
    **changes: Any,
) -> DaemonSetFacts:
    """aws-node on ten nodes, rolled out, with the CNI's default env."""
    entries = CNI_DEFAULTS if env is None else env
    facts = DaemonSetFacts(
        ref=REF,
        uid="ds-uid",
        resource_version="100",
        generation=1,
        env={k: v if isinstance(v, EnvEntry) else EnvEntry(v) for k, v in entries.items()},
        owners=owners or {},
        image="amazon-k8s-cni:v1.23.1",
        rollout=rollout(),
        node_selector={},
        read_at_s=NOW_S,
    )
    return replace(facts, **changes)


def rollout(**changes: Any) -> RolloutFacts:
    """A finished rollout on ten nodes."""
    facts = RolloutFacts(
        observed_generation=1,
        desired=10,
        scheduled=10,
        updated=10,
        ready=10,
        available=10,
        strategy="RollingUpdate",
        max_unavailable="10%",
    )
    return replace(facts, **changes)


def snapshot(size: int = 10, /, **changes: Any) -> Snapshot:
    """The first story: ten r5.xlarge nodes with 20 pods each at the CNI's defaults."""
    facts = Snapshot(
        taken_at_s=NOW_S,
        daemon_set=daemon_set(),
        nodes=tuple(node(n) for n in range(size)),
        left_out={},
        pods_per_node={f"node-{n}": 20 for n in range(size)},
        pools={f"node-{n}": pool(n) for n in range(size)},
        coverage=Coverage(listed=size, read=size, stale=0),
        limits={"r5.xlarge": R5_XLARGE},
        unknown_types=frozenset(),
        subnets=(),
        sources={name: SourceState(succeeded_at_s=NOW_S) for name in SourceName},
    )
    return replace(facts, **changes)


def policy(spec: Mapping[str, Any] | None = None, **metadata: Any) -> IPPolicy:
    """A policy named `default`; mode Apply unless `spec` says otherwise."""
    return IPPolicy.from_raw(
        {
            "apiVersion": "ippolicy.dev/v1alpha1",
            "kind": "IPPolicy",
            "metadata": {
                "name": "default",
                "uid": "policy-uid",
                "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z",
                **metadata,
            },
            "spec": {"mode": "Apply", **(spec or {})},
        }
    )


def trace(
    number: int = 0,
    *,
    level: int = 20,
    span_s: float = 7_200.0,
    events: Iterable[tuple[float, int]] = (),
    group: str = "blue",
) -> NodeTrace:
    """A node watched for the `span_s` seconds up to now; events are (seconds since then, +-1)."""
    listed: Sequence[tuple[float, int]] = sorted(events)
    since_s = NOW_S - span_s
    return NodeTrace(
        node=f"node-{number}",
        group=group,
        since_s=since_s,
        until_s=NOW_S,
        level=level,
        times_s=np.array([since_s + at_s for at_s, _ in listed], dtype=np.float64),
        changes=np.array([change for _, change in listed], dtype=np.int8),
    )


def written(decision: Decision) -> dict[str, str]:
    """The values that a decision sets, of one that removes no entry."""
    assert None not in decision.env.values()
    return {key: value for key, value in decision.env.items() if value is not None}


def record(*changes: Change, **other: Any) -> Record:
    """A record of `changes` of the DaemonSet that `daemon_set` makes."""
    facts = Record(daemon_set_uid="ds-uid", policy_uid="policy-uid", originals={}, changes=changes)
    return replace(facts, **other)


def change(**other: Any) -> Change:
    """A change that was completed a day ago."""
    facts = Change(
        id="1",
        policy="default",
        phase=ChangePhase.COMPLETE,
        before={"WARM_IP_TARGET": None, "MINIMUM_IP_TARGET": None},
        after={"WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "20"},
        reason="SavesAddresses",
        intended_at_s=NOW_S - 90_000,
        generation=2,
        completed_at_s=NOW_S - 89_000,
    )
    return replace(facts, **other)
