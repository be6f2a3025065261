"""The instances that routes are measured over, and what is asked of them: rows of a real catalogue, in states and with latencies as a fleet has them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import Any

from fleetd.core.instance import Condition, Instance, InstanceState
from fleetd.core.route import LatencyClass, Requirements

ROOT = Path(__file__).parents[2]
WHOLE = ROOT.parent / "shared" / "data" / "instance_catalogue.json"
EXTRACT = ROOT / "tests" / "data" / "instance_catalogue.json"
"""The catalogue of 3,500 instances where it is at hand; else the extract of it that is kept with the tests, repeated with other numbers."""

NEEDS = ("coding", "backend", "data", "testing", "long_ctx", "general", "vision", "reasoning")
REQUIRED = ("function_calling", "json_schema", "vision", "reasoning", "prompt_caching")
SIZES = (4_096, 8_192, 32_768, 128_000, 200_000)
PREFERENCES = ((), (), ("cheap",), ("fast",), ("cloud",), ("local",), ("cheap", "fast"))

Row = tuple[dict[str, Any], dict[str, Any]]
"""A provider without its instances, and one instance."""


def catalogue(number: int) -> dict[str, Any]:
    """Return a file of so many instances, in the form `providers`."""
    rows = _rows()
    if len(rows) >= number:
        # Evenly from the whole: its providers stand one after the other, and one has hundreds of instances.
        chosen = [rows[place * len(rows) // number] for place in range(number)]
    else:
        chosen = list(islice((row for turn in count() for row in _varied(rows, turn)), number))
    providers: dict[str, dict[str, Any]] = {}
    for provider, instance in chosen:
        entry = providers.setdefault(provider["provider_id"], {**provider, "instances": []})
        entry["instances"].append(instance)
    return {"providers": list(providers.values())}


def source(number: int) -> str:
    """Say where so many instances come from."""
    known = len(_rows())
    return "" if known >= number or WHOLE.exists() else f"{known} rows of the catalogue, repeated"


def condition(place: int, random: Random, now: int) -> Condition:
    """Return how the instance at this place is: two of a hundred are in ERROR, two DEGRADED; every one has a latency of its own."""
    state = {7: InstanceState.ERROR, 23: InstanceState.DEGRADED}.get(place % 50, InstanceState.READY)
    reason = "" if state is InstanceState.READY else "HTTP 503"
    return Condition(state, reason, now, latency=round(random.uniform(20, 2_000), 1))


def requirements(instances: tuple[Instance, ...], number: int, random: Random) -> list[Requirements]:
    """Return so many different requirements; every fifth wants a model, every third has required tags."""
    return [
        Requirements(
            needs=tuple(random.sample(NEEDS, random.randint(1, 3))),
            prefer=random.choice(PREFERENCES),
            min_ctx=random.choice(SIZES),
            latency_class=random.choice(tuple(LatencyClass)),
            required=(random.choice(REQUIRED),) if place % 3 == 0 else (),
            model=random.choice(instances).model if place % 5 == 0 else "",
        )
        for place in range(number)
    ]


@functools.cache
def _rows() -> list[Row]:
    """Return the rows of the catalogue, those that it repeats once."""
    data = json.loads((WHOLE if WHOLE.exists() else EXTRACT).read_text())
    rows: dict[tuple[str, str], Row] = {}
    for provider in data["providers"]:
        shared = {name: value for name, value in provider.items() if name != "instances"}
        for instance in provider["instances"]:
            rows.setdefault((provider["provider_id"], instance["id"]), (shared, instance))
    return list(rows.values())


def _varied(rows: list[Row], turn: int) -> Iterator[Row]:
    """Yield the rows once more, as other providers' with other contexts and prices."""
    if not turn:
        yield from rows
        return
    for provider, instance in rows:
        metadata = dict(instance["metadata"])
        for name in ("input_cost_per_mtok", "output_cost_per_mtok"):
            if metadata.get(name):
                metadata[name] = round(metadata[name] * (1 + turn / 10), 6)
        if metadata.get("ctx"):
            metadata["ctx"] += turn * 1_024
        other = {**provider, "provider_id": f"{provider['provider_id']}-{turn}"}
        yield other, {**instance, "metadata": metadata}
