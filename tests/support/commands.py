"""Commands of the command line, run in this process as `main` runs them."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ippolicy.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its answer as data."""
        return json.loads(self.out)

    @property
    def csv(self) -> list[dict[str, str]]:
        """Its answer as rows."""
        return list(csv.DictReader(io.StringIO(self.out)))

    @property
    def flat(self) -> str:
        """What it said, unwrapped."""
        return " ".join(self.out.split())

    @property
    def widest(self) -> int:
        """Columns that its answer takes on a terminal."""
        return max(map(len, self.out.splitlines()), default=0)


class Commands:
    """Runs `ippolicy` with arguments, captured."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Ended:
        """Run it to its end, whatever that is."""
        self._monkeypatch.setattr(sys, "argv", ["ippolicy", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = self._capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)


def written(folder: Path, name: str, lines: Sequence[str]) -> Path:
    """A file of `lines` in `folder`."""
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
