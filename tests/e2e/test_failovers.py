"""Two operators on a real control plane, and failovers at every moment of a policy's life."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

from controlplane import ControlPlane
from ippolicy.sandbox.cluster import Sandbox
from realworlds import OPERATOR, RealWorld
from replicas import OUT_OF_OFFICE, Replica, Replicas, elected, two_operators
from worlds import RECORD, SOON, changed, condition, small, targets

FAILOVERS = int(os.environ.get("FAILOVERS", "12"))  # 50 take ten minutes
DURATION_S = float(os.environ.get("LEASE_S", "6"))  # 12 is the default, and takes twice as long
DEFAULT_DURATION_S = 12.0
LONGEST_GAP_S = 20.0
POLL_S = 0.1
LATEST_S = 1.5  # a life takes some more without any failover


class Gaps:
    """Spans without a leader: from its end, however it came, to the next one in the Lease."""

    def __init__(self, replicas: Replicas) -> None:
        self.spans_s: dict[str, list[float]] = {}
        self._replicas = replicas
        self._open: tuple[str, Replica, float] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> Gaps:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10.0)

    def begin(self, how: str, former: Replica) -> None:
        """The leader `former` acts no more, as of now."""
        self._open = how, former, time.monotonic()

    @property
    def over(self) -> bool:
        """Whether there is a leader."""
        return self._open is None

    @property
    def longest_s(self) -> float:
        """Of all."""
        return max(max(spans) for spans in self.spans_s.values())

    def _poll(self) -> None:
        while not self._stop.wait(POLL_S):
            if self._open is None:
                continue
            how, former, began_s = self._open
            leader = self._replicas.leader()
            if leader is not None and leader is not former:
                self.spans_s.setdefault(how, []).append(time.monotonic() - began_s)
                self._open = None


class Failovers:
    """One end of the leader after another, by whoever polls, each at a moment drawn at random."""

    def __init__(self, replicas: Replicas, gaps: Gaps, random: Random) -> None:
        self.done: Counter[str] = Counter()
        self._replicas, self._gaps, self._random = replicas, gaps, random
        self._former: Replica | None = None
        self._how, self._at_s = self._next()

    def look(self) -> None:
        """Play the next step if it is time."""
        if self._former is not None:
            if self._gaps.over:
                self._start_anew(self._former)
        elif time.monotonic() >= self._at_s and self._all_run():
            self._end(self._replicas.leader())

    def _next(self) -> tuple[str, float]:
        how = self._random.choice(("kill -9", "SIGTERM", "SIGSTOP"))
        return how, time.monotonic() + self._random.uniform(0.0, LATEST_S)

    def _all_run(self) -> bool:
        return all(one.answers("/healthz")[0] == 200 for one in self._replicas.all)

    def _end(self, leader: Replica | None) -> None:
        if leader is None:
            return
        self._former = leader
        self._gaps.begin(self._how, leader)
        if self._how == "SIGTERM":
            assert leader.process.stop() == 0
        elif self._how == "SIGSTOP":
            leader.pause()
        else:
            leader.process.kill9()

    def _start_anew(self, former: Replica) -> None:
        if self._how == "SIGSTOP":
            former.resume()
            assert former.exit_code() == OUT_OF_OFFICE
        former.process.start()
        self.done[self._how] += 1
        self._former = None
        self._how, self._at_s = self._next()


def live_through(sandbox: Sandbox, failovers: Failovers, story: str) -> None:
    """A policy comes, is carried out, and goes: two rollouts, whoever does it."""

    def until(predicate: Callable[[], bool], what: str) -> None:
        def holds() -> bool:
            failovers.look()
            return predicate()

        sandbox.wait(holds, f"{what}: {story}")

    originals, before = targets(sandbox), sandbox.daemonset_generation()
    sandbox.apply_policy(SOON)
    until(lambda: changed(sandbox), "the targets")
    until(condition(sandbox, "Applied", "True"), "condition Applied")
    until(condition(sandbox, "Progressing", "False"), "the end of the rollout")
    assert sandbox.daemonset_generation() == before + 1, story
    sandbox.delete_policy()
    until(lambda: sandbox.policy() is None, "the policy to go")
    assert targets(sandbox) == originals, story
    assert sandbox.daemonset_generation() == before + 2, story
    assert sandbox.run(sandbox.client.find(RECORD)) is None, story


def rollouts_asked_for(plane: ControlPlane) -> int:
    """Server-side applies to aws-node that the API server took from the operators."""
    return sum(
        event.user == OPERATOR
        and event.verb == "patch"
        and event.resource == "daemonsets"
        and event.parameters.get("force") is not None
        and event.code == 200
        for event in plane.audit_events()
    )


@contextmanager
def standing(world: RealWorld) -> Iterator[tuple[Sandbox, ControlPlane, Replicas]]:
    settings = elected(f"{DURATION_S:g}s") | {"IPPOLICY_CHOICE": "rule"}
    layout = small(operator_settings=settings)
    with world(layout) as (sandbox, plane), two_operators(sandbox) as replicas:
        replicas.wait_for_leader()
        yield sandbox, plane, replicas


@pytest.mark.timeout(300 + 40 * FAILOVERS)
def test_failovers_at_any_moment_make_no_second_rollout_and_no_long_gap(
    real_world: RealWorld,
) -> None:
    with standing(real_world) as (sandbox, plane, replicas), Gaps(replicas) as gaps:
        generation, lives = sandbox.daemonset_generation(), 0
        failovers = Failovers(replicas, gaps, Random(50))
        while failovers.done.total() < FAILOVERS:
            live_through(sandbox, failovers, f"life {lives}, after {failovers.done.total()}")
            lives += 1
        assert sandbox.daemonset_generation() == generation + 2 * lives
        assert rollouts_asked_for(plane) == 2 * lives
    for how, spans in gaps.spans_s.items():
        print(f"{how}: {len(spans)} gaps, longest {max(spans):.2f} s")  # noqa: T201  (the figures)
    print(f"{lives} lives")  # noqa: T201
    assert gaps.longest_s < LONGEST_GAP_S * DURATION_S / DEFAULT_DURATION_S
