"""All questions to EC2 together keep to the budget of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ec2_fakes import WithoutOptionalRights, denied
from ippolicy.observe.asking import Asker, Source
from ippolicy.observe.ec2_client import Questions
from ippolicy.observe.settings import ObserveSettings
from observe_fakes import FakeTime

SETTINGS = ObserveSettings(ec2_calls_per_minute=6, ec2_retry_s=30.0)


class Rig:
    def __init__(self) -> None:
        self.time = FakeTime()
        self.client = cast("Questions", WithoutOptionalRights())
        self.asker = Asker(self.client, SETTINGS, clock=self.time.clock)
        self.source = Source()

    def calls(self, count: int = 1) -> Callable[[], str]:
        """A question that takes `count` calls."""

        def question() -> str:
            self.client.calls["any"] += count
            return "answered"

        return question

    async def asked(self, count: int = 1, source: Source | None = None) -> int:
        """How many questions of `count` calls each are answered before one is put off."""
        answered = 0
        while await self.asker.ask(source or self.source, self.calls(count)):
            answered += 1
        return answered


async def test_a_minutes_calls_may_be_made_at_once_and_no_more() -> None:
    rig = Rig()
    assert await rig.asked() == 6
    rig.time.now_s += 9
    assert await rig.asked() == 0
    rig.time.now_s += 1
    assert await rig.asked() == 1
    rig.time.now_s += 3600
    assert await rig.asked() == 6


async def test_what_a_long_question_took_beyond_the_budget_is_owed() -> None:
    rig = Rig()
    assert await rig.asked(20) == 1
    rig.time.now_s += 149
    assert await rig.asked() == 0
    rig.time.now_s += 1
    assert await rig.asked() == 1


async def test_all_questions_share_one_budget() -> None:
    rig = Rig()
    assert await rig.asked(source=Source()) == 6
    assert await rig.asked(source=Source()) == 0


async def test_a_question_that_is_put_off_is_no_failure() -> None:
    rig = Rig()
    await rig.asked()
    assert (rig.source.tried, rig.source.reason, rig.source.state.error) == (True, None, None)
    assert rig.source.state.succeeded_at_s == rig.time.now_s


async def test_failed_calls_count_and_are_made_again_later() -> None:
    rig = Rig()

    def refused() -> str:
        rig.client.calls["any"] += 1
        raise denied("ec2:DescribeSubnets")

    for _ in range(3):
        assert await rig.asker.ask(rig.source, refused) is None
    assert rig.client.calls.total() == 1
    assert rig.source.state.permission == "ec2:DescribeSubnets"
    assert [rig.source.reason] == ["AccessDenied"]
    assert await rig.asked(source=Source()) == 5
    rig.time.now_s += 30
    assert await rig.asked() == 3
    assert rig.source.state.permission is rig.source.reason is None


async def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    rig = Rig()
    await rig.asked()
    rig.time.now_s -= 100
    assert await rig.asked() == 0
    rig.time.now_s += 10
    assert await rig.asked() == 1


async def test_a_clock_that_was_put_back_puts_nothing_off() -> None:
    rig = Rig()
    assert await rig.asked(1) == 6
    rig.source.asked_at_s = rig.time.now_s
    rig.source.retry_at_s = rig.time.now_s + SETTINGS.ec2_retry_s
    assert not rig.asker.due(rig.source, 60.0)
    rig.time.now_s -= 3_600
    assert rig.asker.due(rig.source, 60.0)
    assert await rig.asked() == 0
    rig.time.now_s += 10
    assert await rig.asked() == 1
