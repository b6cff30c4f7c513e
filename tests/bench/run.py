"""The warm-pool bench: what our choices come to, beside every other setting and other rules.

    python tests/bench/run.py [--full] [--check] [--json FILE] [--plots FOLDER] [--write-docs]
    python tests/bench/run.py --only forecasts|groups [--full] [--check] [--plots FOLDER]
                              [--write-docs]

The quick form takes three seeds and a few minutes, the full form (--full) twenty seeds and the
better part of an hour. --check exits with 1 if a target is missed. --write-docs writes
docs/benchmarks.md and its pictures; with --only, just that section: forecasts take a minute, groups
a minute or, in full, a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from warmpool import fleets, group_pages, pages, plots, terminal
from warmpool.checks import Check, check_all
from warmpool.families import FAMILIES
from warmpool.fleets import FleetResult, SamplingResult
from warmpool.forecasts import Figures, check_forecasts, foreseen
from warmpool.group_checks import check_groups
from warmpool.group_results import ClusterResult
from warmpool.groups import run_cluster
from warmpool.machine import this_machine
from warmpool.mixes import BY_WORKLOAD, MIXES
from warmpool.results import FamilyResult
from warmpool.runs import run_seed

from ippolicy.ipamd.fast import compile_kernel

QUICK_SEEDS, FULL_SEEDS = 3, 20
FLEETS = ((500, False), (1_000, False), (5_000, False), (5_000, True))
"""Nodes, and whether they are busy."""
SAMPLED_NODES, QUICK_SAMPLINGS, FULL_SAMPLINGS = 100, 1, 5
DOCS = Path(__file__).parents[2] / "docs"
GROUPS_PICTURE = "bench-groups.svg"
Subject = TypeVar("Subject")
Run = TypeVar("Run")


@dataclass(frozen=True, slots=True)
class Bench:
    """All that was measured."""

    families: Sequence[FamilyResult]
    fleets: Sequence[FleetResult]
    samplings: Sequence[SamplingResult]
    forecasts: Sequence[Figures]
    clusters: Sequence[ClusterResult]
    checks: Sequence[Check]

    @property
    def all_checks(self) -> list[Check]:
        """Those of the sections, too."""
        return [*self.checks, *check_groups(self.clusters), *check_forecasts(self.forecasts)]


def main(arguments: Sequence[str]) -> int:
    """Run the bench; the exit status."""
    chosen = _parser().parse_args(arguments)
    if chosen.only == "forecasts":
        return _told(only_forecasts(write_docs=chosen.write_docs), chosen)
    compile_kernel()  # so that every process only loads what is compiled
    if chosen.only == "groups":
        return _told(only_groups(chosen), chosen)
    bench = run(full=chosen.full)
    write(bench, chosen)
    return _told(bench.all_checks, chosen)


def only_forecasts(*, write_docs: bool) -> Sequence[Check]:
    """Measure forecasts and nothing else, and have their section of the page written."""
    found = foreseen()
    _say(terminal.forecast_table(found))
    if write_docs:
        _write_section(pages.forecast_section(found, this_machine(datetime.now(UTC), _cores())))
    return check_forecasts(found)


def only_groups(chosen: argparse.Namespace) -> Sequence[Check]:
    """Measure settings by group and nothing else, and have that section and picture written."""
    found = _clusters(full=chosen.full)
    if chosen.write_docs:
        _write_section(pages.group_section(found, this_machine(datetime.now(UTC), _cores())))
    for folder in _folders(chosen):
        plots.draw_clusters(found, folder / GROUPS_PICTURE)
    return check_groups(found)


def run(*, full: bool) -> Bench:
    """Measure everything, and say it as it comes."""
    families = []
    for result in run_families(list(FAMILIES), _seeds(full=full)):
        families.append(result)
        _say(terminal.family_table(result))
    costs = [fleets.measure(nodes, busy=busy) for nodes, busy in FLEETS]
    _say(terminal.fleet_table(costs))
    samplings = FULL_SAMPLINGS if full else QUICK_SAMPLINGS
    compared = [fleets.compare(SAMPLED_NODES, seed) for seed in range(1, 1 + samplings)]
    _say(terminal.sampling_table(compared))
    clusters = _clusters(full=full)
    told = foreseen()
    _say(terminal.forecast_table(told))
    return Bench(families, costs, compared, told, clusters, check_all(families, costs))


def _seeds(*, full: bool) -> Sequence[int]:
    return range(1, 1 + (FULL_SEEDS if full else QUICK_SEEDS))


def _clusters(*, full: bool) -> list[ClusterResult]:
    """Settings by group, said as they come; the quick form has the first cluster alone."""
    mixes = MIXES if full else (BY_WORKLOAD,)
    found = []
    for mix, runs in _by_seed(run_cluster, mixes, _seeds(full=full)):
        found.append(ClusterResult(mix, runs))
        _say(group_pages.cluster_table(found[-1]))
    return found


def _write_section(section: str) -> None:
    page = DOCS / "benchmarks.md"
    page.write_text(pages.with_section(page.read_text("utf-8"), section), "utf-8")


def _told(checks: Sequence[Check], chosen: argparse.Namespace) -> int:
    """Say which targets were met; the exit status."""
    _say(terminal.check_table(checks))
    missed = sum(not check.met for check in checks)
    _say(f"{len(checks) - missed} of {len(checks)} targets met")
    return 1 if missed and chosen.check else 0


def run_families(families: Sequence[str], seeds: Sequence[int]) -> Iterator[FamilyResult]:
    """Each family as soon as all its seeds are through."""
    for family, runs in _by_seed(run_seed, families, seeds):
        yield FamilyResult(family, runs)


def _by_seed(
    work: Callable[[Subject, int], Run], subjects: Sequence[Subject], seeds: Sequence[int]
) -> Iterator[tuple[Subject, list[Run]]]:
    """Each subject with its runs, one a seed, on all cores that this process may use."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_cores(), mp_context=spawn) as pool:
        under_way = [
            (subject, [pool.submit(work, subject, seed) for seed in seeds]) for subject in subjects
        ]
        for subject, runs in under_way:
            yield subject, [one.result() for one in runs]


def data(bench: Bench) -> dict[str, Any]:
    """All figures, for JSON."""
    return {
        "machine": asdict(this_machine(datetime.now(UTC), _cores())),
        "families": {result.family: result.data() for result in bench.families},
        "fleets": [asdict(fleet) for fleet in bench.fleets],
        "samplings": [asdict(sampling) for sampling in bench.samplings],
        "clusters": {result.mix.name: result.data() for result in bench.clusters},
        "forecasts": [asdict(figures) for figures in bench.forecasts],
        "checks": [asdict(check) for check in bench.all_checks],
    }


def write(bench: Bench, chosen: argparse.Namespace) -> None:
    """Write what was asked for."""
    if chosen.json:
        chosen.json.write_text(json.dumps(data(bench), indent=1) + "\n", "utf-8")
    if chosen.write_docs:
        machine = this_machine(datetime.now(UTC), _cores())
        text = pages.page(
            bench.families,
            bench.fleets,
            bench.samplings,
            bench.forecasts,
            bench.checks,
            clusters=bench.clusters,
            machine=machine,
        )
        (DOCS / "benchmarks.md").write_text(text, "utf-8")
    for folder in _folders(chosen):
        for result in bench.families:
            plots.draw(result, folder / f"bench-{result.family}.svg")
        if bench.clusters:
            plots.draw_clusters(bench.clusters, folder / GROUPS_PICTURE)


def _folders(chosen: argparse.Namespace) -> list[Path]:
    """Where pictures are wanted; they are made."""
    folders = [chosen.plots] if chosen.plots else []
    folders += [DOCS / "images"] if chosen.write_docs else []
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help=f"{FULL_SEEDS} seeds")
    parser.add_argument(
        "--only", choices=("forecasts", "groups"), help="that part and nothing else"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write the pictures there")
    parser.add_argument("--write-docs", action="store_true", help="write docs/benchmarks.md anew")
    return parser


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
