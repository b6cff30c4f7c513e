"""Hold the ipamd model to recorded behaviour of the real one.

    python tests/ipamd/check_goldens.py FILE...

Each FILE is JSON lines in any of four formats: decisions (`in`, `out`), traces (`kind` scenario and
obs), bench rows and the bench traces they belong to (in any of the files). Prints the number of
rows and mismatches, and the first few of these; the exit status is 1 if there are any.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from ipamd_goldens import bench, decisions, traces
from ipamd_goldens.report import Report, Row

SHOWN = 10


def check(rows: Iterable[Row]) -> Report:
    """Check rows of all formats together."""
    report = Report()
    rows = list(rows)
    for kind in (decisions, traces, bench):
        kind.check(filter(kind.belongs, rows), report)
    for row in rows:
        if not any(kind.belongs(row) for kind in (decisions, traces, bench)):
            report.add(str(row)[:60], ["is in none of the formats"])
    return report


def read(path: Path) -> list[Row]:
    """The rows of one file."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def main(arguments: list[str]) -> int:
    """Check the files named; the exit status."""
    if not arguments:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    report = check(row for name in arguments for row in read(Path(name)))
    lines = [str(report), *(f"  {mismatch}" for mismatch in report.mismatches[:SHOWN])]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if report.mismatches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
