"""`ippolicy restore` where the values go back by the EKS add-on, which takes its time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ippolicy.act import Outcome, OutcomeKind
from ippolicy.cli.restore import GIVE_UP_S, LOOK_EVERY_S, put_back
from ippolicy.errors import ActError

SENT = Outcome(OutcomeKind.UNDER_WAY, "sent", retryable=True)
BUSY = Outcome(OutcomeKind.UNDER_WAY, "UPDATING", retryable=True)
DONE = Outcome(OutcomeKind.RESTORED, "back")


def one_after_another(*outcomes: Outcome) -> Iterator[Outcome]:
    yield from outcomes
    while True:
        yield outcomes[-1]


def test_it_is_waited_for_and_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes, slept = one_after_another(SENT, BUSY, BUSY, DONE), list[float]()
    assert put_back(lambda: next(outcomes), slept.append) is DONE
    assert slept == [LOOK_EVERY_S] * 3
    assert capsys.readouterr().out == "sent\nUPDATING\n"


def test_an_end_that_does_not_come_is_said() -> None:
    slept: list[float] = []
    with pytest.raises(ActError, match="UPDATING"):
        put_back(lambda: BUSY, slept.append)
    assert sum(slept) == GIVE_UP_S


def test_a_failure_is_not_waited_for() -> None:
    with pytest.raises(ActError, match="no rights"):
        put_back(lambda: Outcome(OutcomeKind.FAILED, "no rights"), lambda _: pytest.fail("waited"))
