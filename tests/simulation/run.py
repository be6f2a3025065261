"""Run seeds: python -m tests.simulation.run --seeds 200 --jobs 2, or --seed N for one of them with its history."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import NamedTuple

from tests.simulation.scenarios import Report, ageing, chaos, fair
from tests.simulation.variants import VARIANTS, broken

Scene = Callable[[int], Report]

CHUNK = 10
"""Seeds a process plays before it reports: enough that reporting costs nothing."""


class Outcome(NamedTuple):
    """What is told of a seed; `cpu` in seconds."""

    seed: int
    violation: str
    commits: int
    leases: int
    virtual: float
    cpu: float


def scenes(seed: int) -> list[Scene]:
    """Return what is played for a seed: the long runs only for every hundredth."""
    return [chaos, fair, ageing] if seed % 100 == 0 else [chaos]


def play(seeds: range, variant: str = "") -> list[Outcome]:
    outcomes = []
    with broken(variant):
        for seed in seeds:
            for scene in scenes(seed):
                began = time.process_time()
                report = scene(seed)
                cpu = time.process_time() - began
                outcomes.append(
                    Outcome(seed, report.violation, report.commits, report.leases, report.seconds, cpu)
                )
    return outcomes


def _all(first: int, count: int, jobs: int, variant: str) -> Iterator[Outcome]:
    chunks = [range(at, min(at + CHUNK, first + count)) for at in range(first, first + count, CHUNK)]
    if jobs == 1:
        for chunk in chunks:
            yield from play(chunk, variant)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(partial(play, variant=variant), chunks):
            yield from outcomes


def show(seed: int, variant: str) -> int:
    """Play one seed and print its history."""
    failed = 0
    with broken(variant):
        for scene in scenes(seed):
            report = scene(seed)
            for line in report.history.lines():
                print(line)
            end = report.violation or "every promise was kept"
            print(f"\nseed {seed}, {scene.__name__}: {end}\nhistory {report.history.digest()}")
            failed |= bool(report.violation)
            if failed:
                break
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Simulate fleets under faults; exit 1 when a promise was broken."
    )
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds (default 200)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--seed", type=int, help="play this one alone and print its history")
    parser.add_argument(
        "--variant", default="", choices=("", *VARIANTS), help="play a daemon with this mistake"
    )
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return show(chosen.seed, chosen.variant)
    began = time.monotonic()
    failures, cpu, virtual, commits, leases = [], 0.0, 0.0, 0, 0
    for outcome in _all(chosen.first, chosen.seeds, chosen.jobs, chosen.variant):
        cpu, virtual = cpu + outcome.cpu, virtual + outcome.virtual
        commits, leases = commits + outcome.commits, leases + outcome.leases
        if outcome.violation:
            failures.append(outcome)
            print(f"seed {outcome.seed}: {outcome.violation}\n  make sim SEED={outcome.seed}", flush=True)
    print(
        f"{chosen.seeds} seeds, {len(failures)} broken; {commits} transactions, {leases} leases,"
        f" {virtual / 3_600:.1f} virtual hours; {cpu / chosen.seeds:.3f} CPU s a seed,"
        f" {time.monotonic() - began:.1f} s in all"
    )
    if failures:
        print(f"\nThe history of seed {failures[0].seed}:\n")
        show(failures[0].seed, chosen.variant)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
