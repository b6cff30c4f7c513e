"""`ippolicy simulate`: what ipamd would hold, at rest or over a trace, under any settings."""

from __future__ import annotations

from pathlib import Path

import click

from ippolicy.cli import replayed
from ippolicy.cli.environment import Setting, read_settings
from ippolicy.cli.instances import InstanceType
from ippolicy.cli.options import (
    MOST_NODES,
    PICTURES,
    check_picture,
    instance_of,
    node_options,
    pods_of,
    write_out,
)
from ippolicy.cli.pictures import draw_levels
from ippolicy.cli.steady import SteadyReport
from ippolicy.cli.traces import read_trace
from ippolicy.errors import InvalidInput
from ippolicy.facts import NodeTrace

EXAMPLES = """\b
Examples:
  # The CNI's default on an r5.xlarge
  ippolicy simulate --instance-type r5.xlarge -e WARM_ENI_TARGET=1 --pods 0-30
  # Two settings side by side, on ten nodes of 20 pods
  ippolicy simulate --instance-type r5.xlarge --nodes 10 --pods 20 \\
    --env WARM_ENI_TARGET=1 --compare "MINIMUM_IP_TARGET=20 WARM_IP_TARGET=2"
  # What a day of demand would have met, as a picture
  ippolicy simulate --instance-type r5.xlarge --trace day.csv \\
    --env WARM_IP_TARGET=2 --output png --out day.png
"""


@click.command(epilog=EXAMPLES, short_help="Show what nodes would hold under any settings.")
@node_options
@click.option(
    "--env",
    "-e",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="An entry of aws-node's env; repeat it. What is not given is not set.",
)
@click.option(
    "--compare",
    "others",
    metavar='"KEY=VALUE..."',
    multiple=True,
    help="Another setting to show beside, all its entries in one text; repeat it.",
)
@click.option(
    "--pods",
    "pods_text",
    metavar="NUMBERS",
    help="Pods on each node, such as 20 or 0,5,14-16. [default: 0-30]",
)
@click.option(
    "--nodes", type=click.IntRange(1, MOST_NODES), help="Nodes alike, added up. [default: 1]"
)
@click.option("--custom-networking", is_flag=True, help="Pods use ENIConfigs, never the first ENI.")
@click.option(
    "--trace",
    "trace_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Replay this demand (CSV or JSONL) instead of showing pools at rest.",
)
@click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json", "csv", *PICTURES]),
    default="table",
    show_default=True,
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
def simulate(
    *,
    type_name: str | None,
    enis: int | None,
    addresses_per_eni: int | None,
    max_pods: int | None,
    assignments: tuple[str, ...],
    others: tuple[str, ...],
    pods_text: str | None,
    nodes: int | None,
    custom_networking: bool,
    trace_file: Path | None,
    output: str,
    out: Path | None,
) -> None:
    """Show what nodes would hold under settings of the VPC CNI, without touching any.

    At rest, for each number of pods; or, with --trace, over time: which pod starts would have been
    delayed, what was held and idle, and how many EC2 calls it took. Settings that leave pods
    without addresses are marked TRAP.
    """
    instance = instance_of(type_name, enis, addresses_per_eni)
    if instance is None:
        raise InvalidInput("which nodes? Give --instance-type, such as r5.xlarge")
    settings = read_settings(assignments, others, instance, custom_networking=custom_networking)
    if trace_file is None:
        pods = pods_of(pods_text or "0-30")
        report = SteadyReport.of(instance, settings, pods, nodes=nodes or 1, max_pods=max_pods)
        _write_steady(report, output, out)
        return
    if pods_text is not None or nodes is not None:
        raise InvalidInput("--trace has pods and nodes of its own: leave out --pods and --nodes")
    check_picture(output, out)
    traces = read_trace(trace_file)
    write_out(_replayed(instance, settings, traces, max_pods, output), out)


def _write_steady(report: SteadyReport, output: str, out: Path | None) -> None:
    if output in PICTURES:
        raise InvalidInput(f"--output {output} shows levels over time: give --trace FILE")
    if output == "json":
        write_out(report.as_json(), out)
    elif output == "csv":
        _warn([rested.setting for rested in report.settings])
        write_out(report.as_csv(), out)
    else:
        write_out(report.as_text(), out)


def _replayed(
    instance: InstanceType,
    settings: list[Setting],
    traces: list[NodeTrace],
    max_pods: int | None,
    output: str,
) -> str | bytes:
    if output in PICTURES:
        _warn(settings)
        shown = replayed.levels(instance, settings, traces, max_pods=max_pods)
        if not shown:
            raise InvalidInput(
                "there is nothing to draw: aws-node starts with none of the settings"
            )
        title = f"{len(traces)} nodes of {instance.name}: addresses over time"
        return draw_levels(shown, title, output)
    done = replayed.replay(instance, settings, traces, max_pods=max_pods)
    if output == "json":
        return replayed.as_json(instance, traces, settings, done)
    if output == "csv":
        _warn(settings)
        return replayed.as_csv(done)
    return replayed.as_text(instance, traces, settings, done)


def _warn(settings: list[Setting]) -> None:
    """Say on standard error what the answer itself has no place for."""
    for setting in settings:
        for trap in setting.traps:
            click.echo(f"ippolicy: TRAP in {setting.label}: {trap}", err=True)
