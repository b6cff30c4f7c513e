"""The guide to Prometheus: its examples are taken, its words known, its figures found again."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml

from builders import node
from ippolicy.api import problems
from ippolicy.ipamd import NodeShape, PoolSettings
from ippolicy.ipamd.fast import Trace, replay_grid
from ippolicy.observe.prometheus_nodes import Roster
from ippolicy.observe.prometheus_traces import rebuild
from scraped import Event, History, stretch

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/user/prometheus.md").read_text()
SNIPPETS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)]
POLICIES = [snippet for snippet in SNIPPETS if snippet.get("kind") == "IPPolicy"]
SOURCES = [
    *(ROOT / "operator/ippolicy/observe").glob("prometheus*.py"),
    ROOT / "operator/ippolicy/engine/imports.py",
]
START_S = 1_700_000_000.0
SPAN_S = 3 * 86_400.0
R5_XLARGE = NodeShape("r5.xlarge", 4, 15, 58)
FAMILIES = {
    "steady": "steady",
    "diurnal": "diurnal",
    "24 pods within 20 s each hour": "hourly-batch",
    "20 to 39 pods within a minute, three times a day": "bursty-rollout",
}
STEPS_S = {"15 s": 15.0, "30 s": 30.0, "60 s": 60.0, "5 min": 300.0}


def test_every_policy_in_the_guide_is_taken() -> None:
    assert len(POLICIES) == 3
    for policy in POLICIES:
        assert problems(policy) == []
        assert policy["spec"]["demand"]["prometheus"]["url"]


def test_the_token_of_the_example_is_where_it_is_mounted() -> None:
    (values,) = (snippet for snippet in SNIPPETS if "extraVolumeMounts" in snippet)
    (file,) = (p for p in map(token_file, POLICIES) if p is not None)
    assert file.startswith(values["extraVolumeMounts"][0]["mountPath"] + "/")
    assert values["extraVolumeMounts"][0]["name"] == values["extraVolumes"][0]["name"]


def token_file(policy: dict[str, dict[str, dict[str, dict[str, str]]]]) -> str | None:
    return policy["spec"]["demand"]["prometheus"].get("bearerTokenFile")


def test_every_reason_of_a_failure_is_in_the_guide() -> None:
    text = "".join(source.read_text() for source in SOURCES)
    reasons = set(re.findall(r'reason="([a-z-]+)"', text))
    reasons |= set(re.findall(r'(?:return|said, reason =) "([a-z-]+)"', text))
    reasons |= set(re.findall(r'said, reason = .*, "([a-z-]+)"', text))
    table = GUIDE[GUIDE.index("| Reason |") :]
    told = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert reasons - {"said"} == set(re.findall("`([a-z-]+)`", "".join(told)))


def rows() -> list[tuple[str, str, list[float]]]:
    """(demand, targets, delayed in percent: true and by each step) of each row of the table."""
    found, family = [], ""
    for line in GUIDE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[-1].endswith("%"):
            family = cells[0] or family
            found.append((family, cells[1], [float(cell.rstrip("%")) for cell in cells[2:]]))
    return found


@cache
def demand(family: str) -> list[Trace]:
    """A node's demand as it was, and as each step shows it, the steps in their order."""
    lines = (ROOT / "tests/ipamd/goldens/bench-traces.jsonl").read_text().splitlines()
    (row,) = (row for row in map(json.loads, lines) if row["family"] == family)
    moments = [(float(at_s), 1) for at_s, _ in row["pods"]]
    moments += [(float(at_s + life_s), -1) for at_s, life_s in row["pods"]]
    moments = sorted(moment for moment in moments if moment[0] < SPAN_S)
    times_s, changes = zip(*moments, strict=True)
    truth = Trace(0, np.array(times_s), np.array(changes, dtype=np.int8), SPAN_S)
    return [truth, *(scraped(truth, step_s) for step_s in STEPS_S.values())]


def scraped(truth: Trace, step_s: float) -> Trace:
    """What a Prometheus with this scrape interval would give back."""
    pods = zip(truth.times_s.tolist(), truth.changes.tolist(), strict=True)
    events = [Event(START_S + at_s, "arrive" if up > 0 else "leave") for at_s, up in pods]
    scrapes = np.arange(START_S + 0.37 * step_s, START_S + SPAN_S, step_s).tolist()
    history = History("node-0", events, [START_S, *scrapes])
    roster = Roster([node(0, created_at_s=0.0)])
    (trace,) = rebuild(stretch([history], step_s), roster).traces
    return Trace(trace.level, trace.times_s - trace.since_s, trace.changes, trace.span_s)


def test_the_table_of_steps_is_whole() -> None:
    assert {family for family, _, _ in rows()} == set(FAMILIES)
    (header,) = (line for line in GUIDE.splitlines() if line.startswith("| Demand | Targets"))
    assert header.endswith(f"true | {' | '.join(STEPS_S)} |")


@pytest.mark.parametrize(("family", "targets", "told"), rows(), ids=str)
def test_the_replay_finds_the_figures_of_the_guide_again(
    family: str, targets: str, told: list[float]
) -> None:
    env = dict(pair.split("=") for pair in targets.split(", "))
    settings = PoolSettings.from_env({f"{key}_TARGET": value for key, value in env.items()})
    traces = demand(FAMILIES[family])
    result = replay_grid([R5_XLARGE] * len(traces), traces, [settings], seed=1)
    (delayed,), (pods,) = result.delayed.T, result.pods.T
    # The choices of the model are drawn, and one pod more or less shows in a small sample.
    assert (100 * delayed / pods).tolist() == pytest.approx(told, abs=2.0)
