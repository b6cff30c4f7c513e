"""What is generated from the chart is known to be stale, without Helm."""

from __future__ import annotations

import shutil
from pathlib import Path

import deploy
import pytest
import yaml


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Path]:
    """Chart and deploy/, to be changed."""
    return (
        Path(shutil.copytree(deploy.CHART, tmp_path / "chart")),
        Path(shutil.copytree(deploy.DEPLOY, tmp_path / "deploy")),
    )


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_untouched_copy_is_fresh(copies: tuple[Path, Path]) -> None:
    assert deploy.is_fresh(*copies)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("templates/rbac.yaml", "verbs: [get, list, watch]", "verbs: [get]"),
        ("templates/_helpers.tpl", "runAsUser: 65532", "runAsUser: 0"),
        ("values.yaml", "replicaCount: 2", "replicaCount: 3"),
        ("Chart.yaml", "appVersion: ", "appVersion: 9."),
    ],
)
def test_manifests_are_stale_once_the_chart_has_changed(
    copies: tuple[Path, Path], name: str, old: str, new: str
) -> None:
    replaced(copies[0] / name, old, new)
    assert not deploy.is_fresh(*copies)


def test_a_comment_in_the_values_makes_nothing_stale(copies: tuple[Path, Path]) -> None:
    replaced(copies[0] / "values.yaml", "# Operators that run.", "# Operators.")
    assert deploy.is_fresh(*copies)


@pytest.mark.parametrize(
    "name", ["rbac.yaml", "deployment.yaml", "rbac-proxy-scrape.yaml", "webhook.yaml"]
)
def test_manifests_are_stale_once_they_were_edited(copies: tuple[Path, Path], name: str) -> None:
    replaced(copies[1] / name, "ippolicy-operator\n", "another\n")
    assert not deploy.is_fresh(*copies)


def test_a_manifest_that_is_gone_or_no_longer_listed_is_missed(copies: tuple[Path, Path]) -> None:
    replaced(copies[1] / deploy.KUSTOMIZATION, "  - service.yaml\n", "")
    assert not deploy.is_fresh(*copies)
    (copies[1] / deploy.KUSTOMIZATION).unlink()
    assert not deploy.is_fresh(*copies)


def test_kustomize_is_given_every_manifest_that_is_not_applied_by_hand() -> None:
    listed = yaml.safe_load((deploy.DEPLOY / deploy.KUSTOMIZATION).read_text())["resources"]
    paths = (path.relative_to(deploy.DEPLOY) for path in deploy.DEPLOY.rglob("*.yaml"))
    there = {str(path) for path in paths if path.parent.name != "alerts"}  # Prometheus takes those
    by_hand = {deploy.KUSTOMIZATION, "policy-sample.yaml", *deploy.APART}
    assert sorted(listed) == sorted(there - by_hand)
