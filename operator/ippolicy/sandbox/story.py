"""The demo: ten nodes hold 420 addresses, the operator comes, about 220 are held in the end.

It is the first of the field's stories, told by the real operator on simulated nodes.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, Final, Self, TextIO

from rich.console import Console
from rich.live import Live

from ippolicy.errors import SandboxError
from ippolicy.sandbox.cluster import Layout, Sandbox
from ippolicy.sandbox.fleet import FleetReport
from ippolicy.sandbox.scenes import TARGETS, WIDTH, Frame, line, picture, summary

HELD_AT_DEFAULTS: Final = 42
"""Addresses that an r5.xlarge with 20 pods holds at the CNI's defaults: three full ENIs."""
HELD_AT_MOST: Final = 23
HELD_AT_LEAST: Final = 20
CHURN_EVERY_S: Final = 4.0
"""Real seconds from one replaced pod to the next: the operator counts in real time."""
PLAIN_LINE_S: Final = 5.0
INTERRUPTED: Final = 130

POLICY: Mapping[str, Any] = MappingProxyType(
    {
        "mode": "Apply",
        "demand": {"window": "10m", "minEvidence": "40s"},
        "change": {"stabilization": "2s", "cooldown": "10m", "maxPerDay": 1},
    }
)
OPERATOR_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "IPPOLICY_INTERVAL": "1s",
        "IPPOLICY_SCRAPE_INTERVAL": "2s",
        "IPPOLICY_STATUS_INTERVAL": "2s",
        "IPPOLICY_EC2_SUBNETS_INTERVAL": "3s",
        "IPPOLICY_EC2_INSTANCES_INTERVAL": "10s",
    }
)


@dataclass(frozen=True, slots=True)
class Pace:
    """Real seconds: looks at the state before and after, between frames, and for each step."""

    before_s: float = 3.0
    after_s: float = 8.0
    frame_s: float = 0.5
    patience_s: float = 120.0


class StoryFailed(SandboxError):
    """The story did not come true."""


class Screen:
    """Where frames go: a live table on a terminal, a line now and then elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        columns = shutil.get_terminal_size((WIDTH, 24)).columns if stream.isatty() else WIDTH
        self.console = Console(file=stream, width=min(WIDTH, columns), highlight=False)
        self._live: Live | None = None
        if self.console.is_terminal and not self.console.is_dumb_terminal:
            self._live = Live(console=self.console, auto_refresh=False)
        self._phase = ""
        self._printed_at_s = float("-inf")

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, frame: Frame) -> None:
        """Show where the story stands."""
        if self._live is not None:
            self._live.update(picture(frame), refresh=True)
            return
        due = frame.elapsed_s - self._printed_at_s >= PLAIN_LINE_S
        if due or frame.phase != self._phase:
            self._phase, self._printed_at_s = frame.phase, frame.elapsed_s
            self.console.print(line(frame), soft_wrap=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Base:
    """Counts at the moment when the operator came."""

    pod_starts: int
    delayed_starts: int
    held_up_starts: int
    ec2_calls: Mapping[str, int]


class _Teller:
    """Walks through the story's steps and takes a frame whenever something may have changed."""

    def __init__(self, sandbox: Sandbox, screen: Screen, pace: Pace, *, began_s: float) -> None:
        self._sandbox = sandbox
        self._nodes = len(sandbox.node_names)
        self._pace = pace
        self._screen = screen
        self._began_s = began_s
        self._base = _base(sandbox.report())
        self._phase = "At the CNI's defaults"

    def tell(self) -> tuple[Frame, Frame]:
        """The frames before and after. Raises SandboxError where it does not come true."""
        sandbox = self._sandbox
        before = self._frame()
        if before.fleet.held != HELD_AT_DEFAULTS * self._nodes:
            raise StoryFailed(
                f"{before.fleet.held} addresses are held at the CNI's defaults, not "
                f"{HELD_AT_DEFAULTS * self._nodes}: check the ipamd model"
            )
        sandbox.run(self._start_churn())
        self._watch(self._pace.before_s)
        sandbox.operator.start()
        sandbox.apply_policy(POLICY)
        self._phase = "The operator watches demand"
        self._until("the operator's first change", lambda: sandbox.daemonset_generation() > 1)
        self._phase = "aws-node restarts node by node"
        self._until("the end of the rollout", sandbox.rolled_out)
        self._phase = "The surplus goes back to the subnets"
        most = HELD_AT_MOST * self._nodes
        self._until(f"at most {most} addresses held", lambda: sandbox.report().held <= most)
        self._until("the operator's word that it is done", self._is_done)
        self._phase = "The new targets hold"
        self._watch(self._pace.after_s)
        after = self._frame()
        self._check(after)
        return before, after

    async def _start_churn(self) -> None:
        self._sandbox.workload.start_churn(every_s=CHURN_EVERY_S * self._sandbox.clock.speed)

    def _is_done(self) -> bool:
        return self._sandbox.conditions().get("Progressing", {}).get("status") == "False"

    def _check(self, after: Frame) -> None:
        least, most = HELD_AT_LEAST * self._nodes, HELD_AT_MOST * self._nodes
        if not least <= after.fleet.held <= most:
            raise StoryFailed(
                f"{after.fleet.held} addresses are held in the end, not {least} to {most}\n"
                f"{self._sandbox.explain()}"
            )
        changes = self._sandbox.daemonset_generation() - 1
        if changes != 1:
            raise StoryFailed(
                f"the DaemonSet was changed {changes} times, not once\n{self._sandbox.explain()}"
            )

    def _watch(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._screen.show(self._frame())
            time.sleep(self._pace.frame_s)

    def _until(self, what: str, come: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + self._pace.patience_s
        while not come():
            self._screen.show(self._frame())
            if not self._sandbox.operator.running:
                raise StoryFailed(f"the operator has ended\n{self._sandbox.explain()}")
            if time.monotonic() > deadline_s:
                raise StoryFailed(
                    f"{what} did not come within {self._pace.patience_s:g} s\n"
                    f"{self._sandbox.explain()}"
                )
            time.sleep(self._pace.frame_s)

    def _frame(self) -> Frame:
        sandbox, base = self._sandbox, self._base
        report = sandbox.report()
        return Frame(
            elapsed_s=time.monotonic() - self._began_s,
            speed=sandbox.clock.speed,
            phase=self._phase,
            fleet=report,
            subnets=sandbox.subnet_facts(),
            env={key: value for key, value in sandbox.env().items() if key in TARGETS},
            news=self._news(),
            pod_starts=report.pod_starts - base.pod_starts,
            delayed_starts=report.delayed_starts - base.delayed_starts,
            held_up_starts=report.held_up_starts - base.held_up_starts,
            ec2_calls={
                api: calls - base.ec2_calls.get(api, 0)
                for api, calls in report.ec2_calls.items()
                if calls > base.ec2_calls.get(api, 0)
            },
        )

    def _news(self) -> str:
        """The operator's latest Event on the policy, else what its condition Ready says."""
        events = self._sandbox.events(kind="IPPolicy")
        if events:
            return f"{events[-1]['reason']}: {events[-1]['message']}"
        ready = self._sandbox.conditions().get("Ready")
        if ready is not None:
            return f"{ready['reason']}: {ready['message']}"
        return "starting" if self._sandbox.operator.running else "not there yet"


def _base(report: FleetReport) -> _Base:
    return _Base(
        report.pod_starts, report.delayed_starts, report.held_up_starts, dict(report.ec2_calls)
    )


def run_story(
    json_file: Path | None = None,
    speed: float = 2.0,
    *,
    stream: TextIO | None = None,
    layout: Layout | None = None,
    pace: Pace | None = None,
) -> int:
    """Tell the story; gives the exit code: 0 if it came true, 1 if not, 130 when interrupted.

    `json_file` gets the figures as data, if it came true. `speed` is that of the sandbox's clock
    against real time, in which the operator lives. `stream` is standard output if left out.
    """
    screen = Screen(stream or sys.stdout)
    layout = replace(layout or Layout(), speed=speed, operator_settings={**OPERATOR_SETTINGS})
    try:
        with _signals_interrupt():
            before, after = _told(screen, layout, pace or Pace())
    except KeyboardInterrupt:
        screen.say("interrupted: everything is stopped and removed")
        return INTERRUPTED
    except SandboxError as error:
        screen.say(f"the story did not come true: {error}")
        return 1
    screen.console.print(summary(before, after))
    if json_file is not None:
        json_file.write_text(json.dumps(_figures(before, after), indent=2) + "\n", "utf-8")
    return 0


def _told(screen: Screen, layout: Layout, pace: Pace) -> tuple[Frame, Frame]:
    screen.say(
        f"Setting up {layout.nodes} {layout.instance_type} nodes with {layout.pods_per_node} pods "
        f"each in {len(layout.subnets)} subnets.\n"
        f"Their clock and EC2's runs {layout.speed:g} times faster than real time.\n"
        "Nothing outside this machine is touched."
    )
    began_s = time.monotonic()
    with Sandbox(layout) as sandbox, screen:
        return _Teller(sandbox, screen, pace, began_s=began_s).tell()


def _figures(before: Frame, after: Frame) -> dict[str, Any]:
    return {
        "held_before": before.fleet.held,
        "held_after": after.fleet.held,
        "assigned_before": before.fleet.assigned,
        "assigned_after": after.fleet.assigned,
        "warm_before": before.fleet.warm,
        "warm_after": after.fleet.warm,
        "enis_before": before.fleet.enis,
        "enis_after": after.fleet.enis,
        "free_before": before.free,
        "free_after": after.free,
        "pod_starts": after.pod_starts,
        "delayed_starts": after.delayed_starts,
        "held_up_starts": after.held_up_starts,
        "ec2_calls": after.ec2_calls_total,
        "ec2_calls_by_name": dict(after.ec2_calls or {}),
        "env": dict(after.env),
        "env_before": dict(before.env),
        "speed": after.speed,
        "duration_s": round(after.elapsed_s, 1),
    }


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt once; the clean-up cannot be stopped."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for name in names:
            signal.signal(name, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {name: signal.signal(name, interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
