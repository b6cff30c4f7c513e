"""The Grafana dashboard of the chart: `python scripts/dashboard --write` or `--check`.

What is shown is in panels.yaml; layout, ids, datasource and colours follow from it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

FILE = Path(__file__).parents[2] / "charts/ippolicy-operator/files/dashboards/ippolicy.json"
PANELS = Path(__file__).with_name("panels.yaml")
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
POLICY = 'policy=~"$policy"'
ROW_WIDTH = 24

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel of panels.yaml; `unit` is Grafana's name of it."""

    title: str
    about: str
    unit: str
    queries: Sequence[dict[str, str]]
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    stacked: bool = False
    warn: float | None = None
    alarm: float | None = None
    low_is_bad: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height on Grafana's grid."""
        return (4, 4) if self.kind == "stat" else (12, 8)


def dashboard() -> Json:
    """The whole dashboard as Grafana imports it."""
    return {
        "uid": "ippolicy",
        "title": "IPPolicy operator",
        "description": "Warm pools of the Amazon VPC CNI, the subnets that they draw on, and what"
        " the operator does about them.",
        "tags": ["ippolicy", "vpc-cni"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "annotations": {"list": [_changes()]},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                },
                _variable("policy", "label_values(ippolicy_last_pass_timestamp_seconds, policy)"),
                _variable(
                    "subnet", f"label_values(ippolicy_subnet_free_addresses{{{POLICY}}}, subnet)"
                ),
                _variable("group", f"label_values(ippolicy_group_nodes{{{POLICY}}}, group)"),
            ]
        },
        "panels": _placed(yaml.safe_load(PANELS.read_text())),
    }


def _changes() -> Json:
    written = f'ippolicy_changes_total{{{POLICY}, outcome="Written"}}'
    return {
        "name": "Changes",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": f"sum by (policy) (increase({written}[1m])) > 0",
        "titleFormat": "{{policy}} set new targets",
    }


def _variable(name: str, query: str) -> Json:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _placed(rows: Sequence[Json]) -> list[Json]:
    """All panels from left to right and from top to bottom, with an id each."""
    panels: list[Json] = []

    def add(panel: Json, x: int, y: int, size: tuple[int, int]) -> None:
        place = {"x": x, "y": y, "w": size[0], "h": size[1]}
        panels.append({"id": len(panels) + 1, "gridPos": place, **panel})

    y = 0
    for row in rows:
        add({"type": "row", "title": row["row"]}, 0, y, (ROW_WIDTH, 1))
        y, x, height = y + 1, 0, 0
        for panel in (Panel(**one) for one in row["panels"]):
            width, tall = panel.size
            if x + width > ROW_WIDTH:
                y, x, height = y + height, 0, 0
            add(_panel(panel), x, y, panel.size)
            x, height = x + width, max(height, tall)
        y += height
    return panels


def _panel(panel: Panel) -> Json:
    defaults: Json = {"unit": panel.unit, "thresholds": _thresholds(panel)}
    if panel.kind == "timeseries":
        stacked: Json = {"fillOpacity": 30, "stacking": {"mode": "normal"}}
        defaults["custom"] = {"showPoints": "never", **(stacked if panel.stacked else {})}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": DATASOURCE,
                "expr": query["expr"],
                "legendFormat": query["legend"],
                **({"instant": True, "format": "table"} if panel.kind == "table" else {}),
            }
            for number, query in enumerate(panel.queries)
        ],
    }


def _thresholds(panel: Panel) -> Json:
    if panel.low_is_bad:
        steps = [("red", None), ("orange", panel.alarm), ("green", panel.warn)]
    else:
        steps = [("green", None), ("orange", panel.warn), ("red", panel.alarm)]
    return {
        "mode": "absolute",
        "steps": [
            {"color": color, "value": value}
            for number, (color, value) in enumerate(steps)
            if number == 0 or value is not None
        ],
    }


def main(arguments: Sequence[str]) -> int:
    """`--write` writes the file; `--check` tells whether it is stale (exit 1)."""
    if list(arguments) not in (["--write"], ["--check"]):
        sys.stderr.write("usage: python scripts/dashboard --write|--check\n")
        return 2
    text = f"{json.dumps(dashboard(), indent=1)}\n"
    if list(arguments) == ["--write"]:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(text)
    elif not FILE.is_file() or FILE.read_text() != text:
        sys.stderr.write(f"{FILE.name} is stale: run `make generate`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
