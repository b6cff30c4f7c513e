"""`ippolicy`: run the operator, see it at work in the sandbox, ask what settings would do."""

from __future__ import annotations

import sys
from typing import Final

import click

from ippolicy import __version__
from ippolicy.cli.deferred import Deferred
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


COMMANDS: Final = {
    "run": "Run the operator until SIGTERM or Ctrl-C.",
    "demo": "Watch the operator cut the addresses that ten nodes hold.",
    "restore": "Put back the env that aws-node had before the first change.",
    "report": "Show what each change was to bring, and what it brought.",
    "simulate": "Show what nodes would hold under any settings.",
    "plan": "Find the best targets for a trace or a cluster.",
    "explain": "Tell why the operator decided as it did.",
    "completion": "Print the script that completes commands.",
}
for name, short_help in COMMANDS.items():
    cli.add_command(Deferred(name, short_help))


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
