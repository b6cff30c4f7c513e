"""Death and loss at every request of a life by the add-on: two updates, no original lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from kubernetes.client import ApiException

from aws_node import CNI_ENV, decision, policy
from eks_addon import UPDATE_S, AddonNode
from fate import Fate, change_round, live_on, mortal_client
from ippolicy.act import Actor
from ippolicy.act.eks.client import AddonApi
from ippolicy.act.history import IN_DOUBT_S
from ippolicy.act.requests import CallFailed
from ippolicy.facts import ChangePhase

W, M = "WARM_IP_TARGET", "MINIMUM_IP_TARGET"
WANTED = {W: "2", M: "20"}
MAX_ROUNDS = 12


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
    client = mortal_client(node.api.client(), fate, lost)
    return Actor(client, node.clock, MortalApi(node.eks_client, fate))


def live(node: AddonNode, fate: Fate, work: Callable[[Actor], bool]) -> None:
    """Work until it is done, whatever befalls."""

    def time_goes_by() -> None:
        node.quiet()
        node.pass_time(max(IN_DOUBT_S, UPDATE_S / 2))

    live_on(lambda: mortal(node, fate), work, time_goes_by, rounds=MAX_ROUNDS)


@pytest.mark.parametrize("how", ["killed before", "killed after", "answer lost"])
def test_whatever_befalls_any_one_request_the_end_is_the_same(node: AddonNode, how: str) -> None:
    node.install()
    for at in itertools.count():
        fate = Fate(at, how)
        node.addon.updates_taken.clear()
        live(node, fate, change_round(node, policy(method="EKSAddon"), decision(**WANTED)))
        assert node.env() == CNI_ENV | WANTED
        record = node.actor().follow(node.ref, None)
        assert record is not None
        assert record.originals == {W: None, M: None}
        assert [change.phase for change in record.changes] == [ChangePhase.COMPLETE]
        live(node, fate, lambda actor: actor.restore(node.ref).settled)
        assert (node.env(), node.configured(), node.record_text()) == (CNI_ENV, {}, None)
        assert len(node.addon.updates_taken) == 2
        if fate.requests <= at:
            break
    assert at >= 20, "a whole life is made of more requests than that"
