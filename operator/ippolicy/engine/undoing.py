"""Undoes what a policy changed: when it is deleted, or when it names another DaemonSet."""

from __future__ import annotations

from collections.abc import Callable

from ippolicy.act.actor import Actor
from ippolicy.act.outcome import Outcome, outcome_of
from ippolicy.act.requests import CallFailed
from ippolicy.api import IPPolicy, Method, Mode, OnDelete
from ippolicy.decide.gates import wish_gate
from ippolicy.decide.types import Reason
from ippolicy.engine.births import Births
from ippolicy.engine.election import Office
from ippolicy.engine.policies import Policies, former_ref
from ippolicy.engine.publisher import Publisher
from ippolicy.errors import FactsChanged, IPPolicyError
from ippolicy.facts import DaemonSetRef, Snapshot
from ippolicy.offloop import call_off_loop

OUT_OF_OFFICE = "another operator holds the Lease: it goes on from here"


class Undoing:
    """What is to be undone of the changes of `policies`. Undoing is a write: whoever calls holds
    the engine's lock."""

    def __init__(
        self,
        policies: Policies,
        *,
        actor: Actor,
        births: Births,
        publisher: Publisher,
        office: Office,
        clock: Callable[[], float],
        look: Callable[[IPPolicy, DaemonSetRef], Snapshot],
    ) -> None:
        self._policies = policies
        self._actor = actor
        self._births = births
        self._publisher = publisher
        self._office = office
        self._clock = clock
        self._look = look

    async def leave_behind(
        self, policy: IPPolicy, ref: DaemonSetRef
    ) -> tuple[str | None, Outcome | None]:
        """Undo what was changed on the DaemonSet that the policy named before, if that is another.

        (None, None) once nothing is left to be undone there; else where, and what stands in the
        way: nothing but the policy's own wish where that is None, for undoing is a write, too.
        """
        status = self._policies.status(policy.name)
        former = former_ref(status)
        if former is None or former == ref:
            return None, None
        if wish_gate(policy) is not None:
            return (str(former) if status.get("changes") else None), None
        outcome = await self.undo(policy, former)
        if outcome is None:
            return None, None
        if outcome.settled:
            await self._publisher.restored(policy, outcome, self._clock())
            return None, None
        return str(former), outcome

    async def withdraw(self, policy: IPPolicy, ref: DaemonSetRef) -> Outcome | None:
        """Withdraw targets by group where the policy has them set in another way by now.

        By hand, too: what a person sets in the template is for the pods that are born next.
        """
        at_birth = policy.spec.apply.method is Method.ADMISSION
        stop = wish_gate(policy)
        held = stop is not None and stop.reason is not Reason.WRITER_NONE
        if at_birth or held or not self._births.has(ref):
            return None
        return await self._withdrawn(policy, ref)

    async def undo(self, policy: IPPolicy, ref: DaemonSetRef) -> Outcome | None:
        """What came of undoing a policy's changes; None where they are not its to undo."""
        successor = self._policies.successor(policy, ref)
        if successor is not None and successor.spec.mode is Mode.APPLY:
            return None  # it goes on from here, and keeps the originals
        withdrawn = await self._withdrawn(policy, ref)
        if withdrawn is not None and not withdrawn.settled:
            return withdrawn
        # Who was withdrawn just now may still be answered by, so that nothing is restarted yet.
        outstanding = await self._given_back(policy, ref, begin=withdrawn is None)
        return outstanding or await self._undo_writes(policy, ref) or withdrawn

    async def _given_back(
        self, policy: IPPolicy, ref: DaemonSetRef, *, begin: bool
    ) -> Outcome | None:
        """Pods that were born with targets of the policy are made anew, at its own pace."""
        method, kept = policy.spec.apply.method, policy.spec.on_delete is OnDelete.RETAIN
        if method is not Method.ADMISSION or kept or not await self._office.confirm():
            return None
        return await self._births.give_back(policy, ref, self._look(policy, ref), begin=begin)

    async def _withdrawn(self, policy: IPPolicy, ref: DaemonSetRef) -> Outcome | None:
        owner = self._births.owner(ref)
        others = owner is not None and self._policies.standing(owner) is not None
        if (others and owner != policy.name) or not self._births.on:
            return None
        if not await self._office.confirm():
            return outcome_of(FactsChanged(OUT_OF_OFFICE))
        return await self._births.withdraw(ref)

    async def _undo_writes(self, policy: IPPolicy, ref: DaemonSetRef) -> Outcome | None:
        try:
            record = await call_off_loop(lambda: self._actor.follow(ref, None))
        except IPPolicyError as error:
            if _forbidden(error) and not self._policies.status(policy.name).get("changes"):
                return None  # who may not read the record cannot have written it either
            return outcome_of(error)
        if record is None or self._policies.has_other(record.policy_uid, ref, than=policy):
            return None
        return await self._put_back(policy, ref)

    async def _put_back(self, policy: IPPolicy, ref: DaemonSetRef) -> Outcome:
        if not await self._office.confirm():
            return outcome_of(FactsChanged(OUT_OF_OFFICE))
        if policy.spec.on_delete is OnDelete.RETAIN:
            return await call_off_loop(lambda: self._actor.retain(ref))
        return await call_off_loop(lambda: self._actor.restore(ref))


def _forbidden(error: IPPolicyError) -> bool:
    return isinstance(error, CallFailed) and error.status == 403
