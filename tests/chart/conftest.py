"""The generators of the chart's files, which are programs and no package, can be imported here."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/chart"))
