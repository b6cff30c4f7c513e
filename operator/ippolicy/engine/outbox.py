"""Events on their way to the API server: each once, in order, and late where it was away."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from ippolicy.account.events import MOST_WAITING, Event
from ippolicy.account.exporter import Exporter, Lost
from ippolicy.account.words import timestamp
from ippolicy.api import API_VERSION, KIND, IPPolicy

NAMESPACE: Final = "default"  # where Events about cluster-scoped objects live


class Answer(Enum):
    """What the API server made of a request."""

    TAKEN = auto()
    REFUSED = auto()
    """It would refuse the same again."""
    LATER = auto()
    """It was away or overloaded: the same may be taken later."""


@dataclass(frozen=True, slots=True)
class _Letter:
    policy: str
    reason: str
    body: Mapping[str, Any]


class Outbox:
    """Events that wait to be taken, the oldest first; where more than `most` wait, it is lost.

    `post` creates one Event from its body. One whose answer was lost has the same name when it is
    posted again, so it is there once. All methods belong to one event loop.
    """

    def __init__(
        self,
        post: Callable[[Mapping[str, Any]], Awaitable[Answer]],
        exporter: Exporter,
        *,
        most: int = MOST_WAITING,
    ) -> None:
        self._post = post
        self._exporter = exporter
        self._most = most
        self._waiting: deque[_Letter] = deque()
        self._sending = asyncio.Lock()

    def put(self, policy: IPPolicy, event: Event, *, count: int, now_s: float) -> None:
        """Take up an Event that happens now; `count` is how often since the last one like it."""
        body = _body(policy, event, count=count, now_s=now_s)
        self._waiting.append(_Letter(policy.name, event.reason, body))
        if len(self._waiting) > self._most:
            self._exporter.lost(self._waiting.popleft().policy, Lost.QUEUE_FULL)

    async def send(self) -> None:
        """Post what waits, up to the first that is to be posted later."""
        async with self._sending:
            while self._waiting:
                letter = self._waiting[0]
                answer = await self._post(letter.body)
                if answer is Answer.LATER:
                    return
                # Its policy may have gone meanwhile, and the Event with it.
                if self._waiting and self._waiting[0] is letter:
                    self._waiting.popleft()
                    self._count(letter, answer)

    def forget(self, policy: str) -> None:
        """Drop what waits of a policy that is gone."""
        self._waiting = deque(letter for letter in self._waiting if letter.policy != policy)

    def __len__(self) -> int:
        return len(self._waiting)

    def _count(self, letter: _Letter, answer: Answer) -> None:
        if answer is Answer.TAKEN:
            self._exporter.posted(letter.policy, letter.reason)
        else:
            self._exporter.lost(letter.policy, Lost.REFUSED)


def _body(policy: IPPolicy, event: Event, *, count: int, now_s: float) -> dict[str, Any]:
    told = (policy.uid, event.reason, event.message, repr(now_s))
    digest = hashlib.sha256("\0".join(told).encode()).hexdigest()
    moment = timestamp(now_s)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{policy.name}.{digest[:16]}", "namespace": NAMESPACE},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": policy.name,
            "uid": policy.uid,
        },
        "reason": event.reason,
        "message": event.message,
        "type": event.type.value,
        "count": count,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "source": {"component": "ippolicy-operator"},
        "reportingComponent": "ippolicy-operator",
        "reportingInstance": "",
    }
