"""What befalls one request of many: the process dies, or the request is lost or refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from kubernetes.client import ApiClient, ApiException
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import ReadTimeoutError

from aws_node import AwsNode, Clock
from ippolicy.act import Actor, OutcomeKind
from ippolicy.api import IPPolicy
from ippolicy.decide.types import Decision
from ippolicy.errors import ActError
from ippolicy.facts import ChangePhase, DaemonSetFacts, DaemonSetRef

HOWS = ("killed before", "killed after", "refused", "not carried out", "answer lost")


class Deciding(Protocol):
    """An aws-node that decisions are made about."""

    ref: DaemonSetRef
    clock: Clock

    def facts(self) -> DaemonSetFacts: ...


class Killed(BaseException):
    """The process is gone: nothing in it may catch this."""


@dataclass
class Fate:
    """What befalls the request number `at` of a whole life, over all restarts."""

    at: int
    how: str
    requests: int = 0
    struck: bool = field(default=False)

    def befall(self, request: Callable[[], Any], lost: Exception | None = None) -> Any:
        """Carry out a request, unless it is the one; `lost` is raised where its answer is lost."""
        self.requests += 1
        if self.requests != self.at + 1:
            return request()
        self.struck = True
        if self.how == "killed before":
            raise Killed
        if self.how == "refused":
            raise ApiException(status=429, reason="Too Many Requests")
        if self.how == "not carried out":
            raise ApiException(status=503, reason="Service Unavailable")
        request()
        if self.how == "killed after":
            raise Killed
        raise lost or ReadTimeoutError(HTTPConnectionPool("127.0.0.1"), "/", "the answer was lost")


def mortal_client(client: ApiClient, fate: Fate, lost: Exception | None = None) -> ApiClient:
    """A client like `client`, whose requests are under this fate."""

    class MortalClient(ApiClient):
        def call_api(self, *args: Any, **kwargs: Any) -> Any:
            return fate.befall(lambda: super(MortalClient, self).call_api(*args, **kwargs), lost)

    return MortalClient(copy.copy(client.configuration))


def mortal(node: AwsNode, fate: Fate) -> Actor:
    """A new process of the operator, under the same fate."""
    return node.actor(mortal_client(node.api.client(), fate))


def live_on(
    reborn: Callable[[], Actor],
    work: Callable[[Actor], bool],
    time_goes_by: Callable[[], None],
    *,
    rounds: int,
) -> None:
    """Work until it is done, restarting after each death, with time going by in between."""
    actor = reborn()
    for _ in range(rounds):
        try:
            if work(actor):
                return
        except Killed:
            actor = reborn()
        except ActError:
            pass
        time_goes_by()
    raise AssertionError(f"not done after {rounds} rounds")


def change_round(node: Deciding, policy: IPPolicy, wanted: Decision) -> Callable[[Actor], bool]:
    """What the operator does each time: follow, decide as long as nothing is open, carry out."""

    def work(actor: Actor) -> bool:
        facts = node.facts()
        record = actor.follow(node.ref, facts)
        last = record.last_change if record else None
        if last is not None and last.phase in (ChangePhase.INTENDED, ChangePhase.ROLLING):
            return False
        outcome = actor.carry_out(
            policy=policy, ref=node.ref, decision=wanted, decided_on=facts, now_s=node.clock()
        )
        return outcome.kind is OutcomeKind.IN_PLACE

    return work
