"""The guide to subnets shows what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ippolicy.account import metrics
from ippolicy.api import problems
from ippolicy.api.subnet_status import SubnetStatus
from ippolicy.facts import Holder
from ippolicy.facts.subnets import SubnetSplit

GUIDE = (Path(__file__).parents[2] / "docs/user/subnets.md").read_text()
SHOWN, POLICY = (
    yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
)
KNOWN = {metric.name for metric in vars(metrics).values() if isinstance(metric, metrics.Metric)}


def test_the_subnet_shown_is_one_that_the_status_could_have() -> None:
    subnet = SubnetStatus.model_validate(SHOWN)
    assert subnet.model_dump(mode="json", by_alias=True, exclude_unset=True) == SHOWN
    assert subnet.split is not None
    parts = subnet.split.parts
    assert sum(parts.values()) == subnet.usable
    assert subnet.free == parts["free"]
    ours = ("assigned", "warm", "unclear", "eni-primaries")
    assert subnet.split.held == sum(parts[name] for name in ours)
    assert subnet.exhausted_at is not None
    assert subnet.exhausted_at.late is not None
    assert subnet.exhausted_at.early < subnet.exhausted_at.likely < subnet.exhausted_at.late


def test_the_parts_explained_are_those_of_a_split() -> None:
    named = set(re.findall(r"^\| `([a-z-]+)`", GUIDE, re.MULTILINE))
    counts = dict.fromkeys(("assigned", "warm", "unclear", "primaries", "prefixes"), 0)
    nobody = SubnetSplit(
        "subnet-1", usable=251, free=251, **counts, other_clusters={}, others={}, read_at_s=0.0
    )
    always = set(nobody.parts())
    assert always <= named
    kinds = {kind.value for kind in Holder}
    assert named - always <= kinds
    assert set(SHOWN["split"]["parts"]) <= always | kinds


def test_the_policy_shown_is_valid() -> None:
    assert problems(POLICY) == []


@pytest.mark.parametrize("name", re.findall(r"^\| `ippolicy_([a-z_]+)`", GUIDE, re.MULTILINE))
def test_the_metrics_named_are_served(name: str) -> None:
    assert name in {known.removeprefix("ippolicy_") for known in KNOWN}
