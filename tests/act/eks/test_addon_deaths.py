"""Death and loss at every request of a life by the add-on: two updates, no original lost."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from kubernetes.client import ApiClient, ApiException

from aws_node import CNI_ENV, decision, policy
from eks_addon import UPDATE_S, AddonNode
from ippolicy.act import Actor, OutcomeKind
from ippolicy.act.eks.client import AddonApi
from ippolicy.act.history import IN_DOUBT_S
from ippolicy.act.requests import CallFailed
from ippolicy.errors import ActError
from ippolicy.facts import ChangePhase

W, M = "WARM_IP_TARGET", "MINIMUM_IP_TARGET"
WANTED = {W: "2", M: "20"}
MAX_ROUNDS = 12


class Killed(BaseException):
    """The process is gone: nothing in it may catch this."""


@dataclass
class Fate:
    """What befalls the request number `at` of a whole life, over all restarts."""

    at: int
    how: str
    requests: int = 0

    def befall(self, request: Callable[[], Any], lost: Exception) -> Any:
        self.requests += 1
        if self.requests != self.at + 1:
            return request()
        if self.how == "killed before":
            raise Killed
        request()
        raise Killed if self.how == "killed after" else lost


class MortalApi:
    """EKS, under the same fate."""

    def __init__(self, api: AddonApi, fate: Fate) -> None:
        self._api, self._fate = api, fate

    def __getattr__(self, name: str) -> Callable[..., Any]:
        ask = getattr(self._api, name)
        lost = CallFailed("the answer was lost")
        return lambda *args, **kwargs: self._fate.befall(lambda: ask(*args, **kwargs), lost)


def mortal(node: AddonNode, fate: Fate) -> Actor:
    """A new process of the operator, under the same fate."""
    lost = ApiException(status=503, reason="Service Unavailable")

    class MortalClient(ApiClient):
        def call_api(self, *args: Any, **kwargs: Any) -> Any:
            return fate.befall(lambda: super(MortalClient, self).call_api(*args, **kwargs), lost)

    client = MortalClient(copy.copy(node.api.client().configuration))
    return Actor(client, node.clock, MortalApi(node.eks_client, fate))


def live_on(node: AddonNode, fate: Fate, work: Callable[[Actor], bool]) -> None:
    """Work until it is done, restarting after each death, with time going by in between."""
    actor = mortal(node, fate)
    for _ in range(MAX_ROUNDS):
        try:
            if work(actor):
                return
        except Killed:
            actor = mortal(node, fate)
        except ActError:
            pass
        node.quiet()
        node.pass_time(max(IN_DOUBT_S, UPDATE_S / 2))
    raise AssertionError(f"not done after {MAX_ROUNDS} rounds")


def change_round(node: AddonNode) -> Callable[[Actor], bool]:
    """What the operator does each time: follow, decide as long as nothing is open, carry out."""

    def work(actor: Actor) -> bool:
        facts = node.facts()
        record = actor.follow(node.ref, facts)
        last = record.last_change if record else None
        if last is not None and last.phase in (ChangePhase.INTENDED, ChangePhase.ROLLING):
            return False
        outcome = actor.carry_out(
            policy=policy(method="EKSAddon"),
            ref=node.ref,
            decision=decision(**WANTED),
            decided_on=facts,
            now_s=node.clock(),
        )
        return outcome.kind is OutcomeKind.IN_PLACE

    return work


@pytest.mark.parametrize("how", ["killed before", "killed after", "answer lost"])
def test_whatever_befalls_any_one_request_the_end_is_the_same(node: AddonNode, how: str) -> None:
    node.install()
    for at in itertools.count():
        fate = Fate(at, how)
        node.addon.updates_taken.clear()
        live_on(node, fate, change_round(node))
        assert node.env() == CNI_ENV | WANTED
        record = node.actor().follow(node.ref, None)
        assert record is not None
        assert record.originals == {W: None, M: None}
        assert [change.phase for change in record.changes] == [ChangePhase.COMPLETE]
        live_on(node, fate, lambda actor: actor.restore(node.ref).settled)
        assert (node.env(), node.configured(), node.record_text()) == (CNI_ENV, {}, None)
        assert len(node.addon.updates_taken) == 2
        if fate.requests <= at:
            break
    assert at >= 20, "a whole life is made of more requests than that"
