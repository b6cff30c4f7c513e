"""One pass after another through the rooms, for every policy, one change at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ippolicy.account.view import View
from ippolicy.act.actor import Actor
from ippolicy.act.checkpoints import CheckpointStore
from ippolicy.act.outcome import outcome_of
from ippolicy.act.rollout import RolloutState
from ippolicy.api import IPPolicy
from ippolicy.decide.gates import Limits, wish_gate
from ippolicy.decide.groups import grouped
from ippolicy.decide.history import DemandHistory
from ippolicy.decide.measure import MOST_GAP_S
from ippolicy.decide.method import Way
from ippolicy.decide.subnets.ahead import Ahead
from ippolicy.decide.types import Decision
from ippolicy.engine.acting import Acting
from ippolicy.engine.births import Births
from ippolicy.engine.bundles import Bundles
from ippolicy.engine.checkpoints import Checkpoints
from ippolicy.engine.counting import CallCounts
from ippolicy.engine.deciding import Decider
from ippolicy.engine.election import Alone, Office
from ippolicy.engine.elsewhere import Elsewhere
from ippolicy.engine.imports import Imports
from ippolicy.engine.ledgers import follow_births
from ippolicy.engine.pacing import put_back_pace
from ippolicy.engine.policies import (
    Policies,
    Standing,
    ref_of,
    selection_of,
)
from ippolicy.engine.proof import Proofs
from ippolicy.engine.publisher import Publisher
from ippolicy.engine.rollouts import Rollouts
from ippolicy.engine.undoing import Undoing
from ippolicy.errors import InvalidPolicy, IPPolicyError
from ippolicy.facts import DaemonSetRef, PodEvent, Record, Snapshot, SourceName
from ippolicy.observe.observer import Observer
from ippolicy.offloop import call_off_loop
from ippolicy.settings import Settings

_log = logging.getLogger("ippolicy")
_FIRST_LOOK_POLL_S = 0.2


class Engine:
    """Observe, decide, act, account: each `interval`, and at once when a policy changes.

    All writing to aws-node happens inside one lock, so that a policy which is being deleted never
    races a change, and no two changes overlap.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        observer: Callable[[Callable[[PodEvent], None]], Observer],
        actor: Actor,
        checkpoints: CheckpointStore,
        publisher: Publisher,
        can_decide: Callable[[], bool] = lambda: True,
        office: Office | None = None,
        births: Callable[[Observer], Births] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.policies = Policies()
        self.bundles = Bundles()
        self.observer = observer(self._remember)
        self.last_pass_s = self._looked_at_s = clock()
        self._settings = settings
        self._limits = Limits(settings.min_coverage.fraction, settings.facts_max_age.seconds)
        self._actor = actor
        self._publisher = publisher
        self._can_decide = can_decide
        self._office = office or Alone()
        self.births = births(self.observer) if births else Births(None, publisher.exporter)
        self._undoing = Undoing(
            self.policies,
            actor=actor,
            births=self.births,
            publisher=publisher,
            office=self._office,
            clock=clock,
            look=self._snapshot,
        )
        self._acting = Acting(
            self.policies, actor=actor, births=self.births, office=self._office, clock=clock
        )
        self._counts = CallCounts(publisher.exporter)
        self._imports = Imports(publisher.exporter, clock=clock)
        self._clock = clock
        self._histories: dict[DaemonSetRef, DemandHistory] = {}
        self._decider = Decider(
            self._limits, Proofs(actor.note), by_replay=settings.choice == "replay"
        )
        self._checkpoints = Checkpoints(
            checkpoints,
            publisher.exporter,
            self._histories,
            decider=self._decider,
            clock=clock,
            interval_s=settings.checkpoint_interval.seconds,
        )
        self._rollouts = Rollouts(stuck_after_s=settings.rollout_stuck_after.seconds)
        self._elsewhere = Elsewhere()
        self._writing = asyncio.Lock()
        self._poke = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start watching, and the loop."""
        await self.observer.start()
        self._task = asyncio.create_task(self._run(), name="engine")
        keeping = self._checkpoints.run(self._owners)
        self._keeping = asyncio.create_task(keeping, name="checkpoints")

    async def stop(self) -> None:
        """Stop the loop and the watches, and keep what was seen; nothing is undone."""
        for task in (self._task, self._keeping):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._imports.stop()
        await self._checkpoints.keep_before_the_end(self._owners())
        await self.births.stop()
        await self.observer.stop()

    def look(self) -> None:
        """Make the next pass at once."""
        self._poke.set()

    def take(self, raw: Mapping[str, Any]) -> None:
        """Take up a policy as the watch shows it; a new spec is looked at at once."""
        if self.policies.put(raw):
            self._poke.set()

    def forget(self, name: str) -> None:
        """Forget a policy that is gone."""
        self.policies.remove(name)
        self.bundles.forget(name)
        self._publisher.forget(name)
        self._poke.set()

    async def retire(self, raw: Mapping[str, Any], *, since_s: float) -> str | None:
        """Put the originals back, or let go of the fields, for a policy that is being deleted.

        None when the policy may go; else what stands in the way, to be tried again. After
        `restore_give_up_after` it may go all the same.
        """
        self.policies.put(raw)
        try:
            policy = IPPolicy.from_raw(raw)
        except InvalidPolicy as error:
            _log.error("%s: it goes without anything being put back", error)
            return None
        async with self._writing:
            outcomes = [await self._undoing.undo(policy, ref) for ref in self.policies.refs(policy)]
            await self.births.see(self.policies.standings())
            await self.births.look(leading=self._office.leading)
        now_s = self._clock()
        told = [outcome for outcome in outcomes if outcome is not None]
        for outcome in told:
            await self._publisher.restored(policy, outcome, now_s)
        problem = "; ".join(outcome.message for outcome in told if not outcome.settled)
        if problem and now_s - since_s > self._settings.restore_give_up_after.seconds:
            _log.error("policy %s goes without its originals: %s", policy.name, problem)
            return None
        return problem or None

    async def tick(self) -> None:
        """One pass for every policy; one that fails keeps no other waiting.

        Raises what the first of them failed of, once all had their turn.
        """
        self._mind_the_clock()
        standings, former = await self._look_at(), self.policies.former()
        self._trim({standing.ref for standing in standings})
        await self.births.see(standings)
        if not self._office.leading:
            await self._follow(standings)
            return
        failures: list[Exception] = []
        for name in [standing.policy.name for standing in standings]:
            try:
                await self._pass_over(name)
            except Exception as error:  # noqa: BLE001  (raised below)
                failures.append(error)
        for name in list(self.policies.invalid):
            if (problem := self.policies.invalid.get(name)) is not None:
                raw, shown = self.policies.raw(name), self.policies.status(name)
                await self._publisher.refuse(raw, problem, shown, self._clock())
        if not self.policies.invalid:  # what those are about is not known
            await self._checkpoints.drop_others(self.policies.owners(), former)
        self._counts.take(self.observer.stats())
        await self.births.look(leading=True)
        if failures:
            raise failures[0]
        self.last_pass_s = self._clock()

    def _mind_the_clock(self) -> None:
        """Where the clock has jumped since the last pass, nothing is taken to last for so long."""
        now_s = self._clock()
        gap_s, self._looked_at_s = now_s - self._looked_at_s, now_s
        if not 0 <= gap_s < self._settings.interval.seconds + MOST_GAP_S:
            self._rollouts.begin_anew()
            self._decider.begin_anew()
        for history in self._histories.values() if gap_s < 0 else ():
            history.set_back(now_s)

    async def _follow(self, standings: Sequence[Standing]) -> None:
        """See and remember what the operator in office does, to go on from there at once."""
        for policy, ref in [(s.policy, s.ref) for s in standings if s.rival is None]:
            snapshot = self._snapshot(policy, ref)
            self._note_demand(policy, ref, snapshot)
            await call_off_loop(partial(self._decider.note, policy, ref, snapshot))
            await self._checkpoints.restore(policy, ref)
        await self.births.look(leading=False)
        self._counts.take(self.observer.stats())
        self.last_pass_s = self._clock()

    def _owners(self) -> dict[DaemonSetRef, list[IPPolicy]]:
        """The policies whose demand this operator keeps on the cluster."""
        return self.policies.owners() if self._office.leading else {}

    async def _pass_over(self, name: str) -> None:
        async with self._writing:
            # It may have been changed or deleted while others were served.
            standing = self.policies.standing(name)
            view = None
            if standing is not None:
                try:
                    view = await self._serve(standing)
                finally:
                    self._elsewhere.note(standing, view)
        if view is not None:
            await self._publisher.publish(view, self.policies.status(name))

    async def _run(self) -> None:
        await self._first_look()
        while True:
            self._poke.clear()
            started_s = time.monotonic()
            try:
                await self.tick()
            except Exception as error:  # noqa: BLE001  (told, counted, and /healthz turns bad)
                _log.exception("a pass failed, which is a fault of the operator: %s", error)
                self._publisher.exporter.failed("engine", "pass", type(error).__name__)
            self._publisher.exporter.looped(time.monotonic() - started_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.interval.seconds):
                    await self._poke.wait()

    async def _first_look(self) -> None:
        """Wait until every source was heard of, but no longer than each has had its turn: what was
        not asked yet is no fault to tell people of."""
        turn_s = self._settings.scrape_interval.seconds + self._settings.scrape_timeout.seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(turn_s):
                while not (await self._look_at() and self._heard_of_all()):
                    self.last_pass_s = self._clock()
                    await asyncio.sleep(_FIRST_LOOK_POLL_S)

    def _heard_of_all(self) -> bool:
        return self.observer.readiness(self._clock()).ready

    async def _look_at(self) -> list[Standing]:
        """The policies that there are, with what they are about being observed."""
        standings = self.policies.standings()
        refs = {standing.ref for standing in standings}
        await self.observer.set_refs(refs | self.policies.leaving())
        self.observer.select_subnets({selection_of(standing.policy) for standing in standings})
        return standings

    async def _serve(self, standing: Standing) -> View:
        """What one pass over one policy finds, decides and does."""
        policy, ref = standing.policy, standing.ref
        snapshot = self._snapshot(policy, ref)
        former, undone = await self._undoing.leave_behind(policy, ref)
        undone = undone or await self._undoing.withdraw(policy, ref)
        if undone is not None:
            return self._view(policy, snapshot, outcome=undone, left_behind=former)
        if standing.rival is not None:
            return self._view(policy, snapshot, rival=standing.rival, left_behind=former)
        self._note_demand(policy, ref, snapshot)
        await self._checkpoints.restore(policy, ref)
        snapshot = self._imports.serve(policy, ref, snapshot, self._histories[ref])
        try:
            record = await self._record(policy, ref, snapshot)
            record = await put_back_pace(self._actor, self._office, policy, ref, record)
            record = await follow_births(self._actor, self.births, policy, snapshot, record)
        except IPPolicyError as error:
            trusted = await call_off_loop(partial(self._decider.look, policy, ref, snapshot))
            found = {"outcome": outcome_of(error), "trusted": trusted}
            return self._view(policy, snapshot, left_behind=former, **found)
        # Without limits of instance types there is nothing to replay, and nothing to wait for.
        if snapshot.limits and not self._can_decide():
            return self._view(policy, snapshot, record=record, left_behind=former)
        rollout = self._rollouts.state(ref, snapshot, record)
        record, decision, ahead = await self._decide(policy, snapshot, record, rollout)
        outcome = await self._acting.act(standing, decision, snapshot, record)
        return self._view(
            policy,
            snapshot,
            way=await self._way(policy, snapshot, record),
            decision=decision,
            ahead=ahead,
            record=record,
            outcome=outcome,
            rollout=rollout,
            left_behind=former,
        )

    def _snapshot(self, policy: IPPolicy, ref: DaemonSetRef) -> Snapshot:
        snapshot = self.observer.snapshot(ref, self._clock(), selection_of(policy))
        return grouped(snapshot, policy.spec.groups)

    async def _record(
        self, policy: IPPolicy, ref: DaemonSetRef, snapshot: Snapshot
    ) -> Record | None:
        facts = snapshot.daemon_set
        if facts is None:
            return None  # there is nothing to decide on, and maybe no right to read it
        may_write = wish_gate(policy) is None
        return await call_off_loop(lambda: self._actor.follow(ref, facts, may_write=may_write))

    async def _way(self, policy: IPPolicy, snapshot: Snapshot, record: Record | None) -> Way | None:
        facts = snapshot.daemon_set
        if facts is None:
            return None
        return await call_off_loop(lambda: self._actor.way(policy, facts, record))

    def _view(self, policy: IPPolicy, snapshot: Snapshot, **found: Any) -> View:
        return View(
            policy=policy,
            snapshot=snapshot,
            min_coverage=self._limits.min_coverage,
            checkpoint=self._checkpoints.state(ref_of(policy)),
            births=self.births.progress(policy, snapshot, found.get("record")),
            table=self.births.table(ref_of(policy)),
            news=self.births.news(policy),
            **found,
        )

    def _remember(self, event: PodEvent) -> None:
        for history in self._histories.values():
            history.record(event)

    def _note_demand(self, policy: IPPolicy, ref: DaemonSetRef, snapshot: Snapshot) -> None:
        window_s, now_s = policy.spec.demand.window.seconds, snapshot.taken_at_s
        history = self._histories.get(ref)
        if history is None:
            history = DemandHistory(window_s=window_s, started_at_s=now_s)
            self._histories[ref] = history
        history.window_s = window_s
        # A list that is not complete yet would look like pods that come all at once.
        known = (SourceName.NODES, SourceName.PODS)
        if all(snapshot.sources[name].succeeded_at_s is not None for name in known):
            history.sync(snapshot.nodes, snapshot.pods_per_node, now_s)
        history.trim(now_s)

    def _trim(self, looked_at: set[DaemonSetRef]) -> None:
        """Keep what no policy asks for bounded: a policy may come back, and wants it then."""
        self._imports.keep(looked_at)
        self._decider.keep(looked_at)
        self._elsewhere.keep(looked_at)
        for ref, history in self._histories.items():
            if ref not in looked_at:
                history.trim(self._clock())

    async def _decide(
        self,
        policy: IPPolicy,
        snapshot: Snapshot,
        record: Record | None,
        rollout: RolloutState | None,
    ) -> tuple[Record | None, Decision, Ahead]:
        ref = ref_of(policy)
        traces = self._histories[ref].traces(snapshot.taken_at_s)
        inputs, decision, ahead = await call_off_loop(
            partial(
                self._decider.decide,
                policy,
                ref,
                snapshot,
                record=record,
                traces=traces,
                rollout=rollout,
                elsewhere=self._elsewhere.rollout(ref, self.policies.standings()),
            )
        )
        settle = partial(self.births.settle, inputs, decision, inputs.record)
        settled = await call_off_loop(settle)
        self.bundles.keep(inputs, decision, self.births.step(ref))
        return inputs.record, settled, ahead
