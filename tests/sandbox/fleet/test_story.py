"""The demo, told by a stand-in for the operator: what it shows, writes and leaves behind."""

from __future__ import annotations

import io
import json
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ippolicy.ipamd import WarmTargets
from ippolicy.sandbox import story
from ippolicy.sandbox.cluster import Layout
from ippolicy.sandbox.ec2 import Subnet
from ippolicy.sandbox.fleet import AwsNodeState, FleetReport, NodeReport
from ippolicy.sandbox.scenes import Frame, line, picture, summary

QUICK = story.Pace(before_s=0.1, after_s=0.1, frame_s=0.05, patience_s=30.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def layout(behaviour: str) -> Layout:
    script = str(Path(__file__).with_name("stand_in_operator.py"))
    return Layout(nodes=2, setup_speed=60, operator_command=(sys.executable, script, behaviour))


def test_the_story_comes_true_and_its_figures_are_written(folder: Path, tmp_path: Path) -> None:
    stream, figures_file = io.StringIO(), tmp_path / "figures.json"
    code = story.run_story(figures_file, speed=30, stream=stream, layout=layout("good"), pace=QUICK)
    assert code == 0, stream.getvalue()
    figures = json.loads(figures_file.read_text())
    assert figures["held_before"] == 84
    assert 40 <= figures["held_after"] <= 46
    assert figures["env"]["MINIMUM_IP_TARGET"] == "20"
    assert figures["ec2_calls"] == sum(figures["ec2_calls_by_name"].values()) > 0
    assert figures["delayed_starts"] >= 0
    assert figures["duration_s"] > 0
    assert sum(figures["free_after"].values()) == 753 - figures["held_after"] - 6
    text = stream.getvalue()
    assert "\x1b" not in text
    assert "aws-node restarts node by node" in text
    assert "MINIMUM_IP_TARGET=20" in text
    assert list(folder.iterdir()) == []


def test_an_operator_that_ends_fails_the_story_with_its_last_words(folder: Path) -> None:
    stream = io.StringIO()
    code = story.run_story(speed=30, stream=stream, layout=layout("ends"), pace=QUICK)
    assert code == 1
    assert "the story did not come true: the operator has ended" in stream.getvalue()
    assert "stand-in at" in stream.getvalue()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(
    folder: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_screen: story.Screen, frame: Frame) -> None:
        if frame.phase == "The operator watches demand":
            signal.raise_signal(number)

    monkeypatch.setattr(story.Screen, "show", interrupt)
    handlers = [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)]
    stream = io.StringIO()
    code = story.run_story(speed=30, stream=stream, layout=layout("good"), pace=QUICK)
    assert code == 130
    assert "interrupted" in stream.getvalue()
    assert list(folder.iterdir()) == []
    assert [signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)] == handlers


def frame(change: Callable[[Frame], Frame] = lambda frame: frame) -> Frame:
    nodes = tuple(
        NodeReport(
            name=f"ip-10-0-{number}-100.us-west-2.compute.internal",
            group="workers",
            zone="us-west-2a",
            state=AwsNodeState.CRASH_LOOP if number == 3 else AwsNodeState.RUNNING,
            pods=20,
            ready=20,
            held=42,
            assigned=20,
            cooling=1,
            enis=3,
            starts=1,
            targets=WarmTargets(),
        )
        for number in range(10)
    )
    subnets = tuple(
        Subnet(
            id=f"subnet-{number}",
            vpc_id="vpc-1",
            cidr=f"10.0.{number}.0/24",
            availability_zone="us-west-2a",
            availability_zone_id="usw2-az1",
            tags={},
            free_addresses=251,
        )
        for number in range(3)
    )
    return change(
        Frame(
            elapsed_s=12.3,
            speed=2.0,
            phase="aws-node restarts node by node",
            fleet=FleetReport(nodes, 220, 3, 1, 4.0, {"AttachNetworkInterface": 20}),
            subnets=subnets,
            env={"WARM_ENI_TARGET": "1", "WARM_IP_TARGET": "2", "MINIMUM_IP_TARGET": "20"},
            news="ChangeStarted: " + "set MINIMUM_IP_TARGET=20 WARM_IP_TARGET=2 " * 4,
            pod_starts=1234,
            delayed_starts=12,
            held_up_starts=34,
            ec2_calls={"AssignPrivateIpAddresses": 1000, "CreateNetworkInterface": 23},
        )
    )


def rendered(what: object) -> list[str]:
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(what)
    return capture.get().splitlines()


def test_a_frame_fits_a_small_terminal_and_cuts_no_heading() -> None:
    lines = rendered(picture(frame()))
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "420 addresses held, 220 of them idle" in text
    assert "crash loop" in text
    assert all(word in text for word in ("node", "pods", "held", "used", "warm", "ENIs", "free"))


def test_a_frame_is_one_plain_line_elsewhere() -> None:
    said = line(frame())
    assert said.isprintable()
    assert "held 420, warm 210, restarting 1, delayed 12, EC2 calls 1023" in said


def test_the_summary_sets_before_beside_after() -> None:
    before = frame()
    after = replace(before, fleet=replace(before.fleet, nodes=before.fleet.nodes[:5]))
    text = "\n".join(rendered(summary(before, after)))
    assert max(map(len, text.splitlines())) <= 80
    for fact in ("420", "210", "251", "delayed starts", "1023", "WARM_IP_TARGET=2"):
        assert fact in text
