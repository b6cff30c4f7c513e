"""`ippolicy`: run the operator, or see it at work in the sandbox."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ippolicy import __version__
from ippolicy.cli.restore import restore
from ippolicy.cli.run import run
from ippolicy.errors import IPPolicyError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, prog_name="ippolicy")
def cli() -> None:
    """Choose, apply and prove the warm IP targets of the Amazon VPC CNI.

    Shell completion: eval "$(_IPPOLICY_COMPLETE=bash_source ippolicy)" (or zsh_source,
    fish_source).
    """


@cli.command()
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


cli.add_command(run)
cli.add_command(restore)


def main() -> None:
    """Entry point: errors of ours end as one line, Ctrl-C as 130, neither as a traceback."""
    try:
        code = cli.main(prog_name="ippolicy", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except IPPolicyError as error:
        click.echo(f"ippolicy: {error}", err=True)
        sys.exit(1)
    sys.exit(code)
