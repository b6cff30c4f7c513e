"""The model does what the real ipamd was recorded to do, and the check of it can fail."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from random import Random

import check_goldens
import pytest
from ipamd_goldens import bench
from ipamd_goldens.report import Row, differs_from_constant, differs_from_range

GOLDENS = Path(__file__).parent / "goldens"
DECISIONS = check_goldens.read(GOLDENS / "ipamd-decisions.jsonl")
TRACES = check_goldens.read(GOLDENS / "ipamd-traces.jsonl")
BENCH_TRACES = check_goldens.read(GOLDENS / "bench-traces.jsonl")
BENCH = check_goldens.read(GOLDENS / "bench-real-ipamd.jsonl")


def test_every_recorded_decision_is_ours() -> None:
    report = check_goldens.check(DECISIONS)
    assert (report.rows, report.mismatches) == (400, [])


def test_every_recorded_trace_is_ours() -> None:
    report = check_goldens.check(TRACES)
    assert (report.rows, report.mismatches) == (442, [])


def test_a_three_day_run_of_each_family_is_ours() -> None:
    few = [row for row in BENCH if row["setting"] == "W=5,M=16"]
    report = check_goldens.check([*BENCH_TRACES, *few])
    assert (report.rows, report.mismatches) == (4, [])


@pytest.mark.full
@pytest.mark.timeout(600)
def test_every_three_day_run_is_ours() -> None:
    report = check_goldens.check([*BENCH_TRACES, *BENCH])
    assert (report.rows, report.mismatches) == (22, [])


@pytest.mark.parametrize("field", sorted(DECISIONS[0]["out"]))
def test_a_decision_changed_in_any_field_is_found(field: str) -> None:
    rows = copy.deepcopy(Random(field).sample(DECISIONS, 20))
    for row in rows:
        value = row["out"][field]
        if isinstance(value, bool):
            row["out"][field] = not value
        elif isinstance(value, int):
            row["out"][field] = value + 1
        else:
            row["out"][field] = [*value, "eni-9"]
    assert len(check_goldens.check(rows).mismatches) == 20


def test_every_changed_observation_is_found() -> None:
    random = Random(3)
    name = "churn/m5.large/we1-wi1-mi0"
    rows = [copy.deepcopy(row) for row in TRACES if name in (row.get("name"), row.get("scenario"))]
    observations = [row for row in rows if row["kind"] == "obs"]
    for row in observations:
        same = {key: value for key, value in row["same"].items() if isinstance(value, int)}
        row["same"][random.choice(sorted(same))] += random.choice((-1, 1))
    assert len(check_goldens.check(rows).mismatches) == len(observations)


@pytest.mark.parametrize("shift", [-3, 3])
def test_a_shifted_range_is_found(shift: int) -> None:
    rows = copy.deepcopy(TRACES)
    shifted = 0
    for row in rows:
        for field, value in (row.get("vary") or {}).items():
            if field.startswith("calls.") and row["scenario"] == "churn/m5.large/we1-wi1-mi0":
                row["vary"][field] = [value[0] + shift, value[1] + shift]
                shifted += 1
    rows = [row for row in rows if "we1-wi1-mi0" in (row.get("name") or row["scenario"])]
    report = check_goldens.check(rows)
    assert shifted
    assert len(report.mismatches) == sum(
        any(field.startswith("calls.") for field in row.get("vary") or {})
        for row in rows
        if row["kind"] == "obs"
    )


def test_a_call_too_many_and_a_look_that_changed_in_between_are_found() -> None:
    rows = [
        copy.deepcopy(row)
        for row in TRACES
        if "seed/m5.large/default-idle" in (row.get("name"), row.get("scenario"))
    ]
    del rows[1]["same"]["calls.CreateTags"]
    rows[0]["events"] = [{"t": 20, "op": "add", "n": 1}, {"t": 150, "op": "end"}]
    mismatches = check_goldens.check(rows).mismatches
    assert len(mismatches) == 2
    assert "calls.CreateTags same 0" in mismatches[0]
    assert "assigned same 0" in mismatches[0]


@pytest.mark.parametrize(
    ("field", "factor"), [("idle", 1.3), ("idle", 0.7), ("calls_total", 1.5), ("calls_total", 0.5)]
)
def test_a_changed_three_day_run_is_found(
    field: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "RUNS", (2, 4))
    row = copy.deepcopy(next(r for r in BENCH if r["setting"] == "W=16" and r["seed"] == 1))
    row[field] = [value * factor for value in row[field]]
    assert len(check_goldens.check([*BENCH_TRACES, row]).mismatches) == 1


def test_changed_delays_and_numbers_of_pods_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "RUNS", (2, 4))
    row = copy.deepcopy(next(r for r in BENCH if r["setting"] == "W=5,M=16"))
    row["delayed_pct"] = [5.0, 4.0, 6.0]
    row["pods"] += 1
    [mismatch] = check_goldens.check([*BENCH_TRACES, row]).mismatches
    assert "delayed_pct" in mismatch
    assert "pods is" in mismatch


def test_rows_that_cannot_be_checked_are_mismatches() -> None:
    orphan = next(row for row in TRACES if row["kind"] == "obs")
    report = check_goldens.check([orphan, BENCH[0], {"unknown": 1}])
    assert len(report.mismatches) == report.rows == 3


def test_one_run_of_many_that_differs_is_chance_and_all_are_not() -> None:
    assert not differs_from_constant(1, 24, 24)
    assert differs_from_constant(24, 24, 24)
    assert not differs_from_range(0, 24, 24)
    assert not differs_from_range(4, 24, 24)
    assert differs_from_range(12, 24, 24)
    assert differs_from_range(1, 24, 1)


def run(*files: Path) -> subprocess.CompletedProcess[str]:
    script = Path(check_goldens.__file__)
    return subprocess.run(
        [sys.executable, str(script), *map(str, files)], capture_output=True, text=True, check=False
    )


def test_the_command_says_how_many_rows_match(tmp_path: Path) -> None:
    done = run(GOLDENS / "ipamd-decisions.jsonl")
    assert (done.returncode, done.stdout) == (0, "400 rows, 0 mismatches\n")


def test_the_command_fails_on_a_mismatch_and_shows_it(tmp_path: Path) -> None:
    changed: Row = copy.deepcopy(DECISIONS[0])
    changed["out"]["total"] += 1
    file = tmp_path / "changed.jsonl"
    file.write_text(check_goldens.json.dumps(changed) + "\n", encoding="utf-8")
    done = run(file)
    assert done.returncode == 1
    assert done.stdout.startswith("1 rows, 1 mismatches\n  decision 1: total is")


def test_the_command_without_files_explains_itself() -> None:
    done = run()
    assert done.returncode == 2
    assert "FILE..." in done.stderr
