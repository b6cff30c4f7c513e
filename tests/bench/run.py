"""The warm-pool bench: what our choices come to, beside every other setting and other rules.

    python tests/bench/run.py [--full] [--check] [--json FILE] [--plots FOLDER] [--write-docs]
    python tests/bench/run.py --only forecasts [--check] [--write-docs]

The quick form takes three seeds and a few minutes, the full form (--full) twenty seeds and the
better part of an hour. --check exits with 1 if a target is missed. --write-docs writes
docs/benchmarks.md and its pictures; with --only forecasts, which takes a minute, just the section
on them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from warmpool import fleets, pages, plots, terminal
from warmpool.checks import Check, check_all
from warmpool.families import FAMILIES
from warmpool.fleets import FleetResult, SamplingResult
from warmpool.forecasts import Figures, check_forecasts, foreseen
from warmpool.machine import this_machine
from warmpool.results import FamilyResult
from warmpool.runs import run_seed

from ippolicy.ipamd.fast import compile_kernel

QUICK_SEEDS, FULL_SEEDS = 3, 20
FLEETS = ((500, False), (1_000, False), (5_000, False), (5_000, True))
"""Nodes, and whether they are busy."""
SAMPLED_NODES, QUICK_SAMPLINGS, FULL_SAMPLINGS = 100, 1, 5
DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True, slots=True)
class Bench:
    """All that was measured."""

    families: Sequence[FamilyResult]
    fleets: Sequence[FleetResult]
    samplings: Sequence[SamplingResult]
    forecasts: Sequence[Figures]
    checks: Sequence[Check]

    @property
    def all_checks(self) -> list[Check]:
        """Those of the forecasts, too."""
        return [*self.checks, *check_forecasts(self.forecasts)]


def main(arguments: Sequence[str]) -> int:
    """Run the bench; the exit status."""
    chosen = _parser().parse_args(arguments)
    if chosen.only:
        return _told(only_forecasts(write_docs=chosen.write_docs), chosen)
    compile_kernel()  # so that every process only loads what is compiled
    bench = run(
        range(1, 1 + (FULL_SEEDS if chosen.full else QUICK_SEEDS)),
        samplings=FULL_SAMPLINGS if chosen.full else QUICK_SAMPLINGS,
    )
    write(bench, chosen)
    return _told(bench.all_checks, chosen)


def only_forecasts(*, write_docs: bool) -> Sequence[Check]:
    """Measure forecasts and nothing else, and have their section of the page written."""
    found = foreseen()
    _say(terminal.forecast_table(found))
    if write_docs:
        page = DOCS / "benchmarks.md"
        machine = this_machine(datetime.now(UTC), _cores())
        page.write_text(pages.with_forecasts(page.read_text("utf-8"), found, machine), "utf-8")
    return check_forecasts(found)


def run(seeds: Sequence[int], *, samplings: int) -> Bench:
    """Measure everything, and say it as it comes."""
    families = []
    for result in run_families(list(FAMILIES), seeds):
        families.append(result)
        _say(terminal.family_table(result))
    costs = [fleets.measure(nodes, busy=busy) for nodes, busy in FLEETS]
    _say(terminal.fleet_table(costs))
    compared = [fleets.compare(SAMPLED_NODES, seed) for seed in range(1, 1 + samplings)]
    _say(terminal.sampling_table(compared))
    told = foreseen()
    _say(terminal.forecast_table(told))
    return Bench(families, costs, compared, told, check_all(families, costs))


def _told(checks: Sequence[Check], chosen: argparse.Namespace) -> int:
    """Say which targets were met; the exit status."""
    _say(terminal.check_table(checks))
    missed = sum(not check.met for check in checks)
    _say(f"{len(checks) - missed} of {len(checks)} targets met")
    return 1 if missed and chosen.check else 0


def run_families(families: Sequence[str], seeds: Sequence[int]) -> Iterator[FamilyResult]:
    """Each family as soon as all its seeds are through, on all cores that this process may use."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_cores(), mp_context=spawn) as pool:
        under_way = [
            (family, [pool.submit(run_seed, family, seed) for seed in seeds]) for family in families
        ]
        for family, runs in under_way:
            yield FamilyResult(family, [one.result() for one in runs])


def data(bench: Bench) -> dict[str, Any]:
    """All figures, for JSON."""
    return {
        "machine": asdict(this_machine(datetime.now(UTC), _cores())),
        "families": {result.family: result.data() for result in bench.families},
        "fleets": [asdict(fleet) for fleet in bench.fleets],
        "samplings": [asdict(sampling) for sampling in bench.samplings],
        "forecasts": [asdict(figures) for figures in bench.forecasts],
        "checks": [asdict(check) for check in bench.all_checks],
    }


def write(bench: Bench, chosen: argparse.Namespace) -> None:
    """Write what was asked for."""
    if chosen.json:
        chosen.json.write_text(json.dumps(data(bench), indent=1) + "\n", "utf-8")
    folders = [chosen.plots] if chosen.plots else []
    if chosen.write_docs:
        machine = this_machine(datetime.now(UTC), _cores())
        text = pages.page(
            bench.families,
            bench.fleets,
            bench.samplings,
            bench.forecasts,
            bench.checks,
            machine=machine,
        )
        (DOCS / "benchmarks.md").write_text(text, "utf-8")
        folders.append(DOCS / "images")
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for result in bench.families:
            plots.draw(result, folder / f"bench-{result.family}.svg")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help=f"{FULL_SEEDS} seeds")
    parser.add_argument("--only", choices=("forecasts",), help="that part and nothing else")
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
