"""Each alert, put to the cases that it is to fire in and those that it is not."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alert_files import CASES, CHART_FILES, ROOT, RULE_FILES, RUNBOOKS, dashboard, panels
from tools import tool

TEXTS = Path(__file__).with_name("texts.yaml")
GUIDE = ROOT / "docs/user/alerts.md"


def told(program: str, *arguments: str | Path) -> str:
    """What a tool says; the test fails with it if the tool does."""
    done = subprocess.run(
        [tool(program), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("cases", sorted(CASES.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_alert_fires_when_it_is_to_and_only_then(cases: Path) -> None:
    told("promtool", "test", "rules", cases)


def test_alerts_say_what_is_the_matter_in_numbers() -> None:
    told("promtool", "test", "rules", TEXTS)
    cases = yaml.safe_load(TEXTS.read_text())["tests"]
    assert {case["name"] for case in cases} == {path.stem for path in CASES.glob("*.yaml")}


def test_queries_of_the_dashboard_and_the_runbooks_are_promql(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    asked += [one["expr"] for one in dashboard()["annotations"]["list"]]
    for page in RUNBOOKS.glob("*.md"):
        for block in re.findall(
            r"^```promql\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            asked += block.splitlines()
    rules = [
        {"record": f"asked:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(asked)
    ]
    file = tmp_path / "asked.yaml"
    file.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}))
    assert f"{len(asked)} rules found" in told("promtool", "check", "rules", file)


def rendered(kind: str, **switches: str) -> list[dict[str, Any]]:
    """What the chart makes of a kind with these switches."""
    values = [f"--set={key.replace('__', '.')}={value}" for key, value in switches.items()]
    chart = CHART_FILES.parent
    made = yaml.safe_load_all(
        told("helm", "template", "x", chart, "--kube-version=1.33.0", *values)
    )
    return [one for one in made if one and one["kind"] == kind]


def test_the_chart_gives_the_rules_as_they_are_but_for_groups_turned_off() -> None:
    (rule,) = rendered("PrometheusRule", prometheusRule__enabled="true")
    shipped = [yaml.safe_load(path.read_text())["groups"][0] for path in RULE_FILES]
    assert rule["spec"]["groups"] == shipped
    off = {"prometheusRule__enabled": "true", "prometheusRule__groups__cni": "false"}
    (rule,) = rendered("PrometheusRule", **off)
    assert rule["spec"]["groups"] == [one for one in shipped if one["name"] != "ippolicy.cni"]


def test_the_chart_gives_grafana_the_dashboard_as_it_is() -> None:
    (board,) = rendered("ConfigMap", dashboards__enabled="true")
    assert json.loads(board["data"]["ippolicy.json"]) == dashboard()


def test_a_plain_prometheus_takes_the_same_rules() -> None:
    plain = sorted((ROOT / "deploy/alerts").glob("*.yaml"))
    assert [path.name for path in plain] == [path.name for path in RULE_FILES]
    for ours, theirs in zip(RULE_FILES, plain, strict=True):
        assert yaml.safe_load(ours.read_text()) == yaml.safe_load(theirs.read_text())
    told("promtool", "check", "rules", *plain)


def test_alertmanager_takes_the_inhibitions_of_the_guide(tmp_path: Path) -> None:
    blocks = GUIDE.read_text().split("```yaml\n")[1:]
    (inhibitions,) = [block for block in blocks if block.startswith("inhibit_rules:")]
    config = tmp_path / "alertmanager.yml"
    routes = "route: {receiver: people}\nreceivers: [{name: people}]\n"
    config.write_text(routes + inhibitions.partition("```")[0])
    assert "4 inhibit rules" in told("amtool", "check-config", config)
