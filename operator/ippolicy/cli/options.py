"""What commands of the what-if kind are asked alike: the nodes, and where the answer goes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from ippolicy.cli.instances import InstanceType, instance_type, instance_types
from ippolicy.errors import InvalidInput

PICTURES: Final = ("png", "svg")
MOST_PODS: Final = 10_000
MOST_ROWS: Final = 1_000
MOST_NODES: Final = 10_000

Command = TypeVar("Command", bound=Callable[..., Any])


def _complete_type(_: click.Context, __: click.Parameter, begun: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in instance_types() if name.startswith(begun)]


def node_options(command: Command) -> Command:
    """The type of the nodes, by name or by its limits, and kubelet's max-pods."""
    for option in (
        click.option("--max-pods", type=click.IntRange(1, MOST_PODS), help="Of kubelet."),
        click.option(
            "--addresses-per-eni",
            type=click.IntRange(2, 1_000),
            help="Limits of a type that is not known: addresses, the ENI's own one too.",
        ),
        click.option(
            "--enis", type=click.IntRange(1, 100), help="Limits of a type that is not known: ENIs."
        ),
        click.option(
            "--instance-type",
            "type_name",
            metavar="TYPE",
            shell_complete=_complete_type,
            help="EC2 type of the nodes, such as r5.xlarge.",
        ),
    ):
        command = option(command)
    return command


def instance_of(
    type_name: str | None, enis: int | None, addresses_per_eni: int | None
) -> InstanceType | None:
    """The type that the options describe; None where they say nothing.

    Raises:
        InvalidInput: they describe no type, or two.
    """
    if enis is None and addresses_per_eni is None:
        return None if type_name is None else instance_type(type_name)
    if enis is None or addresses_per_eni is None:
        raise InvalidInput("--enis and --addresses-per-eni go together: give both")
    if type_name in instance_types():
        raise InvalidInput(
            f"the limits of {type_name} are known: leave out --enis and --addresses-per-eni"
        )
    return InstanceType(type_name or "custom", enis, addresses_per_eni)


def pods_of(text: str) -> list[int]:
    """Numbers of pods from "0-30", "20" or "0,5,14-16", each once and in order.

    Raises:
        InvalidInput: the text is none of these, or names too many.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last > MOST_PODS:
            raise InvalidInput(
                f"--pods {text!r} is no number of pods up to {MOST_PODS}: write 20, 0-30 or 1,5,20"
            )
        found.update(range(first, last + 1))
    if len(found) > MOST_ROWS:
        raise InvalidInput(f"--pods {text!r}: at most {MOST_ROWS} rows are shown: ask for fewer")
    return sorted(found)


def write_out(content: str | bytes, out: Path | None) -> None:
    """Put the answer into the file `out`, or on standard output.

    Raises:
        InvalidInput: the file cannot be written.
    """
    if out is None:
        click.echo(content, nl=isinstance(content, str) and not content.endswith("\n"))
        return
    try:
        if isinstance(content, bytes):
            out.write_bytes(content)
        else:
            out.write_text(content.rstrip("\n") + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}") from error


def check_picture(output: str, out: Path | None) -> None:
    """Refuse to draw into a terminal.

    Raises:
        InvalidInput: a picture has nowhere to go.
    """
    if output in PICTURES and out is None and sys.stdout.isatty():
        raise InvalidInput(f"--output {output} is no text: give --out FILE.{output}")
