"""`ippolicy simulate --trace` replays demand under each setting."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from commands import Commands, written
from ippolicy.cli import replayed
from ippolicy.cli.environment import Setting, read_settings
from ippolicy.cli.instances import instance_type
from ippolicy.cli.traces import read_trace

# Compiling takes a minute of a busy machine, once for all tests and later runs.
pytestmark = pytest.mark.timeout(600)

NODE = ("simulate", "--instance-type", "m5.xlarge")


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nodes for three hours, with twenty pods at each full hour."""
    rng = np.random.default_rng(5)
    rows = ["node,start_s,end_s"]
    for node in ("n1", "n2"):
        for hour in range(3):
            for start in rng.uniform(0, 20, 20):
                at_s = hour * 3600 + 1 + start
                rows.append(f"{node},{at_s:.0f},{at_s + rng.uniform(120, 520):.0f}")
    rows.append("n1,0,10800")
    return written(tmp_path_factory.mktemp("traces"), "batches.csv", rows)


def settings(*groups: str) -> list[Setting]:
    """Settings of an m5.xlarge."""
    return read_settings((), groups, instance_type("m5.xlarge"), custom_networking=False)


def test_steps_and_the_compiled_replay_come_to_the_same(
    batches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, traces = settings("WARM_ENI_TARGET=1", "WARM_IP_TARGET=5"), read_trace(batches)
    node = instance_type("m5.xlarge")
    stepped = replayed.replay(node, chosen, traces, max_pods=None)
    monkeypatch.setattr(replayed, "_FEW_EVENTS", 0)
    at_once = replayed.replay(node, chosen, traces, max_pods=None)
    for one, other in zip(stepped, at_once, strict=True):
        assert one.figures() == other.figures()
        assert {api: n for api, n in one.calls.items() if n} == other.calls


def test_more_warm_addresses_delay_fewer_pods(ippolicy: Commands, batches: Path) -> None:
    env = ("--env", "WARM_IP_TARGET=2", "--compare", "WARM_IP_TARGET=32")
    ended = ippolicy(*NODE, "--trace", batches, *env, "-o", "json")
    lean, generous = (setting["replayed"] for setting in ended.json["settings"])
    assert lean["pods"] == generous["pods"] > 0
    assert lean["delayed"] > generous["delayed"]
    assert lean["mean_held"] < generous["mean_held"]
    assert lean["mean_held"] <= lean["peak_held"]
    assert lean["ec2_calls"] == sum(lean["calls"].values()) >= lean["changing_calls"] > 0


def test_a_pool_at_rest_holds_what_the_closed_form_says(ippolicy: Commands, tmp_path: Path) -> None:
    calm = written(tmp_path, "calm.csv", ["node,start_s,end_s", *["n1,0,7200"] * 20])
    ended = ippolicy(
        "simulate", "--instance-type", "r5.xlarge", "--trace", calm, "-o", "csv",
        "--compare", "WARM_ENI_TARGET=1", "--compare", "MINIMUM_IP_TARGET=20 WARM_IP_TARGET=2",
    )  # fmt: skip
    assert [(row["mean_held"], row["delayed"]) for row in ended.csv] == [
        ("42.0", "0"),
        ("22.0", "0"),
    ]


def test_what_the_compiled_replay_does_not_know_is_stepped_through(
    ippolicy: Commands, batches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replayed, "_FEW_EVENTS", 0)
    custom = ippolicy(*NODE, "--trace", batches, "--custom-networking", "-o", "json")
    found = custom.json["settings"][0]["replayed"]
    assert found["max_pods"] == 44
    assert found["unserved"] == 0


def test_a_setting_that_aws_node_does_not_start_with_is_shown_without_figures(
    ippolicy: Commands, batches: Path
) -> None:
    env = ("--compare", "ENABLE_PREFIX_DELEGATION=true", "--compare", "WARM_IP_TARGET=5")
    ended = ippolicy(*NODE, "--trace", batches, *env, "-o", "json")
    crashing, sound = ended.json["settings"]
    assert (crashing["starts"], crashing["replayed"]) == (False, None)
    assert sound["replayed"]["pods"] == 120
    shown = ippolicy(*NODE, "--trace", batches, *env)
    assert "TRAP: aws-node cannot start" in shown.out
    only = ippolicy(*NODE, "--trace", batches, *env[:2], "-o", "svg", "--out", "x.svg")
    assert (only.status, "nothing to draw" in only.err) == (2, True)


def test_the_table_fits_a_terminal(ippolicy: Commands, batches: Path) -> None:
    many = [part for n in range(1, 12) for part in ("--compare", f"WARM_IP_TARGET={n}")]
    ended = ippolicy(*NODE, "--trace", batches, *many)
    assert ended.status == 0
    assert ended.widest <= 80
    assert "120 pod starts" in ended.flat
    assert all(f"\n{label} " in ended.out for label in "ABCDEFGHIJK")


# -- pictures -------------------------------------------------------------------------------------


def test_a_picture_shows_held_assigned_and_cooling_addresses(
    ippolicy: Commands, batches: Path, tmp_path: Path
) -> None:
    env = ("--compare", "WARM_ENI_TARGET=1", "--compare", "WARM_IP_TARGET=5")
    out = tmp_path / "levels.svg"
    ended = ippolicy(*NODE, "--trace", batches, *env, "-o", "svg", "--out", out)
    assert (ended.status, ended.out) == (0, "")
    texts = {"".join(part.itertext()) for part in ET.parse(out).iter()}  # noqa: S314
    for told in ("held", "cooling down", "assigned to pods", "warm", "A  WARM_ENI_TARGET=1"):
        assert told in texts
    again = tmp_path / "again.svg"
    ippolicy(*NODE, "--trace", batches, *env, "-o", "svg", "--out", again)
    assert out.read_bytes() == again.read_bytes()
    bitmap = tmp_path / "levels.png"
    ippolicy(*NODE, "--trace", batches, *env, "-o", "png", "--out", bitmap)
    assert bitmap.read_bytes().startswith(b"\x89PNG")
    width, height = struct.unpack(">II", bitmap.read_bytes()[16:24])
    assert (width, height) == (1080, 660)


def test_the_levels_drawn_are_those_of_the_replay(batches: Path) -> None:
    chosen, traces = settings("WARM_IP_TARGET=5"), read_trace(batches)
    node = instance_type("m5.xlarge")
    ((_, levels),) = replayed.levels(node, chosen, traces, max_pods=None)
    (figures,) = replayed.replay(node, chosen, traces, max_pods=None)
    assert len(levels.held) == 10_800 // levels.every_s + 1
    assert np.mean(levels.held) == pytest.approx(figures.mean_held, rel=0.02)
    assert max(levels.cooling) > 0
    together = np.add(levels.assigned, levels.cooling)
    assert (together <= levels.held).all()


def test_without_matplotlib_the_extra_is_named(
    ippolicy: Commands, batches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = ippolicy(*NODE, "--trace", batches, "-o", "png", "--out", "x.png")
    assert ended.status == 2
    assert "pip install 'ippolicy-operator[plot]'" in ended.err
    assert ended.err.count("\n") == 1


def test_a_picture_that_would_take_for_ever_is_refused(
    ippolicy: Commands, batches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replayed, "_MOST_STEPS", 100)
    ended = ippolicy(*NODE, "--trace", batches, "-o", "png", "--out", "x.png")
    assert (ended.status, "at most 100 are drawn" in ended.err) == (2, True)


def test_a_picture_does_not_go_into_a_terminal(
    ippolicy: Commands, batches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminal(*_: Any) -> bool:
        return True

    monkeypatch.setattr(type(sys.stdout), "isatty", terminal)
    ended = ippolicy(*NODE, "--trace", batches, "-o", "png")
    assert (ended.status, "give --out FILE.png" in ended.err) == (2, True)
