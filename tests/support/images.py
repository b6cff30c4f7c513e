"""An image that was built, and programs run in it as a container would."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).parents[1] / "image"


@dataclass(frozen=True, slots=True)
class Image:
    """An image that was built: where its files lie, and what it says of itself."""

    rootfs: Path
    config: dict[str, Any]

    def command(self, *arguments: str) -> tuple[str, ...]:
        """What runs a program in it as a container would."""
        return (str(TOOLS / "run"), str(self.rootfs), *arguments)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program in it to its end."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=60, check=False
        )
