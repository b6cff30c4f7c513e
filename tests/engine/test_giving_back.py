"""Pods return to their template before their policy goes, whoever sees to it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import pytest

import builders
from engine_fakes import REF
from ippolicy.act.outcome import OutcomeKind
from ippolicy.act.restarts import PodRestarts
from ippolicy.engine.giving_back import LOOKED_AT, give_back
from ippolicy.facts import Birth, Snapshot, SourceName, SourceState

POLICY = builders.policy({"apply": {"method": "Admission"}})


@dataclass
class Deleted:
    """Notes which pods were to go."""

    uids: list[str] = field(default_factory=list)

    def delete(self, _namespace: str, _name: str, uid: str) -> bool:
        self.uids.append(uid)
        return True


def born() -> Snapshot:
    """Ten nodes whose aws-node was born with targets of ours."""
    birth = Birth("default", "blue", "1", "digest")
    agents = {f"node-{n}": builders.agent(n, birth=birth) for n in range(10)}
    return builders.snapshot(agents=agents)


async def test_a_few_go_at_once_and_the_policy_waits_for_the_others() -> None:
    deleted = Deleted()
    outcome = await give_back(cast("PodRestarts", deleted), POLICY, REF, born(), begin=True)
    assert outcome is not None
    assert outcome.kind is OutcomeKind.UNDER_WAY
    assert len(deleted.uids) == 1


@pytest.mark.parametrize("source", LOOKED_AT)
async def test_who_has_not_listed_them_yet_does_not_take_them_for_gone(source: SourceName) -> None:
    seen, deleted = born(), Deleted()
    blind = replace(seen, agents={}, sources={**seen.sources, source: SourceState(None)})
    outcome = await give_back(cast("PodRestarts", deleted), POLICY, REF, blind, begin=True)
    assert outcome is not None
    assert not outcome.settled
    assert source.value in outcome.message
    assert not deleted.uids


async def test_once_all_are_back_the_policy_may_go() -> None:
    agents = {f"node-{n}": builders.agent(n) for n in range(10)}
    seen = builders.snapshot(agents=agents)
    restarts = cast("PodRestarts", Deleted())
    assert await give_back(restarts, POLICY, REF, seen, begin=True) is None
