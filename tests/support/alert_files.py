"""The rules and the dashboard that the chart ships, as data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ippolicy.account.metric import Kind, Metric
from ippolicy.account.metrics import CATALOGUE

ROOT = Path(__file__).parents[2]
CHART_FILES = ROOT / "charts/ippolicy-operator/files"
RUNBOOKS = ROOT / "docs/runbooks"
CASES = ROOT / "tests/e2e/alerts/cases"
RULE_FILES = sorted((CHART_FILES / "rules").glob("*.yaml"))

Rule = dict[str, Any]

_METRIC = re.compile(r"\bippolicy_\w*(?::\w+)*")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SUFFIXES = {Kind.GAUGE: ("",), Kind.COUNTER: ("_total",)}
_HISTOGRAM = ("_bucket", "_count", "_sum")


def rules() -> list[Rule]:
    """Every rule of every file."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, Rule]:
    """Name -> alert."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> set[str]:
    """Names of the series that the rules record."""
    return {rule["record"] for rule in rules() if "record" in rule}


def dashboard() -> dict[str, Any]:
    """The dashboard, as Grafana reads it."""
    read: dict[str, Any] = json.loads((CHART_FILES / "dashboards/ippolicy.json").read_text())
    return read


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that are no rows."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def served() -> dict[str, Metric]:
    """Name of a series that the operator serves -> its metric."""
    return {
        f"{metric.name}{suffix}": metric
        for metric in CATALOGUE
        for suffix in _SUFFIXES.get(metric.kind, _HISTOGRAM)
    }


def queries() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of everything that the rules, their texts and the dashboard ask for."""
    for rule in rules():
        where = rule.get("alert") or rule["record"]
        yield where, rule["expr"]
        for text in rule.get("annotations", {}).values():
            yield from ((where, query) for query in re.findall(r"printf `([^`]+)`", text))
    for panel in panels():
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    board = dashboard()
    yield from (("annotation", one["expr"]) for one in board["annotations"]["list"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


def names_in(promql: str) -> set[str]:
    """The series of this project that an expression reads."""
    return set(_METRIC.findall(_QUOTED.sub('""', promql)))


def labels_in(promql: str) -> Iterator[tuple[str, str]]:
    """(series, label) of every matcher of an expression."""
    for name, matchers in re.findall(r"\b(ippolicy_\w*(?::\w+)*)\{([^}]*)\}", promql):
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", _QUOTED.sub('""', matchers)):
            yield name, label
