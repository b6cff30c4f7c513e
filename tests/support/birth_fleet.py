"""A fleet whose aws-node pods are born by a table of targets, in virtual time.

Nothing is real but `decide.births`: pods are made anew when the grace of those before is over, and
ready and read a step later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import builders
from ippolicy.decide.births.cohorts import Cohorts
from ippolicy.decide.births.document import read_table, write_table
from ippolicy.decide.births.roll import Asked, News, Rolled, Step, roll
from ippolicy.decide.births.table import TEMPLATE, NodePlace, PolicyTable
from ippolicy.decide.decision import Inputs
from ippolicy.decide.gates import Limits
from ippolicy.decide.types import (
    Decision,
    Evidence,
    GroupAdvice,
    Prediction,
    Reason,
    Recommendation,
    Recommendations,
    Verdict,
)
from ippolicy.facts import Agent, Birth, NodeFacts, PoolCounters, PoolFacts, Record, Snapshot
from ippolicy.ipamd import WarmTargets

STEP_S = 15.0
HELD, LEAN_HELD, PODS = 42, 22, 20
ENOUGH = Evidence(86_400.0, 10, 1_000, sufficient=True, message="a day")


def advice(
    group: str,
    targets: WarmTargets,
    nodes: int,
    *,
    held: int = HELD,
    present_meets: bool = True,
    present_sure: float | None = None,
) -> GroupAdvice:
    """`targets` are recommended to a group, whose nodes hold so much more under them or less."""
    then = targets.warm_ip + PODS
    recommendation = Recommendation(
        targets,
        targets,
        targets,
        targets,
        "",
        Prediction(held * nodes, (held - PODS) * nodes, 3 * nodes),
        Prediction(then * nodes, targets.warm_ip * nodes, 2 * nodes),
        ENOUGH,
        present_meets=present_meets,
        present_sure=present_sure,
    )
    return GroupAdvice(group, nodes, PODS * nodes, recommendation)


@dataclass
class Pod:
    """An aws-node pod, and what its pool has counted."""

    uid: str
    made_at_s: float
    digest: str = TEMPLATE
    env: Mapping[str, str] = field(default_factory=lambda: dict(builders.CNI_DEFAULTS))
    starts: int = 0
    late: int = 0
    ends_at_s: float | None = None
    unready_since_s: float | None = None


@dataclass
class Fleet:
    """Nodes by group, the table as it is on the cluster, and the operator that looks.

    `late` says how many of `starts` in a step find no address, by group and digest. With `webhook`
    False pods are born as their template says. aws-node `breaks` under targets with such a digest:
    it never gets ready. A pod that was told to go is there for `grace_s`; while the operator's
    watch `stalls` it sees all as it was when that began. `waits` maps a node -> its pods that wait
    for an address; the metrics of those that are `unread` were not read. While `left_out`, nodes
    whose pod is on its way are not among those that are told of.
    """

    spec: Mapping[str, object] = field(default_factory=dict)
    now_s: float = builders.NOW_S
    webhook: bool = True
    grace_s: float = 0.0
    stalls: bool = False
    waits: Mapping[str, int] = field(default_factory=dict)
    unread: Collection[str] = ()
    left_out: bool = False
    starts: int = 2
    late: Callable[[str, str], int] = lambda *_: 0
    breaks: Callable[[str], bool] = lambda _: False
    nodes: dict[str, NodeFacts] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    stored: str = write_table(PolicyTable("default"))
    advice: dict[str, GroupAdvice] = field(default_factory=dict)
    verdict: Verdict = Verdict.CHANGE
    reason: Reason = Reason.AT_BIRTH
    news: list[News] = field(default_factory=list)
    births: Counter[tuple[str, str]] = field(default_factory=Counter)
    restarts: Counter[tuple[str, str]] = field(default_factory=Counter)
    ran: dict[str, set[str]] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    record: Record | None = None
    last: Rolled | None = None
    went: list[str] = field(default_factory=list)
    _seen: Snapshot | None = None
    _made: int = 0
    _cohorts: Cohorts = field(default_factory=Cohorts)
    _known: Mapping[str, Recommendations] = field(default_factory=dict)

    @property
    def table(self) -> PolicyTable:
        """The table as it is on the cluster."""
        return read_table(self.stored)

    def add(self, group: str, count: int, **facts: object) -> list[str]:
        """More nodes of a group, whose pods are born right away."""
        first = len(self.births)
        names = []
        for number in range(first, first + count):
            node = builders.node(number, **{"group": group, **facts})
            node = replace(node, name=f"{group}-{number}")
            self.nodes[node.name] = node
            names.append(node.name)
            self._bear(node.name)
        return names

    def remove(self, name: str) -> None:
        """A node goes with all that is on it."""
        del self.nodes[name], self.pods[name]

    def reborn(self, name: str) -> None:
        """The aws-node of a node is made anew."""
        self._bear(name)

    def end(self, name: str) -> None:
        """The aws-node of a node is told to go, if it was not told before."""
        pod = self.pods[name]
        if pod.ends_at_s is None:
            pod.ends_at_s = self.now_s + self.grace_s
        if pod.ends_at_s <= self.now_s:
            self._bear(name)

    def down(self, group: str) -> list[str]:
        """The nodes of a group whose aws-node ends, or was made just now."""
        return [name for name in self.of(group) if self._is_down(name)]

    def want(self, group: str, warm: int, minimum: int = 0, **changes: object) -> None:
        """These targets are recommended to a group from now on."""
        size = len(self.of(group))
        targets = WarmTargets(warm_ip=warm, minimum_ip=minimum)
        self.advice[group] = advice(group, targets, size, **changes)  # type: ignore[arg-type]

    def of(self, group: str) -> list[str]:
        """The nodes of a group."""
        return [name for name, node in self.nodes.items() if node.group == group]

    def running(self, group: str) -> Counter[str]:
        """Digest -> nodes of a group that run it."""
        return Counter(self.pods[name].digest for name in self.of(group))

    def forget(self) -> None:
        """The operator ends here, and another starts."""
        self._cohorts, self._known = Cohorts(), {}

    def look(self) -> Rolled:
        """What the operator would do now."""
        decided = self._decision()
        table, inputs = self.table, self._inputs()
        self._cohorts.note(table, inputs.snapshot)
        step = roll(
            Asked(inputs, decided, table, self._cohorts.counts(), self._known, spread_s=STEP_S)
        )
        self._known = step.known
        return step

    def step(self, times: int = 1, *, dies_before_deleting: int | None = None) -> Rolled:
        """Look and act, and let `STEP_S` pass; of pods that are due only so many go, if it is said,
        before the operator ends."""
        found = self.last
        for _ in range(times):
            self._live()
            found = self.last = self.look()
            self.stored = write_table(found.table)
            self.news += found.news
            going = found.due[:dies_before_deleting]
            self.went = [n for n in going if self._is_there(n, found.members[n].uid)]
            for name in self.went:
                self.restarts[name, found.members[name].wanted_digest] += 1
                self.end(name)
            if dies_before_deleting is not None:
                self.forget()
            self.now_s += STEP_S
        assert found is not None
        return found

    def until(self, holds: Callable[[], bool], *, most: int = 2_000) -> None:
        """Step until it holds."""
        for _ in range(most):
            if holds():
                return
            self.step()
        raise AssertionError(
            f"{most} steps in vain: {self.last and self.last.stops} {self.news[-3:]}"
        )

    def told(self, step: Step) -> list[News]:
        """The news of that kind."""
        return [one for one in self.news if one.step is step]

    def snapshot(self) -> Snapshot:
        """The fleet as the operator sees it now."""
        now = self._snapshot()
        if not self.stalls or self._seen is None:
            self._seen = now
        there = {node.name for node in self._seen.nodes} & self.nodes.keys()
        if self.left_out:
            there = {name for name in there if not self._is_down(name)}
        agents = {n: agent for n, agent in self._seen.agents.items() if n in there}
        return replace(now, agents=agents, nodes=tuple(n for n in now.nodes if n.name in there))

    def _snapshot(self) -> Snapshot:
        agents, pools = {}, {}
        for name, pod in self.pods.items():
            node = self.nodes[name]
            birth = Birth("default", node.group, "1", pod.digest) if pod.digest else None
            ready = not self.breaks(pod.digest) and pod.unready_since_s is None
            agents[name] = Agent(
                name,
                pod.uid,
                pod.made_at_s,
                ready=ready,
                turned_at_s=pod.unready_since_s or pod.made_at_s,
                ending=pod.ends_at_s is not None,
                birth=birth,
                targets=pod.env,
            )
            if pod.made_at_s < self.now_s and ready and name not in self.unread:
                pools[name] = self._pool(name, pod)
        size, ready_now = len(self.nodes), sum(agent.ready for agent in agents.values())
        rollout = builders.rollout(desired=size, scheduled=size, updated=size, available=ready_now)
        return builders.snapshot(
            0,
            taken_at_s=self.now_s,
            nodes=tuple(self.nodes.values()),
            pods_per_node=dict.fromkeys(self.nodes, PODS),
            agents=agents,
            waiting=self.waits,
            pools=pools,
            daemon_set=builders.daemon_set(rollout=rollout),
        )

    # -- inside -------------------------------------------------------------------------------

    def _bear(self, name: str) -> None:
        node = self.nodes[name]
        self._made += 1
        pod = Pod(f"uid-{self._made}", self.now_s)
        found = self.table.find(NodePlace(node.group, node.instance_type), name)
        if found is not None and self.webhook:
            env = {k: v for k, v in found.targets.env.items() if v is not None}
            pod.digest, pod.env = found.targets.digest, {**pod.env, **env}
        self.pods[name] = pod
        self.births[name, pod.digest] += 1
        self.ran.setdefault(pod.digest, set()).add(name)

    def _is_down(self, name: str) -> bool:
        pod = self.pods[name]
        return pod.ends_at_s is not None or pod.made_at_s >= self.now_s

    def _is_there(self, name: str, uid: str) -> bool:
        pod = self.pods.get(name)
        return pod is not None and pod.uid == uid and pod.ends_at_s is None

    def _live(self) -> None:
        for name, pod in list(self.pods.items()):
            if pod.ends_at_s is not None:
                self.end(name)
        for name, pod in self.pods.items():
            pod.starts += self.starts
            pod.late += self.late(self.nodes[name].group, pod.digest)

    def _pool(self, name: str, pod: Pod) -> PoolFacts:
        held = HELD if pod.digest == TEMPLATE else LEAN_HELD
        counters = PoolCounters(add_requests=pod.starts + pod.late, no_available_addresses=pod.late)
        return PoolFacts(
            node=name,
            held=held,
            assigned=PODS,
            enis=3,
            enis_max=4,
            prefixes=0,
            cni_version="v1.23.1",
            counters=counters,
            read_at_s=self.now_s,
        )

    def _inputs(self) -> Inputs:
        traces: Sequence[object] = ()
        return Inputs(
            policy=builders.policy(
                {"apply": {"method": "Admission"}, **self.spec}, annotations=self.annotations
            ),
            snapshot=self.snapshot(),
            traces=list(traces),  # type: ignore[arg-type]
            record=self.record,
            limits=Limits(),
        )

    def _decision(self) -> Decision:
        sizes = {group: len(self.of(group)) for group in self.advice}
        groups = tuple(replace(a, nodes=sizes[g]) for g, a in self.advice.items() if sizes[g])
        fleet = groups[0].recommendation if groups else None
        return Decision(self.verdict, self.reason, "", self.now_s, {}, fleet, groups)
