"""Chart.yaml fits the package, and its notes for Artifact Hub can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import ippolicy
from ippolicy.api.crd import custom_resource_definition
from ippolicy.api.validate import problems

CHART = Path(__file__).parents[2] / "charts/ippolicy-operator"
ABOUT = yaml.safe_load((CHART / "Chart.yaml").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
CATEGORIES = {
    "ai-machine-learning",
    "database",
    "integration-delivery",
    "monitoring-logging",
    "networking",
    "security",
    "storage",
    "streaming-messaging",
}


def noted(name: str) -> Any:
    return yaml.safe_load(ABOUT["annotations"][f"artifacthub.io/{name}"])


def test_the_chart_is_that_of_this_version() -> None:
    assert ABOUT["appVersion"] == ABOUT["version"] == ippolicy.__version__


def test_old_clusters_are_refused() -> None:
    assert ABOUT["kubeVersion"] == ">=1.29.0-0"


def test_every_annotation_is_text() -> None:
    assert all(isinstance(value, str) for value in ABOUT["annotations"].values())
    assert ABOUT["annotations"]["artifacthub.io/category"] in CATEGORIES


def test_the_image_is_the_one_that_the_chart_runs() -> None:
    (image,) = noted("images")
    assert image["image"] == f"{VALUES['image']['repository']}:{ABOUT['appVersion']}"


def test_the_resource_is_the_one_that_the_types_give() -> None:
    (told,) = noted("crds")
    made = custom_resource_definition()
    assert told["name"] == made["metadata"]["name"]
    assert told["kind"] == made["spec"]["names"]["kind"]
    assert told["version"] == made["spec"]["versions"][0]["name"]


def test_the_example_is_a_policy() -> None:
    (example,) = noted("crdsExamples")
    assert problems(example) == []


@pytest.mark.parametrize("change", noted("changes"))
def test_every_change_has_a_kind(change: dict[str, str]) -> None:
    assert change["kind"] in {"added", "changed", "deprecated", "removed", "fixed", "security"}
    assert change["description"]
