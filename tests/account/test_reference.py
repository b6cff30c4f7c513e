"""The reference pages are what the code says, and complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from ippolicy.account import catalogue, events, metrics
from ippolicy.account.reference import main, pages
from ippolicy.account.words import env_text, one_line, span, timestamp
from ippolicy.api import IPPolicy
from ippolicy.ipamd import WarmTargets

REFERENCE = Path(__file__).parents[2] / "docs/reference"


def test_the_shipped_pages_are_the_generated_ones() -> None:
    assert {name: (REFERENCE / name).read_text() for name in pages()} == pages()


def test_every_condition_reason_metric_and_event_is_documented() -> None:
    made = pages()
    assert all(f"`{row.reason}`" in made["conditions.md"] for row in catalogue.CATALOGUE)
    assert all(f"`{metric.name}" in made["metrics.md"] for metric in metrics.CATALOGUE)
    assert made["events.md"].count("| `") == len(events.CATALOGUE)


def test_every_field_of_the_spec_is_documented_with_its_default() -> None:
    page = pages()["ippolicy.md"]
    assert '| `minEvidence` | string | `"1h"` |' in page
    assert "| `maxEC2CallsPerMinute` | integer |  |" in page
    assert "### spec.bounds.warmPrefixTarget" in page


def test_write_and_check_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(tmp_path / "reference")
    assert main(["--check", folder]) == 1
    assert capsys.readouterr().err.count("is stale: run") == len(pages())
    assert main(["--write", folder]) == 0
    assert main(["--check", folder]) == 0
    (tmp_path / "reference/events.md").write_text("edited")
    assert main(["--check", folder]) == 1
    assert "events.md is stale" in capsys.readouterr().err


def test_unknown_arguments_show_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--write"]) == 2
    assert main(["--print", "x"]) == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.4, "0s"),
        (45.0, "45s"),
        (60.0, "1m"),
        (90.0, "1m30s"),
        (3_599.6, "1h"),
        (12_000.0, "3h20m"),
        (86_400.0, "1d"),
        (187_200.0, "2d4h"),
    ],
)
def test_spans_are_said_in_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_moment_is_written_as_kubernetes_does_and_reads_back() -> None:
    text = timestamp(1_795_366_140.9)
    assert text == "2026-11-22T16:49:00Z"
    raw = {"metadata": {"name": "x", "creationTimestamp": text}}
    assert IPPolicy.from_raw(raw).created_at_s == 1_795_366_140.0


@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (WarmTargets(), "WARM_ENI_TARGET=1"),
        (WarmTargets(warm_eni=0), "WARM_ENI_TARGET=0"),
        (WarmTargets(warm_prefix=1), "WARM_ENI_TARGET=1 WARM_PREFIX_TARGET=1"),
        (WarmTargets(warm_ip=5, warm_prefix=1), "WARM_IP_TARGET=5 MINIMUM_IP_TARGET=0"),
    ],
)
def test_only_targets_that_rule_are_said(targets: WarmTargets, text: str) -> None:
    assert env_text(targets) == text


def test_long_text_is_cut_with_a_mark() -> None:
    assert one_line("a\r\n\u2028 b\x00", 10) == "a b"
    assert one_line("x" * 11, 10) == "x" * 9 + "…"
