"""What the demo shows: one frame of the story as a table, as a line, and the sum of it all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ippolicy.sandbox.ec2 import Subnet
from ippolicy.sandbox.fleet import AwsNodeState, FleetReport, NodeReport

WIDTH: Final = 80
TARGETS: Final = ("WARM_ENI_TARGET", "WARM_IP_TARGET", "MINIMUM_IP_TARGET")
_COLOURS: Final = {
    AwsNodeState.RUNNING: "green",
    AwsNodeState.STARTING: "yellow",
    AwsNodeState.STOPPING: "yellow",
    AwsNodeState.MISSING: "yellow",
    AwsNodeState.CRASH_LOOP: "red",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One moment of the story.

    `elapsed_s` is real time since its begin. `delayed_starts`, `held_up_starts`, `pod_starts` and
    `ec2_calls` (API name -> calls by aws-node) count from the moment when the operator came.
    `env` are the warm targets in the DaemonSet, `news` the operator's latest word.
    """

    elapsed_s: float
    speed: float
    phase: str
    fleet: FleetReport
    subnets: tuple[Subnet, ...]
    env: Mapping[str, str]
    news: str
    pod_starts: int = 0
    delayed_starts: int = 0
    held_up_starts: int = 0
    ec2_calls: Mapping[str, int] | None = None

    @property
    def ec2_calls_total(self) -> int:
        """EC2 calls by all aws-node since the operator came."""
        return sum((self.ec2_calls or {}).values())

    @property
    def free(self) -> dict[str, int]:
        """Subnet's CIDR -> free addresses."""
        return {subnet.cidr: subnet.free_addresses for subnet in self.subnets}

    @property
    def targets(self) -> str:
        """The warm targets in force, as env entries."""
        return " ".join(f"{key}={self.env[key]}" for key in TARGETS if key in self.env)


def picture(frame: Frame) -> RenderableType:
    """The frame as tables, 80 columns wide and 23 lines high with ten nodes."""
    return Group(_headline(frame), _nodes(frame.fleet.nodes), _subnets(frame.subnets))


def line(frame: Frame) -> str:
    """The frame as one line, for output that is no terminal."""
    restarting = sum(node.state is not AwsNodeState.RUNNING for node in frame.fleet.nodes)
    return (
        f"[{frame.elapsed_s:4.0f} s] {frame.phase}: held {frame.fleet.held}, "
        f"warm {frame.fleet.warm}, restarting {restarting}, delayed {frame.delayed_starts}, "
        f"EC2 calls {frame.ec2_calls_total}"
    )


def summary(before: Frame, after: Frame) -> RenderableType:
    """What was, what is, and what it cost."""
    table = Table(title="Before and after", width=WIDTH, title_justify="left")
    table.add_column("")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    rows: list[tuple[str, object, object]] = [
        ("addresses held", before.fleet.held, after.fleet.held),
        ("of them used by pods", before.fleet.assigned, after.fleet.assigned),
        ("of them warm or cooling", _idle(before), _idle(after)),
        ("ENIs", before.fleet.enis, after.fleet.enis),
        *(
            (f"free in {cidr}", free, after.free[cidr])
            for cidr, free in sorted(before.free.items())
        ),
    ]
    for name, was, now in rows:
        table.add_row(name, str(was), str(now))
    cost = Table.grid(padding=(0, 2))
    cost.add_row("settings before", before.targets)
    cost.add_row("settings after", after.targets)
    cost.add_row("pod starts meanwhile", str(after.pod_starts))
    cost.add_row("delayed starts", f"{after.delayed_starts} (found no free address)")
    cost.add_row("", f"{after.held_up_starts} more met an aws-node that was restarting")
    cost.add_row("EC2 calls by aws-node", str(after.ec2_calls_total))
    return Group(table, cost)


def _idle(frame: Frame) -> int:
    return frame.fleet.held - frame.fleet.assigned


def _headline(frame: Frame) -> RenderableType:
    grid = Table.grid(padding=(0, 1), expand=False)
    held = Text(f"{frame.fleet.held}", style="bold cyan")
    held.append(f" addresses held, {_idle(frame)} of them idle", style="default")
    grid.add_row("held", held)
    grid.add_row(
        "starts",
        f"{frame.pod_starts}, delayed {frame.delayed_starts}, held up by restarts "
        f"{frame.held_up_starts}; EC2 calls {frame.ec2_calls_total}",
    )
    grid.add_row("env", frame.targets or "no warm targets")
    grid.add_row("operator", Text(frame.news, no_wrap=True, overflow="ellipsis"))
    title = Text(f"{frame.phase}  ", style="bold")
    title.append(f"{frame.elapsed_s:.0f} s, clock x{frame.speed:g}", style="dim")
    return Group(title, grid)


def _nodes(nodes: Iterable[NodeReport]) -> Table:
    table = Table(width=WIDTH, box=None, padding=(0, 1), header_style="dim")
    table.add_column("node", no_wrap=True)
    table.add_column("aws-node", no_wrap=True)
    for name in ("pods", "held", "used", "warm", "ENIs"):
        table.add_column(name, justify="right")
    table.add_column("held: used, idle", no_wrap=True)
    for node in nodes:
        table.add_row(
            node.name.split(".")[0],
            Text(node.state, style=_COLOURS[node.state]),
            str(node.pods),
            str(node.held),
            str(node.assigned),
            str(node.warm),
            str(node.enis),
            _bar(node),
        )
    return table


def _bar(node: NodeReport) -> Text:
    """One block for two addresses: full for those of pods, light for the rest."""
    full, whole = round(node.assigned / 2), round(node.held / 2)
    bar = Text("█" * full, style="cyan")
    bar.append("░" * (whole - full), style="yellow")
    return bar


def _subnets(subnets: Iterable[Subnet]) -> Table:
    table = Table(width=WIDTH, box=None, padding=(0, 1), header_style="dim")
    table.add_column("subnet", no_wrap=True)
    table.add_column("zone", no_wrap=True)
    table.add_column("free", justify="right")
    table.add_column("", ratio=1)
    for subnet in subnets:
        bar = Text("█" * (subnet.free_addresses // 8), style="green")
        table.add_row(subnet.cidr, subnet.availability_zone, str(subnet.free_addresses), bar)
    return table
