"""The queue of Events: bounded, in order, and each posted once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ippolicy.account import events
from ippolicy.account.exporter import Exporter
from ippolicy.engine.outbox import Answer, Outbox
from views import NOW_S, a_policy


class Post:
    """An API server that takes what it is sent, once it is let."""

    def __init__(self, answer: Answer = Answer.TAKEN) -> None:
        self.answer = answer
        self.sent: list[str] = []
        self.names: list[str] = []
        self.begun, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()

    async def __call__(self, body: Mapping[str, Any]) -> Answer:
        self.begun.set()
        self.sent.append(body["message"])
        self.names.append(body["metadata"]["name"])
        await self.open.wait()
        return self.answer


def put(outbox: Outbox, *messages: str, after_s: float = 0.0) -> None:
    for message in messages:
        outbox.put(a_policy(), events.degraded(message), count=1, now_s=NOW_S + after_s)


def served(exporter: Exporter, series: str) -> bool:
    return f"ippolicy_{series}\n" in exporter.render().decode()


async def test_of_too_many_the_oldest_are_lost_and_counted() -> None:
    post, exporter = Post(Answer.LATER), Exporter()
    outbox = Outbox(post, exporter, most=2)
    put(outbox, "first", "second", "third")
    await outbox.send()
    assert post.sent == ["second"], "the first that is not taken holds up the rest"
    post.answer = Answer.TAKEN
    await outbox.send()
    assert post.sent[1:] == ["second", "third"]
    assert served(exporter, 'events_lost_total{cause="QueueFull",policy="default"} 1.0')
    assert len(outbox) == 0


async def test_one_that_is_refused_holds_up_nothing() -> None:
    post, exporter = Post(Answer.REFUSED), Exporter()
    outbox = Outbox(post, exporter)
    put(outbox, "first", "second")
    await outbox.send()
    await outbox.send()
    assert post.sent == ["first", "second"]
    assert served(exporter, 'events_lost_total{cause="Refused",policy="default"} 2.0')


async def test_two_that_send_at_the_same_time_post_each_event_once() -> None:
    post, exporter = Post(), Exporter()
    outbox = Outbox(post, exporter)
    put(outbox, "first", "second")
    await asyncio.gather(outbox.send(), outbox.send())
    assert post.sent == ["first", "second"]
    assert served(exporter, 'events_total{policy="default",reason="Degraded"} 2.0')


async def test_a_policy_that_goes_while_its_event_is_sent_is_counted_no_more() -> None:
    post, exporter = Post(), Exporter()
    outbox = Outbox(post, exporter)
    put(outbox, "first", "second")
    post.open.clear()
    sending = asyncio.create_task(outbox.send())
    await post.begun.wait()
    outbox.forget("default")
    post.open.set()
    await sending
    assert post.sent == ["first"]
    assert "default" not in exporter.render().decode()


async def test_the_same_event_has_the_same_name_and_another_time_another_one() -> None:
    names = []
    for after_s in (0.0, 0.0, 0.5, 3_600.0):
        post = Post()
        outbox = Outbox(post, Exporter())
        put(outbox, "again", after_s=after_s)
        await outbox.send()
        names += post.names
    assert names[0] == names[1]
    assert len(set(names)) == 3
