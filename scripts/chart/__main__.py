"""The files that are made from the chart: `python scripts/chart --write` or `--check`.

Its README's tables and values.schema.json come from values.yaml and the types, its CRD from the
types, deploy/ from its templates, the rules for a plain Prometheus in deploy/alerts from its rules.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import deploy
from deploy import CHART, DEPLOY, NOTICE, ROOT
from readme import with_tables
from schema import values_schema
from values import ChartError, read

from ippolicy.api.crd import render


def made() -> dict[Path, str]:
    """Path -> text of every file that is made from the chart without Helm."""
    values = read((CHART / "values.yaml").read_text())
    rules = sorted((CHART / "files/rules").glob("*.yaml"))
    schema = json.dumps(values_schema(values, [path.stem for path in rules]), indent=2)
    return {
        CHART / "files/crd.yaml": render(),
        CHART / "values.schema.json": f"{schema}\n",
        CHART / "README.md": with_tables((CHART / "README.md").read_text(), values),
        **{DEPLOY / "alerts" / path.name: f"{NOTICE}{path.read_text()}" for path in rules},
    }


def main(arguments: Sequence[str]) -> int:
    """`--write` writes what is stale; `--check` names it (exit 1)."""
    if list(arguments) not in (["--write"], ["--check"]):
        sys.stderr.write("usage: python scripts/chart --write|--check\n")
        return 2
    try:
        return write() if list(arguments) == ["--write"] else check()
    except ChartError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def write() -> int:
    """Write what is stale."""
    for path, text in stale().items():
        path.write_text(text)
    if not deploy.is_fresh():
        deploy.write()
    return 0


def check() -> int:
    """Name what is stale."""
    names = [str(path.relative_to(ROOT)) for path in stale()]
    names += [] if deploy.is_fresh() else ["deploy/"]
    for name in names:
        sys.stderr.write(f"{name} is stale: run `make generate`\n")
    return 1 if names else 0


def stale() -> dict[Path, str]:
    """Path -> new text of every file of the chart that is not up to date."""
    return {
        path: new for path, new in made().items() if not path.is_file() or path.read_text() != new
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
