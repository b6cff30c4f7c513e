"""`ippolicy`: run the operator, see it at work in the sandbox, ask what settings would do."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ippolicy import __version__
from ippolicy.cli.completion import completion
from ippolicy.cli.explain import explain
from ippolicy.cli.plan import plan
from ippolicy.cli.restore import restore
from ippolicy.cli.run import run
from ippolicy.cli.simulate import simulate
from ippolicy.errors import InvalidInput, InvalidPolicy, IPPolicyError, ModelError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
FAILED, BAD_INPUT = 1, 2
_BAD_INPUT_ERRORS = (InvalidInput, InvalidPolicy, ModelError)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="ippolicy")
def cli() -> None:
    """Choose, apply and prove the warm IP targets of the Amazon VPC CNI.

    Every command has examples in its --help. Exit status: 0 done, 1 failed, 2 bad input.
    """


@cli.command(
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


for command in (run, restore, simulate, plan, explain, completion):
    cli.add_command(command)


def main() -> None:
    """Entry point: errors of ours end as one line, Ctrl-C as 130, neither as a traceback."""
    try:
        code = cli.main(prog_name="ippolicy", standalone_mode=False)
    except click.UsageError as error:
        _show_usage(error)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except IPPolicyError as error:
        click.echo(f"ippolicy: {error}", err=True)
        sys.exit(BAD_INPUT if isinstance(error, _BAD_INPUT_ERRORS) else FAILED)
    sys.exit(code)


def _show_usage(error: click.UsageError) -> None:
    message = error.format_message()
    if "\n" in message:  # a command without arguments shows its help
        error.show()
        return
    where = error.ctx.command_path if error.ctx else "ippolicy"
    click.echo(f"ippolicy: {message} See {where} --help.", err=True)
