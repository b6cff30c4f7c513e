"""The dashboard: every panel is told apart, placed, explained and fed."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from alert_files import dashboard, names_in, panels

UNITS = {"none", "s", "percentunit", "cpm", "bool"}
ROWS = [
    "Cluster",
    "Subnets",
    "Targets and changes",
    "Targets by group",
    "EC2 calls",
    "Delayed starts",
    "Operator",
]


def test_ids_and_titles_are_there_once() -> None:
    every = dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)


def test_the_rows_are_these() -> None:
    rows = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert rows == ROWS


def test_every_panel_has_a_description_and_a_unit_and_asks_for_something() -> None:
    for panel in panels():
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]
        for target in panel["targets"]:
            assert names_in(target["expr"]), panel["title"]


def test_every_panel_reads_the_datasource_that_is_chosen() -> None:
    for panel in panels():
        for asked in (panel, *panel["targets"]):
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_queries_of_a_panel_are_told_apart() -> None:
    for panel in panels():
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names)


def test_the_variables_are_datasource_policy_subnet_and_group() -> None:
    variables = {one["name"]: one for one in dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "policy", "subnet", "group"]
    text = "\n".join(target["expr"] for panel in panels() for target in panel["targets"])
    for name in ("policy", "subnet", "group"):
        assert variables[name]["includeAll"]
        assert f'{name}=~"${name}"' in text


def test_panels_lie_on_the_grid_and_on_no_other() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    for place in places:
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]


def overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )
