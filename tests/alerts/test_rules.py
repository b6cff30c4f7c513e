"""Alerts rest on metrics that there are, say what to do, and are told of in the guide."""

from __future__ import annotations

import re

import pytest
import yaml

from alert_files import (
    CASES,
    ROOT,
    RULE_FILES,
    RUNBOOKS,
    Rule,
    alerts,
    labels_in,
    names_in,
    queries,
    recorded,
    rules,
    served,
)

EXPECTED = {
    "IPPolicySubnetExhaustionImminent": "critical",
    "IPPolicySubnetExhaustionProjected": "warning",
    "IPPolicySubnetFreeAddressesLow": "warning",
    "IPPolicyPrefixSpaceFragmented": "warning",
    "IPPolicyPodIPAllocationFailing": "critical",
    "IPPolicyEC2CallsThrottled": "warning",
    "IPPolicyWarmPoolWasteHigh": "info",
    "IPPolicyTargetsDrifted": "warning",
    "IPPolicyRolledBack": "warning",
    "IPPolicyTrialRefused": "warning",
    "IPPolicyNodesBornWithout": "warning",
    "IPPolicyDegraded": "warning",
    "IPPolicyConflict": "warning",
    "IPPolicyOperatorStale": "warning",
    "IPPolicyScrapeCoverageLow": "warning",
}
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Fix"]
EACH_ALERT = pytest.mark.parametrize(("name", "alert"), alerts().items(), ids=alerts())
GUIDE = (ROOT / "docs/user/alerts.md").read_text()
RUNBOOK_URL = "https://github.com/ippolicy-operator/ippolicy-operator/blob/main/docs/runbooks/"


def test_the_alerts_and_their_severities_are_these() -> None:
    assert {name: alert["labels"]["severity"] for name, alert in alerts().items()} == EXPECTED


def test_names_are_there_once() -> None:
    names = [rule.get("alert") or rule["record"] for rule in rules()]
    assert len(names) == len(set(names))


def test_all_that_is_asked_for_is_served_or_recorded() -> None:
    known = {*served(), *recorded()}
    missing = {(where, name) for where, query in queries() for name in names_in(query) - known}
    assert missing == set()


def test_labels_asked_for_are_labels_of_the_metric() -> None:
    metrics = served()
    wrong = {
        (where, name, label)
        for where, query in queries()
        for name, label in labels_in(query)
        if name in metrics and label not in metrics[name].labels
    }
    assert wrong == set()


def test_names_of_metrics_are_found_in_promql() -> None:
    query = 'sum(rate(ippolicy_a_total{x="ippolicy_no"}[5m])) / ippolicy_b:c:d{y=~"z"}'
    assert names_in(query) == {"ippolicy_a_total", "ippolicy_b:c:d"}
    assert list(labels_in(query)) == [("ippolicy_a_total", "x"), ("ippolicy_b:c:d", "y")]


def test_a_file_of_rules_needs_no_other() -> None:
    for path in RULE_FILES:
        own = [r for group in yaml.safe_load(path.read_text())["groups"] for r in group["rules"]]
        here = {rule["record"] for rule in own if "record" in rule}
        for rule in own:
            assert names_in(rule["expr"]) & recorded() <= here


def test_a_file_of_rules_has_the_group_of_its_name() -> None:
    for path in RULE_FILES:
        groups = [group["name"] for group in yaml.safe_load(path.read_text())["groups"]]
        assert groups == [f"ippolicy.{path.stem}"]


@EACH_ALERT
def test_an_alert_waits_and_says_how_much_of_what(name: str, alert: Rule) -> None:
    assert re.fullmatch(r"\d+[mh]", alert["for"])
    said = alert["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    assert "$labels" in said["summary"]
    assert "$value" in said["description"] or "minutes" in said["description"]
    assert said["runbook_url"] == f"{RUNBOOK_URL}{name}.md"


@EACH_ALERT
def test_an_alert_outlives_the_operator_that_it_was_seen_by(name: str, alert: Rule) -> None:
    raw = names_in(alert["expr"]) & set(served()) - {"ippolicy_build_info"}
    assert len(re.findall(r"without \(instance, pod", alert["expr"])) >= len(raw)


@EACH_ALERT
def test_an_alert_has_a_runbook_of_four_sections(name: str, alert: Rule) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    parts = re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]
    assert all(len(part.strip()) > 80 for part in parts)
    assert re.search(r"^```(sh|promql)$", parts[2], re.MULTILINE), "no command in Diagnosis"


@EACH_ALERT
def test_a_runbook_asks_for_metrics_that_there_are(name: str, alert: Rule) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert names_in(text) - {*served(), *recorded()} == set()


@EACH_ALERT
def test_an_alert_has_cases_of_its_own(name: str, alert: Rule) -> None:
    cases = yaml.safe_load((CASES / f"{name}.yaml").read_text())["tests"]
    expected = [one["exp_samples"] for case in cases for one in case["promql_expr_test"]]
    assert any(expected), "it never fires"
    assert not all(expected), "it always fires"


@EACH_ALERT
def test_the_guide_tells_of_an_alert_as_it_is(name: str, alert: Rule) -> None:
    (row,) = [line for line in GUIDE.splitlines() if line.startswith(f"| [{name}]")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == f"[{name}](../runbooks/{name}.md)"
    assert cells[1] == alert["labels"]["severity"]
    assert cells[3] == alert["for"]


def test_there_is_no_runbook_or_case_without_an_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(alerts())
    assert {path.stem for path in CASES.glob("*.yaml")} == set(alerts())


def test_links_in_runbooks_and_guide_lead_somewhere() -> None:
    for page in (*RUNBOOKS.glob("*.md"), ROOT / "docs/user/alerts.md"):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), (page, target)
