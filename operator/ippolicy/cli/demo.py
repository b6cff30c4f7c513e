"""`ippolicy demo`: the operator at work in the sandbox, told as a story."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  ippolicy demo
  ippolicy demo --speed 10 --json figures.json
"""
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the figures to this file, as JSON.",
)
@click.option(
    "--speed",
    type=click.FloatRange(1, 20),
    default=2.0,
    show_default=True,
    help="How many times faster than real time the sandbox's clock runs.",
)
def demo(json_file: Path | None, speed: float) -> None:
    """Watch the operator cut the addresses that ten nodes hold.

    Ten r5.xlarge nodes with 20 pods each hold 420 secondary addresses at the CNI's defaults. The
    real operator runs against an embedded cluster and EC2 until about 220 are held; nothing
    outside this machine is touched. Exits with 1 if the story does not come true.
    """
    try:
        from ippolicy.sandbox.story import run_story
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"the demo needs {error.name}: pip install 'ippolicy-operator[demo]'"
        ) from error
    sys.exit(run_story(json_file=json_file, speed=speed))
