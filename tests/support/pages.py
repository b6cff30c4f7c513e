"""Pages of the docs, whose commands are run and whose answers are compared with what is shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from commands import Ended

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Shown:
    """A command of a page with the answer shown below it."""

    command: str
    answer: str


def commands_of(page: str) -> Iterator[Shown]:
    """The commands in the console blocks of a page, in order."""
    for block in _BLOCK.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, answer = part.partition("\n")
            yield Shown(command, answer)


def answered(page: str, run: Callable[[str], str]) -> str:
    """The page with the answers that its commands give now."""

    def renewed(block: re.Match[str]) -> str:
        shown = commands_of(block[0])
        return "```console\n" + "".join(f"$ {s.command}\n{run(s.command)}" for s in shown) + "```"

    return _BLOCK.sub(renewed, page)


def shell(ippolicy: Callable[..., Ended], folder: Path) -> Callable[[str], str]:
    """Runs commands as a shell in `folder` would: `ippolicy ...`, perhaps `> file`."""

    def run(command: str) -> str:
        program, *arguments = shlex.split(command)
        assert program == "ippolicy", command
        target = None
        if ">" in arguments:
            *arguments, _, target = arguments
        ended = ippolicy(*arguments)
        assert ended.status == 0, ended.err
        if target is None:
            return ended.out
        (folder / target).write_text(ended.out, encoding="utf-8")
        return ""

    return run
