"""`ippolicy plan` is the operator's search, over a trace or over what the operator has seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml

from builders import REF, daemon_set, policy, snapshot, trace
from commands import Commands, Ended, written
from ippolicy.account.snippets import formatted
from ippolicy.api import IPPolicy
from ippolicy.cli.instances import instance_type
from ippolicy.cli.planned import by_day
from ippolicy.cli.planning import inputs_of, plan
from ippolicy.cli.targets import env_of
from ippolicy.cli.traces import read_trace
from ippolicy.decide.bundle import dump
from ippolicy.decide.decision import Inputs, decide
from ippolicy.decide.gates import Limits
from ippolicy.decide.profiles import Part, Schedule
from ippolicy.decide.subnets.forecast import Exhaustion
from ippolicy.decide.subnets.wayout import DeadEnd, Way, WayKind
from ippolicy.ipamd import WarmTargets

# Compiling takes a minute of a busy machine, once for all tests and later runs.
pytestmark = pytest.mark.timeout(600)

NODE = ("--instance-type", "m5.xlarge")
POLICY: dict[str, Any] = {"apiVersion": "ippolicy.dev/v1alpha1", "kind": "IPPolicy"}


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nodes for six hours: pods that stay, and ten at each full hour."""
    rng = np.random.default_rng(7)
    rows = ["node,start_s,end_s"]
    for node in ("n1", "n2"):
        rows += [f"{node},0,21600"] * 8
        for hour in range(6):
            for start in rng.uniform(60, 80, 10):
                at_s = hour * 3600 + start
                rows.append(f"{node},{at_s:.0f},{at_s + rng.uniform(120, 520):.0f}")
    return written(tmp_path_factory.mktemp("traces"), "day.csv", rows)


def policy_file(folder: Path, spec: dict[str, Any]) -> Path:
    """A policy in a file."""
    raw = {**POLICY, "metadata": {"name": "mine"}, "spec": spec}
    return written(folder, "policy.yaml", [yaml.safe_dump(raw)])


@pytest.fixture
def planned(ippolicy: Commands, day: Path) -> Ended:
    """The plan of the day, as data."""
    return ippolicy("plan", "--trace", day, *NODE, "-o", "json")


def test_the_choice_is_the_operators_own(planned: Ended, day: Path) -> None:
    inputs = inputs_of(
        read_trace(day),
        instance_type("m5.xlarge"),
        {"WARM_ENI_TARGET": "1"},
        policy=IPPolicy("plan"),
        nodes=None,
        max_pods=58,
    )
    searched = decide(inputs).searched
    assert searched is not None
    best = searched.choice.fleet.chosen
    assert planned.json["choice"]["env"] == env_of(best.targets, prefixes=False)
    assert planned.json["choice"]["held"] == pytest.approx(best.held, abs=0.001)


def test_nothing_within_the_bounds_betters_the_front_and_the_choice_is_near_it(
    planned: Ended,
) -> None:
    tried = [one for one in planned.json["tried"] if one["withinBounds"]]
    front = planned.json["front"]
    assert len(tried) > 100
    for one in tried:
        assert any(
            other["held"] <= one["held"] and other["delayedShare"] <= one["delayedShare"]
            for other in front
        )
    helds = [one["held"] for one in front]
    lates = [one["delayedShare"] for one in front]
    assert helds == sorted(helds)
    assert lates == sorted(lates, reverse=True)
    choice = planned.json["choice"]
    better = [o for o in tried if o["delayedShare"] <= 0.005 and o["ec2CallsPerMinute"] <= 60]
    assert choice["held"] <= min(one["held"] for one in better) * 1.05


def test_the_setting_in_force_and_the_runners_up_are_shown_with_their_figures(
    ippolicy: Commands, day: Path, planned: Ended
) -> None:
    assert planned.json["present"]["env"] == {"WARM_ENI_TARGET": "1"}
    shown = ippolicy("plan", "--trace", day, *NODE)
    assert shown.status == 0
    assert shown.widest <= 80
    lines = shown.out.splitlines()
    assert any(line.startswith("WARM_ENI=1 ") and "in force" in line for line in lines)
    assert any(line.rstrip().endswith("choice") for line in lines)
    assert any(line.rstrip().endswith("next 1") for line in lines)
    assert "binding: " in shown.out
    assert len(planned.json["runnersUp"]) > 1
    assert all(option["why"] for option in planned.json["runnersUp"])


def test_a_trace_may_stand_for_more_nodes(ippolicy: Commands, day: Path, planned: Ended) -> None:
    more = ippolicy("plan", "--trace", day, *NODE, "--nodes", "20", "-o", "json").json
    assert more["nodes"] == {"trace": 20}
    assert more["present"]["held"] == pytest.approx(10 * planned.json["present"]["held"], rel=0.01)
    assert ippolicy("plan", "--trace", day, *NODE, "--nodes", "5000").widest <= 80
    fewer = ippolicy("plan", "--trace", day, *NODE, "--nodes", "1", "-o", "json").json
    assert fewer["nodes"] == {"trace": 1}


def test_a_policy_brings_its_objective_and_bounds(
    ippolicy: Commands, day: Path, tmp_path: Path
) -> None:
    spec = {"bounds": {"warmIPTarget": {"min": 2, "max": 3}, "minimumIPTarget": {"max": 4}}}
    bounded = policy_file(tmp_path, spec)
    ended = ippolicy("plan", "--trace", day, *NODE, "--policy", bounded, "-o", "json")
    env = ended.json["choice"]["env"]
    assert env == {"WARM_ENI_TARGET": "1"} or (
        2 <= int(env["WARM_IP_TARGET"]) <= 3 and int(env["MINIMUM_IP_TARGET"]) <= 4
    )


def test_where_no_setting_keeps_the_limits_the_status_is_3(
    ippolicy: Commands, day: Path, tmp_path: Path
) -> None:
    spec = {
        "objective": {"maxDelayedStarts": "0%"},
        "bounds": {"warmIPTarget": {"max": 1}, "minimumIPTarget": {"max": 0}},
    }
    strict = policy_file(tmp_path, spec)
    arguments = ("plan", "--trace", day, *NODE, "--policy", strict, "-e", "WARM_IP_TARGET=1")
    ended = ippolicy(*arguments)
    assert ended.status == 3
    assert "no setting keeps both limits: objective.maxDelayedStarts is in the way" in ended.flat


def test_groups_are_shown_with_their_own_best(ippolicy: Commands, tmp_path: Path) -> None:
    rows = ["node,group,start_s,end_s"]
    rows += ["a,large,0,7200"] * 30 + ["b,small,0,7200"] * 3
    rows += [
        f"{n},{g},{s},{s + 60}" for n, g in (("a", "large"), ("b", "small")) for s in (60, 900)
    ]
    mixed = written(tmp_path, "mixed.csv", rows)
    ended = ippolicy("plan", "--trace", mixed, *NODE, "-o", "json")
    small, large = (ended.json["groups"][name]["choice"] for name in ("small", "large"))
    assert small["held"] < large["held"]
    shown = ippolicy("plan", "--trace", mixed, *NODE)
    assert "group alone" in shown.out
    assert shown.widest <= 80


def test_a_trap_in_force_is_flagged(ippolicy: Commands, day: Path) -> None:
    ended = ippolicy("plan", "--trace", day, *NODE, "-e", "MINIMUM_IP_TARGET=5")
    assert "TRAP in force: MINIMUM_IP_TARGET=5 without WARM_IP_TARGET" in ended.out


def test_prefix_mode_with_max_pods_as_it_was_runs_97_pods(
    ippolicy: Commands, tmp_path: Path
) -> None:
    rows = [f"{node},0,7200" for node in ("n1", "n2", "n3") for _ in range(30)]
    full = written(tmp_path, "full.csv", ["node,start_s,end_s", *rows])
    node = ("--instance-type", "t3.large", "--max-pods", "35")
    mode = ("-e", "ENABLE_PREFIX_DELEGATION=true", "-e", "WARM_PREFIX_TARGET=1")
    ended = ippolicy("plan", "--trace", full, *node, *mode)
    assert "prefix mode is on" in ended.flat
    assert "105 places, less 6 for aws-node and kube-proxy and 2 for CoreDNS: 97" in ended.flat
    assert "MaxPods: max-pods binds" in ended.flat
    assert ended.widest <= 80
    advice = ippolicy("plan", "--trace", full, *node, *mode, "-o", "json").json["prefixMode"]
    assert advice["kubelets"][0]["with_prefixes"] == 110


def test_the_picture_marks_the_choice_and_what_is_in_force(
    ippolicy: Commands, day: Path, tmp_path: Path
) -> None:
    out = tmp_path / "plan.svg"
    ended = ippolicy("plan", "--trace", day, *NODE, "-o", "svg", "--out", out)
    assert (ended.status, ended.out) == (0, "")
    texts = {"".join(part.itertext()) for part in ET.parse(out).iter()}  # noqa: S314
    assert "in force: WARM_ENI_TARGET=1" in texts
    assert any(text.startswith("choice: MINIMUM_IP_TARGET=") for text in texts)
    assert {"delayed pod starts, %", "changing EC2 calls a minute", "limit on delays"} <= texts


def test_settings_by_the_time_of_day_are_shown_where_they_repay_their_restarts() -> None:
    part = Part(
        start_hour=8,
        targets=WarmTargets(1, 9, 20),
        held=60.5,
        grows=True,
        wait_s=0.0,
        present_held=90.0,
        present_meets=True,
    )
    night = replace(part, start_hour=20, targets=WarmTargets(1, 2, 10), held=30.0, grows=False)
    day = Schedule((part, night), 42.25, 0.004, 0.5, single_held=55.0)
    assert by_day(day, prefixes=False) == [
        "by the time of day (UTC): 42.2 held, 0.40% delayed, 0.50 calls a minute with the",
        "restarts between; the best single setting then holds 55.0",
        "  from 08:00  MINIMUM_IP_TARGET=20 WARM_IP_TARGET=9: 60.5 held",
        "  from 20:00  MINIMUM_IP_TARGET=10 WARM_IP_TARGET=2: 30.0 held",
    ]


# -- ready to paste -------------------------------------------------------------------------------


def test_the_chosen_targets_can_be_pasted(ippolicy: Commands, day: Path, planned: Ended) -> None:
    env = planned.json["choice"]["env"]
    paste = ("plan", "--trace", day, *NODE, "--format")
    assert yaml.safe_load(ippolicy(*paste, "helm").out) == {"env": env}
    assert json.loads(ippolicy(*paste, "addon").out) == {"env": env}
    assert ippolicy(*paste, "env").out.split() == [f"{key}={value}" for key, value in env.items()]


def test_terraform_is_aligned_as_its_formatter_has_it() -> None:
    assert formatted({"MINIMUM_IP_TARGET": "20", "WARM_IP_TARGET": "2"}, "terraform") == (
        "configuration_values = jsonencode({\n"
        "  env = {\n"
        '    MINIMUM_IP_TARGET = "20"\n'
        '    WARM_IP_TARGET    = "2"\n'
        "  }\n"
        "})"
    )


@pytest.mark.parametrize(
    ("targets", "prefixes", "env"),
    [
        (WarmTargets(1, 2, 20), False, {"MINIMUM_IP_TARGET": "20", "WARM_IP_TARGET": "2"}),
        (WarmTargets(1, 2, 20), True, {"MINIMUM_IP_TARGET": "20", "WARM_IP_TARGET": "2"}),
        (WarmTargets(1, warm_prefix=2), True, {"WARM_PREFIX_TARGET": "2"}),
        (WarmTargets(2, warm_prefix=2), False, {"WARM_ENI_TARGET": "2"}),
    ],
)
def test_only_the_entries_that_rule_are_written(
    targets: WarmTargets, prefixes: bool, env: dict[str, str]
) -> None:
    assert env_of(targets, prefixes=prefixes) == env


# -- bundles --------------------------------------------------------------------------------------


def bundle_file(folder: Path, **changes: Any) -> Path:
    """A bundle of ten nodes that were watched for two hours."""
    events = [(float(at_s), step) for at_s in range(300, 7_000, 600) for step in (-1, 1)]
    inputs = Inputs(
        policy(), snapshot(), [trace(n, events=events) for n in range(10)], None, Limits()
    )
    path = folder / "bundle.json"
    path.write_bytes(dump(replace(inputs, **changes)))
    return path


def test_a_bundle_is_planned_with_its_own_nodes_and_settings(
    ippolicy: Commands, tmp_path: Path
) -> None:
    ended = ippolicy("plan", "--bundle", bundle_file(tmp_path), "-o", "json")
    assert ended.json["nodes"] == {"blue": 10}
    assert ended.json["present"] == {
        "env": {"WARM_ENI_TARGET": "1"},
        "held": 420.0,
        "delayedShare": 0.0,
        "ec2CallsPerMinute": 0.0,
    }
    assert ended.json["choice"]["env"] == {"MINIMUM_IP_TARGET": "20", "WARM_IP_TARGET": "1"}
    bounded = policy_file(tmp_path, {"bounds": {"warmIPTarget": {"min": 4}}})
    other = ippolicy(
        "plan", "--bundle", tmp_path / "bundle.json", "--policy", bounded, "-o", "json"
    )
    assert int(other.json["choice"]["env"]["WARM_IP_TARGET"]) >= 4


def test_a_subnet_that_no_targets_save_is_told_with_the_ways_out(
    ippolicy: Commands, tmp_path: Path
) -> None:
    ways = (
        Way(WayKind.PREFIXES, open=False, text="prefix mode is a no-go: 3 free blocks"),
        Way(WayKind.IPV6, open=True, text="make a new cluster with IPv6 pods"),
    )
    exhaustion = Exhaustion(early_s=1_800, likely_s=7_200, late_s=None)
    end = DeadEnd("subnet-1", "eu-west-1a", exhaustion, idle=250, gives_back=220, ways=ways)
    bundle = bundle_file(tmp_path, dead_ends=(end,))
    told = " ".join(ippolicy("plan", "--bundle", bundle).out.split())
    assert "NO TARGETS SAVE IT: subnet-1 in eu-west-1a runs out in 2h (30m at the earliest" in told
    assert told.index("way out: make a new cluster") < told.index("no way out: prefix mode is a")
    ended = ippolicy("plan", "--bundle", bundle, "-o", "json")
    assert ended.json["deadEnds"][0]["ways"][1]["kind"] == "IPv6"


def test_a_bundle_that_can_not_be_replayed_says_why(ippolicy: Commands, tmp_path: Path) -> None:
    empty = bundle_file(tmp_path, snapshot=snapshot(0))
    ended = ippolicy("plan", "--bundle", empty)
    assert (ended.status, "there is nothing to plan with: no node" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--trace", "day.csv"), "which nodes? Give --instance-type"),
        (("default", "--trace", "day.csv", *NODE), "--trace takes no POLICY and no --bundle"),
        (("--bundle", "b.json", *NODE), "--instance-type goes with --trace"),
        (("--bundle", "b.json", "--nodes", "3"), "--nodes goes with --trace"),
        (("--bundle", "b.json", "-e", "WARM_IP_TARGET=1"), "--env goes with --trace"),
        (("--bundle", "/nonexistent/b.json"), "/nonexistent/b.json cannot be read"),
        (("--policy", "/nonexistent/p.yaml"), "/nonexistent/p.yaml cannot be read as YAML"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(
    ippolicy: Commands, arguments: tuple[str, ...], told: str
) -> None:
    ended = ippolicy("plan", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert told in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["kind: Deployment"], "is no policy: its kind must be IPPolicy of ippolicy.dev/v1alpha1"),
        (["- 1"], "is no policy"),
        (["a: ["], "cannot be read as YAML"),
        ([yaml.safe_dump({**POLICY, "spec": {"mode": "Sometimes"}})], "spec.mode: Unsupported"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(
    ippolicy: Commands, tmp_path: Path, day: Path, lines: list[str], told: str
) -> None:
    path = written(tmp_path, "policy.yaml", lines)
    ended = ippolicy("plan", "--trace", day, *NODE, "--policy", path)
    assert (ended.status, told in ended.err) == (2, True)
    assert ended.err.count("\n") == 1


def test_the_daemon_set_of_a_plan_is_the_one_that_the_policy_names() -> None:
    named = policy({"daemonSetRef": {"name": "other"}})
    found = inputs_of(
        [trace(0)], instance_type("m5.xlarge"), {}, policy=named, nodes=None, max_pods=58
    )
    assert found.snapshot.daemon_set is not None
    assert str(found.snapshot.daemon_set.ref) == "kube-system/other"
    assert daemon_set().ref == REF
    assert plan(found).choice.fleet.chosen.held > 0
