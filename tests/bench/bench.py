"""
The benchmark: `make bench`, or `python tests/bench/bench.py [--only KEY[,KEY]]`. QUICK=1 in the environment takes smaller samples.

Writes build/bench.json and prints a table. docs/benchmarks.md tells what each key means.
"""

from __future__ import annotations

import os

# Read by grpc's core when it is loaded: connections that break are part of the measurements.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic

import claims
import e2e
import events
import idle
import latency
import restart
import route_calls
import routing
import storm
import submission
import versus
from figure import Figure, Sample
from machine import Others
from rich.console import Console
from table import PLAIN_WIDTH, show, shown

INTERRUPTED = 130
BUILD = Path(__file__).parents[2] / "build"

MEASUREMENTS: Sequence[tuple[Sequence[str], Callable[[Sample], Awaitable[list[Figure]]]]] = (
    (("e2e_tasks_per_s", "e2e_runtime_tasks_per_s", "e2e_vs_sqlite_pipeline"), e2e.measure),
    (("submit_unary_vs_echo", "client_submit_per_s"), submission.measure),
    (("submit_to_start_vs_floor", "submit_to_start_p50_ms", "submit_to_start_p99_ms"), latency.measure),
    (("claim_rate_1m_vs_1k",), claims.backlog),
    (("claim_rate_5000_lanes_vs_1",), claims.lanes),
    (("restart_ready_s",), restart.measure),
    (("agents_idle",), idle.measure),
    (("heartbeat_storm_s",), storm.measure),
    (tuple(f"route_decision_us_p50_{number}" for number in routing.BARS), routing.decisions),
    (("route_decision_us_p50_1000_busy",), routing.busy),
    (("breaker_ops_us",), routing.breaker),
    (("route_vs_litellm",), versus.measure),
    (("events_per_s",), events.measure),
    (("route_unary_vs_echo", "route_batch_per_s", "client_route_per_s"), route_calls.measure),
)
KEYS = [key for keys, _ in MEASUREMENTS for key in keys]


def wanted() -> set[str]:
    """Return the keys asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="KEY[,KEY]", help=f"some of: {', '.join(KEYS)}")
    only = parser.parse_args().only
    keys = set(only.split(",")) if only else set(KEYS)
    unknown = sorted(keys - set(KEYS))
    if unknown:
        parser.error(f"there is no key {', '.join(unknown)}; keys are {', '.join(KEYS)}")
    return keys


async def run(keys: set[str], console: Console) -> tuple[list[Figure], bool]:
    """
    Take the measurements that give the keys; a key's neighbours of the same measurement come with it.

    Return the figures, and whether every measurement succeeded.
    """
    task = asyncio.current_task()
    assert task is not None
    # Without it, what was started would outlive the benchmark.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    quick = os.environ.get("QUICK", "") not in ("", "0")
    figures: list[Figure] = []
    complete = True
    # Under build, because that is on the disk a real data directory is on; /tmp may be memory.
    with tempfile.TemporaryDirectory(prefix="bench-", dir=BUILD) as folder:
        for offered, measure in MEASUREMENTS:
            if keys.isdisjoint(offered):
                continue
            began, others = monotonic(), Others()
            place = Path(folder) / offered[0]
            place.mkdir()
            try:
                found = await measure(Sample(quick, place))
            except Exception:  # noqa: BLE001 - one measurement that fails must not cost the others
                complete = False
                console.print(f"[red]{', '.join(offered)} failed")
                console.print_exception()
                continue
            cores = others.cores()
            figures += found
            for figure in found:
                figure.details["others_cores"] = cores
                console.print(f"{figure.key} [bold]{shown(figure)}[/]  ({monotonic() - began:.0f} s)")
    return figures, complete


def main() -> int:
    keys = wanted()
    console = Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)
    BUILD.mkdir(exist_ok=True)
    try:
        figures, complete = asyncio.run(run(keys, console))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    report = BUILD / "bench.json"
    report.write_text(json.dumps({one.key: one.record() for one in figures}, indent=2) + "\n")
    show(figures, console)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
