"""Every example in the guide is a policy that the API server takes, and does what the text says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ippolicy.api import Goal, IPPolicy, Mode, Objective, problems
from ippolicy.api.crd import custom_resource_definition
from ippolicy.api.objective import GOAL_LIMITS

GUIDE = (Path(__file__).parents[2] / "docs/user/policy.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


def test_the_guide_has_its_examples() -> None:
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("text", EXAMPLES)
def test_an_example_is_a_valid_policy(text: str) -> None:
    raw = yaml.safe_load(text)
    assert (raw["apiVersion"], raw["kind"]) == ("ippolicy.dev/v1alpha1", "IPPolicy")
    assert problems(raw) == []


def test_the_first_example_writes_nothing_and_the_second_does() -> None:
    modes = [IPPolicy.from_raw(yaml.safe_load(text)).spec.mode for text in EXAMPLES]
    assert modes[0] is Mode.RECOMMEND
    assert set(modes[1:]) == {Mode.APPLY}


@pytest.mark.parametrize("goal", Goal)
def test_the_table_of_goals_is_true(goal: Goal) -> None:
    share, calls = GOAL_LIMITS[goal]
    assert f"| `{goal}` | {share} | {calls} |" in GUIDE
    assert f"{goal} ({share}, {calls})" in _description_of_goal()


def _description_of_goal() -> str:
    schema = Objective.model_json_schema()
    return " ".join(schema["properties"]["goal"]["description"].split())


def test_the_columns_shown_are_those_of_the_crd() -> None:
    version = custom_resource_definition()["spec"]["versions"][0]
    columns = [c["name"] for c in version["additionalPrinterColumns"] if not c.get("priority")]
    header = next(line for line in GUIDE.splitlines() if line.startswith("NAME "))
    assert header.split()[1:] == [name.upper() for name in columns]


def test_the_refusal_shown_is_the_real_one() -> None:
    raw = {"metadata": {"name": "default"}, "spec": {"bounds": {"warmIPTarget": {"min": 40}}}}
    (refusal,) = problems(raw)
    assert f'The IPPolicy "default" is invalid: {refusal}\n' in GUIDE
