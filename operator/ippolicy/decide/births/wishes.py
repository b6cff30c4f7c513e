"""What a group is to try next, if anything: steady, worth it, and not refused before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ippolicy.decide import gates
from ippolicy.decide.births.table import GroupTargets, PolicyTable
from ippolicy.decide.births.trials import held_back
from ippolicy.decide.decision import Inputs
from ippolicy.decide.environment import read_environment, shown
from ippolicy.decide.gates import Stop
from ippolicy.decide.predict import predict
from ippolicy.decide.proof import proof_of
from ippolicy.decide.types import (
    NO_PROOF,
    GroupAdvice,
    Prediction,
    Proof,
    Reason,
    Recommendation,
    Recommendations,
)
from ippolicy.facts import NodeFacts, NodeTrace
from ippolicy.ipamd import WarmTargets

LEAST_NODES = 2
"""Nodes that a group needs for targets of its own: one node's demand tells little of the next's."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The `targets` that a group is to try, None where it is to try none, for the cause in `stop`.

    `proof` is what that rests on, and `urgent` says that its pods start late, or its subnets run
    dry, without them.
    """

    targets: GroupTargets | None = None
    stop: Stop | None = None
    proof: Proof = NO_PROOF
    urgent: bool = False


def noted(
    inputs: Inputs, known: Mapping[str, Recommendations], groups: Sequence[GroupAdvice]
) -> dict[str, Recommendations]:
    """What was recommended to each group lately, this time included."""
    span_s = inputs.policy.spec.change.stabilization.seconds
    return {
        one.group: gates.noted(
            known.get(one.group), one.recommendation, inputs.now_s, span_s=span_s
        )
        for one in groups
    }


@dataclass(frozen=True, slots=True)
class Wishing:
    """What wishes rest on; `known` are the recommendations of each group lately."""

    inputs: Inputs
    table: PolicyTable
    nodes: Mapping[str, Sequence[NodeFacts]]
    braked: bool
    known: Mapping[str, Recommendations] = field(default_factory=dict)

    def wish(self, advice: GroupAdvice) -> Wish:
        """What the group is to try next."""
        recommended, known = advice.recommendation, self.known.get(advice.group)
        if advice.nodes < LEAST_NODES or not recommended.evidence.sufficient or known is None:
            return Wish(stop=Stop(Reason.LOW_CONFIDENCE, recommended.evidence.message))
        most = recommended
        if not self.braked:
            most = gates.most_generous(known, recommended, self._predict(advice.group))
        newest = self.table.newest(advice.group)
        targets = newest.followed_by(most.targets) if newest else GroupTargets(most.targets, 1)
        own = self.table.groups.get(advice.group)
        if own is not None and targets.digest == own.digest:
            return Wish(stop=Stop(Reason.TARGETS_IN_PLACE, "its targets are the recommended ones"))
        proof = self._proof(advice, most)
        stop = self._stop(advice, most, known, targets, proof.basis)
        urgent = self.braked or (gates.grows(most) and not most.present_meets)
        return Wish(stop=stop) if stop is not None else Wish(targets, None, proof, urgent)

    def _stop(
        self,
        advice: GroupAdvice,
        most: Recommendation,
        known: Recommendations,
        targets: GroupTargets,
        basis: str,
    ) -> Stop | None:
        policy, now_s = self.inputs.policy, self.inputs.now_s
        refused = held_back(self.table.refused.get(advice.group, ()), targets, basis, now_s)
        if refused is not None and not self.braked:
            return Stop(
                Reason.BACKING_OFF,
                f"{_env(refused.targets)} was tried and did harm ({refused.cause}): neither it nor "
                f"less is tried for another {refused.until_s - now_s:.0f} s, unless demand or the "
                "policy change",
            )
        if self.braked:
            return None
        if released := gates.release_gate(most, self.inputs.record, now_s):
            return released
        if gates.grows(most) and most.present_meets:
            return Stop(Reason.SAVING_TOO_SMALL, "the present targets serve demand")
        span = policy.spec.change.stabilization
        unsteady = gates.steady_gate(known, advice.recommendation, most, span)
        return unsteady or self._too_small(most)

    def _too_small(self, most: Recommendation) -> Stop | None:
        """Whether so little is saved that the next trial may as well wait."""
        least, present = self.inputs.policy.spec.change.min_saving, most.present.usually_held
        saved = present - most.predicted.usually_held
        if not most.present_meets or (saved > 0 and saved >= least.fraction * present):
            return None
        return Stop(
            Reason.SAVING_TOO_SMALL,
            f"it would save {saved:.0f} of {present:.0f} addresses, change.minSaving is {least}",
        )

    def _predict(self, group: str) -> Callable[[WarmTargets], Prediction]:
        daemon_set, snapshot = self.inputs.snapshot.daemon_set, self.inputs.snapshot
        assert daemon_set is not None  # noqa: S101  (a decision that may be acted on has one)
        settings = read_environment(daemon_set.env).settings
        return partial(predict, snapshot, self.nodes.get(group, ()), settings)

    def _proof(self, advice: GroupAdvice, most: Recommendation) -> Proof:
        daemon_set = self.inputs.snapshot.daemon_set
        assert daemon_set is not None  # noqa: S101  (a decision that may be acted on has one)
        traces: list[NodeTrace] = [t for t in self.inputs.traces if t.group == advice.group]
        settings = read_environment(daemon_set.env).settings
        return proof_of(self.inputs.policy, settings, advice.nodes, traces, most)


def _env(targets: GroupTargets) -> str:
    return shown(targets.targets, prefixes=False)
