"""`ippolicy completion`: the script that lets a shell complete commands, flags and types."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(
    short_help="Print the script that completes commands.",
    epilog="""\b
Examples:
  eval "$(ippolicy completion bash)"      # in ~/.bashrc
  eval "$(ippolicy completion zsh)"       # in ~/.zshrc
  ippolicy completion fish > ~/.config/fish/completions/ippolicy.fish
""",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes ippolicy's commands in a shell."""
    complete = get_completion_class(shell)
    if complete is None:  # a shell that click no longer knows
        raise click.ClickException(f"{shell} cannot be completed by this version of click")
    root = context.find_root()
    click.echo(complete(root.command, {}, "ippolicy", "_IPPOLICY_COMPLETE").source())
