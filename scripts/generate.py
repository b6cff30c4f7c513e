"""Writes the generated files (CRD, reference pages), or with --check says which are stale."""

from __future__ import annotations

import subprocess
import sys

COMMANDS = (
    ("-m", "ippolicy.api.crd", "deploy/crd/ippolicies.yaml"),
    ("-m", "ippolicy.account.reference", "docs/reference"),
)


def main() -> int:
    """Run each generator; exit status 1 if any file is stale."""
    flag = "--check" if "--check" in sys.argv[1:] else "--write"
    codes = [
        subprocess.run([sys.executable, *command, flag, target], check=False).returncode  # noqa: S603
        for *command, target in COMMANDS
    ]
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
