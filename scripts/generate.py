"""Writes the generated files (CRD, reference pages, dashboard, chart); --check names stale ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CRD = ROOT / "deploy/crd/ippolicies.yaml"
REFERENCE = ROOT / "docs/reference"


def main() -> int:
    """Write or check each file; exit status 1 if any is stale."""
    checking = "--check" in sys.argv[1:]
    if checking:
        crd = run("-m", "ippolicy.api.crd", "--check", str(CRD)).returncode
    else:
        made = run("-m", "ippolicy.api.crd", stdout=subprocess.PIPE)
        crd = made.returncode
        CRD.write_bytes(made.stdout)
    flag = "--check" if checking else "--write"
    reference = run("-m", "ippolicy.account.reference", flag, str(REFERENCE)).returncode
    dashboard = run(str(ROOT / "scripts/dashboard"), flag).returncode
    chart = run(str(ROOT / "scripts/chart"), flag).returncode
    return max(crd, reference, dashboard, chart)


def run(*arguments: str, stdout: int | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run this interpreter with `arguments`."""
    return subprocess.run([sys.executable, *arguments], check=False, stdout=stdout)  # noqa: S603


if __name__ == "__main__":
    sys.exit(main())
