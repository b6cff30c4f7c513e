"""The guide to changes: its example is a policy, its tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ippolicy.account.events import CATALOGUE
from ippolicy.account.metrics import LADDER_STEP
from ippolicy.api import IPPolicy, Urgent, problems
from ippolicy.decide.gates import Pressure, may_pass
from ippolicy.decide.gates.ladder import SUBNETS_MAX_AGE_S
from ippolicy.decide.gates.rollout import ROLLING_LEAST, ROLLING_SHARE
from ippolicy.decide.types import Reason

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs/user/changes.md").read_text()
HOLDING = [
    Reason.MODE_OFF,
    Reason.MODE_RECOMMEND,
    Reason.PAUSED,
    Reason.WRITER_NONE,
    Reason.ROLLOUT_IN_PROGRESS,
    Reason.DAEMON_SET_UNHEALTHY,
    Reason.OTHER_ROLLOUT,
    Reason.NODES_ROLLING,
    Reason.FACTS_STALE,
    Reason.COVERAGE_LOW,
    Reason.GROW_ONLY,
    Reason.FROZEN,
    Reason.LOW_CONFIDENCE,
    Reason.OUTSIDE_WINDOW,
    Reason.COOLDOWN,
    Reason.DAILY_LIMIT,
    Reason.STABILIZING,
    Reason.SAVING_TOO_SMALL,
]


def test_the_example_is_a_policy_with_windows() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    raw = yaml.safe_load(example)
    assert problems(raw) == []
    windows = IPPolicy.from_raw(raw).spec.change.windows
    assert [window.time_zone for window in windows] == ["Europe/Berlin", "UTC", "America/New_York"]


@pytest.mark.parametrize("reason", HOLDING)
def test_every_reason_that_holds_a_change_is_in_the_table(reason: Reason) -> None:
    assert re.search(rf"\|[^|\n]*`{reason.value}`[^|\n]*\|", GUIDE), reason


@pytest.mark.parametrize(
    ("row", "pressure", "growing"),
    [
        ("| none | any |", Pressure.NONE, True),
        ("miss the objective | holds more |", Pressure.STARTS, True),
        ("| starts | holds no more |", Pressure.STARTS, False),
        ("is on | holds less |", Pressure.SUBNETS, False),
    ],
)
def test_the_table_of_what_is_urgent_is_what_happens(
    row: str, pressure: Pressure, *, growing: bool
) -> None:
    (line,) = (line for line in GUIDE.splitlines() if row in line)
    cells = [cell.strip() for cell in line.split("|")[3:6]]
    wishes = (Urgent.NEVER, Urgent.GROW, Urgent.ANY)
    passed = [may_pass(urgent, pressure, growing=growing) for urgent in wishes]
    assert cells == ["passes" if one else "waits" for one in passed]


def test_figures_and_names_are_those_of_the_code() -> None:
    assert (ROLLING_SHARE, ROLLING_LEAST, SUBNETS_MAX_AGE_S) == (0.1, 2, 15 * 60)
    assert LADDER_STEP.name in GUIDE
    assert any(event.__name__ == "ladder_changed" for event in CATALOGUE)


def test_the_guide_is_in_the_table_of_the_readme() -> None:
    assert "[docs/user/changes.md](docs/user/changes.md)" in (ROOT / "README.md").read_text()
