"""The rooms around the engine, reduced to what a test orders and what it asks afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from ippolicy.account.exporter import Exporter
from ippolicy.account.view import View
from ippolicy.act.actor import Actor
from ippolicy.act.checkpoints import CheckpointStore
from ippolicy.act.outcome import Outcome, OutcomeKind
from ippolicy.api import FINALIZER, IPPolicy
from ippolicy.decide.checkpoint import Checkpoint, decode, encode
from ippolicy.decide.method import Way, choose_way
from ippolicy.decide.signals import Noted
from ippolicy.decide.signals_kept import unpack as unpack_signals
from ippolicy.decide.subnets.history import Histories
from ippolicy.decide.subnets.kept import unpack
from ippolicy.engine.loop import Engine
from ippolicy.engine.publisher import Publisher
from ippolicy.facts import (
    DaemonSetFacts,
    DaemonSetRef,
    NodeTrace,
    PodEvent,
    Record,
    Snapshot,
    SubnetSelection,
)
from ippolicy.observe import Observer, ObserveStats, Readiness
from ippolicy.settings import Settings, load
from views import a_snapshot
from virtual_loop import wall_clock

REF = DaemonSetRef("kube-system", "aws-node")
OTHER = DaemonSetRef("kube-system", "other")
NO_STATS = ObserveStats(
    calls={}, errors={}, events={}, relists={}, scrapes=0, scrape_sum_s=0.0, scrape_buckets={}
)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def raw_policy(
    name: str = "default",
    ref: DaemonSetRef = REF,
    *,
    created: str = "2026-01-01T00:00:00Z",
    status: Mapping[str, Any] = _NOTHING,
    metadata: Mapping[str, Any] = _NOTHING,
    deleting: bool = False,
    **spec: Any,
) -> dict[str, Any]:
    """An IPPolicy in mode Apply as the watch shows it."""
    about = {
        "name": name,
        "uid": f"uid-{name}",
        "generation": 1,
        "creationTimestamp": created,
        "finalizers": [FINALIZER],
    }
    gone = {"deletionTimestamp": "2026-02-01T00:00:00Z"} if deleting else {}
    return {
        "apiVersion": "ippolicy.dev/v1alpha1",
        "kind": "IPPolicy",
        "metadata": {**about, **gone, **metadata},
        "spec": {
            "mode": "Apply",
            "daemonSetRef": {"namespace": ref.namespace, "name": ref.name},
            **spec,
        },
        "status": dict(status),
    }


def invalid_policy(name: str = "broken", **metadata: Any) -> dict[str, Any]:
    """An IPPolicy that the API server should have refused."""
    return raw_policy(name, mode="Sometimes", **metadata)


class FakeObserver:
    """Facts as `facts` gives them for each DaemonSet, ready as long as `ready` is true."""

    def __init__(self) -> None:
        self.on_pod_event: Callable[[PodEvent], None] = lambda _: None
        self.ready = True
        self.refs: list[set[DaemonSetRef]] = []
        self.selections: set[SubnetSelection] = set()
        self.asked: list[tuple[DaemonSetRef, SubnetSelection | None]] = []
        self.facts: Callable[[DaemonSetRef], Snapshot] = lambda _: a_snapshot()
        self.counted = NO_STATS
        self.log: list[str] = []

    async def start(self) -> None:
        self.log.append("started")

    async def stop(self) -> None:
        self.log.append("stopped")

    async def set_refs(self, refs: Iterable[DaemonSetRef]) -> None:
        self.refs.append(set(refs))

    def select_subnets(self, selections: Iterable[SubnetSelection]) -> None:
        self.selections = set(selections)

    def snapshot(
        self, ref: DaemonSetRef, now_s: float, selection: SubnetSelection | None = None
    ) -> Snapshot:
        self.asked.append((ref, selection))
        return replace(self.facts(ref), taken_at_s=now_s)

    def readiness(self, now_s: float) -> Readiness:
        return Readiness(self.ready, () if self.ready else ("pods not listed yet",))

    def stats(self) -> ObserveStats:
        return self.counted


class FakeActor:
    """Carries out whatever it is told, with the outcome that a test orders."""

    def __init__(self) -> None:
        self.records: dict[DaemonSetRef, Record] = {}
        self.failing: dict[DaemonSetRef, Exception] = {}
        self.carried_out: list[dict[str, Any]] = []
        self.undone: list[tuple[str, DaemonSetRef]] = []
        self.outcome = Outcome(OutcomeKind.WRITTEN, "written")
        self.undoing = Outcome(OutcomeKind.RESTORED, "as it was")

    def follow(
        self, ref: DaemonSetRef, facts: DaemonSetFacts | None, *, may_write: bool = True
    ) -> Record | None:
        if ref in self.failing:
            raise self.failing[ref]
        return self.records.get(ref)

    def way(self, policy: IPPolicy, facts: DaemonSetFacts, record: Record | None) -> Way:
        return choose_way(policy, facts, record)

    def carry_out(self, **what: Any) -> Outcome:
        self.carried_out.append(what)
        return self.outcome

    def note(
        self,
        ref: DaemonSetRef,
        change: Callable[[Record], Record],
        *,
        first: Record | None = None,
    ) -> Record | None:
        if ref in self.failing:
            raise self.failing[ref]
        if (before := self.records.get(ref, first)) is not None:
            self.records[ref] = change(before)
        return self.records.get(ref)

    def restore(self, ref: DaemonSetRef) -> Outcome:
        return self._undo("restore", ref)

    def retain(self, ref: DaemonSetRef) -> Outcome:
        return self._undo("retain", ref)

    def _undo(self, how: str, ref: DaemonSetRef) -> Outcome:
        self.undone.append((how, ref))
        if self.undoing.settled:
            self.records.pop(ref, None)
        return self.undoing


class FakeCheckpoints:
    """Keeps checkpoints as the cluster would; `failing` is raised by every call."""

    def __init__(self) -> None:
        self.kept: dict[DaemonSetRef, bytes] = {}
        self.subnets: dict[DaemonSetRef, bytes] = {}
        self.signals: dict[DaemonSetRef, bytes] = {}
        self.owners: dict[DaemonSetRef, list[str]] = {}
        self.failing: Exception | None = None
        self.log: list[str] = []

    def read(self, ref: DaemonSetRef) -> Checkpoint | None:
        self._answer("read")
        data = self.kept.get(ref)
        return None if data is None else decode(data)

    def read_subnets(self, ref: DaemonSetRef) -> Histories | None:
        data = self.subnets.get(ref)
        return unpack(data) if data else None

    def read_signals(self, ref: DaemonSetRef) -> Noted | None:
        data = self.signals.get(ref)
        return unpack_signals(data) if data else None

    def write(
        self,
        ref: DaemonSetRef,
        traces: Sequence[NodeTrace],
        now_s: float,
        *,
        owners: Iterable[IPPolicy],
        subnets: bytes = b"",
        signals: bytes = b"",
    ) -> int:
        self._answer("write")
        self.kept[ref] = encode(traces, now_s)
        self.subnets[ref], self.signals[ref] = subnets, signals
        self.owners[ref] = [policy.name for policy in owners]
        return len(self.kept[ref])

    def delete(self, ref: DaemonSetRef) -> None:
        self._answer("delete")
        self.kept.pop(ref, None)

    def _answer(self, call: str) -> None:
        self.log.append(call)
        if self.failing is not None:
            raise self.failing


class FakePublisher:
    """Keeps what it was told; `meanwhile` is called at each word, as while a request is sent."""

    def __init__(self) -> None:
        self.exporter = Exporter()
        self.views: list[View] = []
        self.at_s: list[float] = []
        self.shown: list[Mapping[str, Any]] = []
        self.refused: list[tuple[str, str, Mapping[str, Any]]] = []
        self.ended: list[tuple[str, Outcome]] = []
        self.forgotten: list[str] = []
        self.meanwhile: Callable[[str], None] = lambda _: None

    async def publish(self, view: View, shown: Mapping[str, Any]) -> None:
        self.views.append(view)
        self.at_s.append(view.now_s)
        self.shown.append(shown)
        self.meanwhile(view.policy.name)

    async def refuse(
        self, raw: Mapping[str, Any], problem: str, shown: Mapping[str, Any], now_s: float
    ) -> None:
        name = raw["metadata"]["name"]
        self.refused.append((name, problem, shown))
        self.meanwhile(name)

    async def restored(self, policy: IPPolicy, outcome: Outcome, now_s: float) -> None:
        self.ended.append((policy.name, outcome))

    def forget(self, name: str) -> None:
        self.forgotten.append(name)


class Rig:
    """An engine amid fakes; `actor` may be a real one, `checkpoints` those of another rig."""

    def __init__(
        self,
        actor: Actor | None = None,
        checkpoints: FakeCheckpoints | None = None,
        clock: Callable[[], float] | None = None,
        **settings: str,
    ) -> None:
        self.settings: Settings = load({}, settings)
        self.observer = FakeObserver()
        self.actor = FakeActor()
        self.checkpoints = checkpoints or FakeCheckpoints()
        self.publisher = FakePublisher()

        def observer(on_pod_event: Callable[[PodEvent], None]) -> Observer:
            self.observer.on_pod_event = on_pod_event
            return cast("Observer", self.observer)

        self.engine = Engine(
            self.settings,
            observer=observer,
            actor=actor or cast("Actor", self.actor),
            checkpoints=cast("CheckpointStore", self.checkpoints),
            publisher=cast("Publisher", self.publisher),
            clock=clock or wall_clock(),
        )

    def take(self, *raws: Mapping[str, Any]) -> None:
        """Show policies to the engine, as the watch does."""
        for raw in raws:
            self.engine.take(raw)

    def view(self, name: str = "default") -> View:
        """What the last pass told about a policy."""
        return next(v for v in reversed(self.publisher.views) if v.policy.name == name)

    def names(self) -> list[str]:
        """The policies that passes told about, in order."""
        return [view.policy.name for view in self.publisher.views]
