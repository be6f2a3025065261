"""Run seeds: python -m tests.simulation.run --seeds 200 --jobs 2, or --seed N for one of them with its history."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from tests.simulation.scenarios import chaos

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


def play(seeds: range) -> list[Outcome]:
    outcomes = []
    for seed in seeds:
        began = time.process_time()
        report = chaos(seed)
        cpu = time.process_time() - began
        outcomes.append(Outcome(seed, report.violation, report.commits, report.leases, report.seconds, cpu))
    return outcomes


def _all(first: int, count: int, jobs: int) -> Iterator[Outcome]:
    chunks = [range(at, min(at + CHUNK, first + count)) for at in range(first, first + count, CHUNK)]
    if jobs == 1:
        for chunk in chunks:
            yield from play(chunk)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(play, chunks):
            yield from outcomes


def show(seed: int) -> int:
    """Play one seed and print its history."""
    report = chaos(seed)
    for line in report.history.lines():
        print(line)
    print(f"\nseed {seed}: {report.violation or 'every promise was kept'}\nhistory {report.history.digest()}")
    return 1 if report.violation else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Simulate fleets under faults; exit 1 when a promise was broken."
    )
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds (default 200)")
    parser.add_argument("--first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--seed", type=int, help="play this one alone and print its history")
    chosen = parser.parse_args()
    if chosen.seed is not None:
        return show(chosen.seed)
    began = time.monotonic()
    broken, cpu, virtual, commits, leases = [], 0.0, 0.0, 0, 0
    for outcome in _all(chosen.first, chosen.seeds, chosen.jobs):
        cpu, virtual = cpu + outcome.cpu, virtual + outcome.virtual
        commits, leases = commits + outcome.commits, leases + outcome.leases
        if outcome.violation:
            broken.append(outcome)
            print(f"seed {outcome.seed}: {outcome.violation}\n  make sim SEED={outcome.seed}", flush=True)
    print(
        f"{chosen.seeds} seeds, {len(broken)} broken; {commits} transactions, {leases} leases,"
        f" {virtual / 3_600:.1f} virtual hours; {cpu / chosen.seeds:.3f} CPU s a seed,"
        f" {time.monotonic() - began:.1f} s in all"
    )
    if broken:
        print(f"\nThe history of seed {broken[0].seed}:\n")
        show(broken[0].seed)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
