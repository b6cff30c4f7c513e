"""`ippolicy explain` takes the step of targets by group again, and says what each group tries."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import builders
from commands import Commands
from decided import story
from ippolicy.decide.births.cohorts import Cohorts
from ippolicy.decide.births.kept import KeptStep
from ippolicy.decide.births.roll import Asked, Rolled, roll
from ippolicy.decide.births.table import PolicyTable, Refused
from ippolicy.decide.bundle import dump, read
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.types import Decision, Recommendations

# Compiling takes a minute of a busy machine, once for all tests and later runs.
pytestmark = pytest.mark.timeout(600)

EMPTY = PolicyTable("default")
SPEC: dict[str, Any] = {
    "mode": "Apply",
    "apply": {"method": "Admission"},
    "change": {"stabilization": "0s", "rollback": {"within": "15m"}},
}


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    """Ten nodes of one group, each with its aws-node."""
    agents = {f"node-{n}": builders.agent(n) for n in range(10)}
    return story(SPEC, snapshot=builders.snapshot(agents=agents))


@pytest.fixture(scope="module")
def decision(inputs: Inputs) -> Decision:
    """What is decided on them."""
    return decide(inputs)


def taken(
    inputs: Inputs,
    decision: Decision,
    *,
    steps: int,
    table: PolicyTable = EMPTY,
) -> tuple[Asked, Rolled]:
    """The last of so many steps from a table, by default an empty one."""
    cohorts, known = Cohorts(), dict[str, Recommendations]()
    for _ in range(steps):
        cohorts.note(table, inputs.snapshot)
        asked = Asked(inputs, decision, table, cohorts.counts(), known)
        rolled = roll(asked)
        table, known = rolled.table, dict(rolled.known)
    return asked, rolled


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_step_is_the_same_when_it_is_taken_again_from_its_bundle(
    inputs: Inputs, decision: Decision, steps: int
) -> None:
    asked, rolled = taken(inputs, decision, steps=steps)
    assert rolled.table.trials
    bundle = read(dump(inputs, decision, KeptStep.of(asked, rolled)))
    assert bundle.births is not None
    again = roll(bundle.births.asked(bundle.inputs, decide(bundle.inputs)))
    assert bundle.births.differing(again) == []
    assert (again.table, again.due, again.stops) == (rolled.table, rolled.due, rolled.stops)


def test_what_a_group_tries_is_told(
    ippolicy: Commands, inputs: Inputs, decision: Decision, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.json"
    path.write_bytes(dump(inputs, decision, KeptStep.of(*taken(inputs, decision, steps=1))))
    ended = ippolicy("explain", "--bundle", path)
    assert ended.status == 0
    assert ended.widest <= 80
    for told in (
        "targets by node group",
        "blue: tries MINIMUM_IP_TARGET=20 WARM_IP_TARGET=1 on 1 nodes (Canary)",
        "restarts: 1 nodes are due now, 1 begun",
        "Decided again from the bundle: the same decision.",
    ):
        assert told in ended.flat
    data = json.loads(ippolicy("explain", "--bundle", path, "--output", "json").out)
    assert data["births"]["table"]["trials"]["blue"]["stage"] == "Canary"
    assert data["births"]["news"][0]["step"] == "TrialBegun"


def test_why_a_group_tries_nothing_is_told(
    ippolicy: Commands, inputs: Inputs, decision: Decision, tmp_path: Path
) -> None:
    _, first = taken(inputs, decision, steps=1)
    trial = first.table.trials["blue"]
    refused = Refused(
        trial.targets, inputs.now_s + 3_600, 1, trial.grounds.proof.basis, "EC2Errors: 9 calls"
    )
    table = PolicyTable("default", refused={"blue": (refused,)})
    path = tmp_path / "bundle.json"
    kept = KeptStep.of(*taken(inputs, decision, steps=1, table=table))
    path.write_bytes(dump(inputs, decision, kept))
    told = ippolicy("explain", "--bundle", path).flat
    assert "blue: tries nothing: WARM_IP_TARGET=1 MINIMUM_IP_TARGET=20 was tried and did" in told
    assert "EC2Errors: 9 calls" in told


def test_a_step_that_came_to_something_else_is_said_to_differ(
    ippolicy: Commands, inputs: Inputs, decision: Decision, tmp_path: Path
) -> None:
    kept = KeptStep.of(*taken(inputs, decision, steps=1))
    path = tmp_path / "bundle.json"
    path.write_bytes(dump(inputs, decision, replace(kept, due=())))
    ended = ippolicy("explain", "--bundle", path)
    assert ended.status == 3
    assert "DIFFERS in births.due" in ended.flat


def test_a_table_that_is_none_is_refused_with_its_place(
    ippolicy: Commands, inputs: Inputs, decision: Decision, tmp_path: Path
) -> None:
    kept = KeptStep.of(*taken(inputs, decision, steps=1))
    path = tmp_path / "bundle.json"
    path.write_bytes(dump(inputs, decision, replace(kept, table={"version": 2})))
    ended = ippolicy("explain", "--bundle", path)
    assert ended.status == 2
    assert "$.births.table" in ended.err
