"""Commands that are imported when they are called, so that help and completion come at once."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click


class Deferred(click.Command):
    """Stands for the command `name` of the module `ippolicy.cli.<name>` until it is called.

    `short_help` is what a list of commands shows of it.
    """

    def __init__(self, name: str, short_help: str) -> None:
        super().__init__(name, short_help=short_help)

    def load(self) -> click.Command:
        """The command itself."""
        command: click.Command = getattr(import_module(f"ippolicy.cli.{self.name}"), str(self.name))
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """The context of the command itself: whoever invokes or completes asks that for it."""
        return self.load().make_context(info_name, args, parent, **extra)
