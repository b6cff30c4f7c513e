"""Carries out what was decided, if all is still as it was then."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ippolicy.act.actor import Actor
from ippolicy.act.outcome import Outcome, outcome_of
from ippolicy.api import Method
from ippolicy.decide.types import Decision, Verdict
from ippolicy.engine.births import Births
from ippolicy.engine.election import Office
from ippolicy.engine.policies import Policies, Standing
from ippolicy.engine.undoing import OUT_OF_OFFICE
from ippolicy.errors import FactsChanged
from ippolicy.facts import DaemonSetFacts, Record, Snapshot
from ippolicy.offloop import call_off_loop


class Acting:
    """The way from a decision to a write. Whoever calls holds the engine's lock."""

    def __init__(
        self,
        policies: Policies,
        *,
        actor: Actor,
        births: Births,
        office: Office,
        clock: Callable[[], float],
    ) -> None:
        self._policies = policies
        self._actor = actor
        self._births = births
        self._office = office
        self._clock = clock

    async def act(
        self, standing: Standing, decision: Decision, snapshot: Snapshot, record: Record | None
    ) -> Outcome | None:
        """What came of a decision; None where nothing was to be done."""
        policy, decided_on = standing.policy, snapshot.daemon_set
        if decision.verdict is not Verdict.CHANGE or decided_on is None:
            return None
        if (stop := await self._stop(standing)) is not None:
            return outcome_of(FactsChanged(stop))
        if policy.spec.apply.method is Method.ADMISSION:
            return await self._at_birth(standing, snapshot, record)
        return await self._written(standing, decision, decided_on)

    async def _stop(self, standing: Standing) -> str | None:
        """Why nothing is to be written after all."""
        name = standing.policy.name
        changed = f"policy {name} changed meanwhile: decide again"
        if self._policies.standing(name) != standing:
            return changed
        if not self._policies.held(name):
            return f"policy {name} has no finalizer yet: next pass"
        if not await self._office.confirm():
            return OUT_OF_OFFICE
        # Asked again, so that a pause which came in meanwhile stops the write.
        return changed if self._policies.standing(name) != standing else None

    async def _written(
        self, standing: Standing, decision: Decision, decided_on: DaemonSetFacts
    ) -> Outcome:
        return await call_off_loop(
            lambda: self._actor.carry_out(
                policy=standing.policy,
                ref=standing.ref,
                decision=decision,
                decided_on=decided_on,
                now_s=self._clock(),
            )
        )

    async def _at_birth(
        self, standing: Standing, snapshot: Snapshot, record: Record | None
    ) -> Outcome:
        """Have the former writer put back what it changed; then publish what was decided."""
        policy = standing.policy
        if record is not None and record.originals:
            reason = f"spec.apply.method is {policy.spec.apply.method.value}"
            return await call_off_loop(partial(self._actor.hand_over, standing.ref, reason))
        return await self._births.publish(policy, snapshot)
