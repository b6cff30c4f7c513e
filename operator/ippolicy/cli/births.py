"""Targets by node group as `ippolicy explain` tells of them: what is tried, or why nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ippolicy.cli.tables import sentence
from ippolicy.cli.targets import words
from ippolicy.decide.births.document import write_table
from ippolicy.decide.births.roll import Rolled
from ippolicy.decide.births.table import Stage


def births_lines(step: Rolled | None) -> list[str]:
    """What is tried by which group, why nothing is, and what keeps nodes from being restarted."""
    if step is None:
        return []
    lines = ["targets by node group"]
    for group in sorted(step.table.trials.keys() | step.stops.keys() | step.table.groups.keys()):
        lines += sentence(f"  {group}: ", "; ".join(_texts(step, group)))
    restarts = step.held or f"{len(step.due)} nodes are due now, {len(step.table.restarts)} begun"
    return [*lines, *sentence("  restarts: ", restarts)]


def births_data(step: Rolled) -> dict[str, Any]:
    """The same as data."""
    return {
        "table": msgspec.json.decode(write_table(step.table)),
        "stops": {
            group: {"reason": stop.reason.value, "message": stop.message}
            for group, stop in sorted(step.stops.items())
        },
        "news": [
            {"step": one.step.value, "group": one.group, "text": one.text} for one in step.news
        ],
        "due": list(step.due),
        "held": step.held,
    }


def _texts(step: Rolled, group: str) -> Iterator[str]:
    table = step.table
    if (own := table.groups.get(group)) is not None:
        yield f"has {words(own.targets, prefixes=False)}"
    if (trial := table.trials.get(group)) is not None:
        targets = words(trial.targets.targets, prefixes=False)
        everyone = trial.stage is Stage.PROMOTED
        where = "whoever is born" if everyone else f"{len(trial.nodes)} nodes"
        yield f"tries {targets} on {where} ({trial.stage.value})"
    elif (stop := step.stops.get(group)) is not None:
        yield f"tries nothing: {stop.message}"
