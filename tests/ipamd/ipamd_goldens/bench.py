"""Three days of the real ipamd with EC2 latency, held to the mean of our runs."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, stdev

from ipamd_goldens.report import Report, Row
from ippolicy.ipamd import NodeShape, PoolSettings, WarmTargets
from ippolicy.ipamd.replay import TraceResult, replay_trace

DAYS_S = 3 * 86_400
NODE = NodeShape("m5.xlarge", eni_limit=4, addresses_per_eni=15, max_pods=58)
RUNS = (4, 8, 16, 32)
"""The first is enough where its mean lies inside; chance may take more to rule out."""


def belongs(row: Row) -> bool:
    """Whether a row is of this format."""
    return "family" in row and ("setting" in row or "pods" in row)


def check(rows: Iterable[Row], report: Report) -> None:
    traces: dict[tuple[str, int], list[tuple[int, int]]] = {}
    runs: list[Row] = []
    for row in rows:
        if isinstance(row["pods"], list):
            traces[row["family"], row["seed"]] = [(start, life) for start, life in row["pods"]]
        else:
            runs.append(row)
    for row in runs:
        name = f"{row['family']} seed {row['seed']} {row['setting']}"
        trace = traces.get((row["family"], row["seed"]))
        report.add(name, ["its trace is not given"] if trace is None else _check(row, trace))


def _check(row: Row, trace: list[tuple[int, int]]) -> list[str]:
    env = row["env"]
    settings = PoolSettings(
        WarmTargets(
            env["WARM_ENI_TARGET"],
            env["WARM_IP_TARGET"],
            env["MINIMUM_IP_TARGET"],
            env["WARM_PREFIX_TARGET"],
        ),
        prefix_delegation=env["ENABLE_PREFIX_DELEGATION"],
    )
    results: list[TraceResult] = []
    differences: list[str] = []
    for number in RUNS:
        results += [
            replay_trace(NODE, settings, trace, seed=seed, horizon_s=DAYS_S)
            for seed in range(len(results), number)
        ]
        differences = _differences(row, results)
        if not differences:
            break
    return differences


def _differences(row: Row, results: list[TraceResult]) -> list[str]:
    differences = []
    if results[0].pods != row["pods"]:
        differences.append(f"pods is {row['pods']}, ours {results[0].pods}")
    for field, (lowest, highest) in _slack(row).items():
        values = [_value(field, result) for result in results]
        # All runs in, our mean is known to two standard errors and no better.
        doubt = 2 * stdev(values) / len(values) ** 0.5 if len(values) == RUNS[-1] else 0.0
        mean = fmean(values)
        if not lowest - doubt <= mean <= highest + doubt:
            differences.append(f"{field} in {lowest:.2f} to {highest:.2f}, our mean {mean:.2f}")
    return differences


def _slack(row: Row) -> dict[str, tuple[float, float]]:
    """The recorded range, widened by 1 point of delayed pods, 5 % of idle and 10 % of calls."""
    delayed, idle, calls = row["delayed_pct"], row["idle"], row["calls_total"]
    return {
        "delayed_pct": (delayed[1] - 1, delayed[2] + 1),
        "idle": (idle[1] * 0.95, idle[2] * 1.05),
        "calls_total": (calls[1] * 0.9, calls[2] * 1.1),
    }


def _value(field: str, result: TraceResult) -> float:
    if field == "delayed_pct":
        return 100 * result.delayed_share
    return result.mean_idle if field == "idle" else result.total_calls
