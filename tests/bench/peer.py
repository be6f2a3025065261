"""
LiteLLM's Router beside ours: `python peer.py STRATEGY DEPLOYMENTS` builds one and says `{"version": …, "us": …}`, what a selection takes; or `{"missing": …}`.

Told `{"ask": N}`, it selects N times and says `{"us": […]}`. It ends with stdin. A Router has more than one way to ask for a deployment; the fastest is
taken. Only the selection is called: no request is made, and the list of prices is the one LiteLLM ships.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import warnings
from collections.abc import Awaitable, Callable
from importlib import metadata
from operator import itemgetter
from statistics import median
from time import perf_counter
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
GROUP = "group"
MESSAGES = [{"role": "user", "content": "Review the change."}]
TRIES = 15
"""Selections by which the fastest way is found; the slowest strategy takes a fifth of a second for each."""

Select = Callable[[], Awaitable[object]]


def say(**words: object) -> None:
    print(json.dumps(words), flush=True)


def selections(router: Any) -> dict[str, Select]:
    """Return the ways to ask a Router for a deployment that this version has, by name."""
    ways: dict[str, Select] = {}
    if hasattr(router, "select"):
        ways["select"] = lambda: router.select(GROUP, {}, messages=MESSAGES)
    elif hasattr(router, "async_get_available_deployment"):
        ways["async"] = lambda: router.async_get_available_deployment(GROUP, {}, messages=MESSAGES)
    if hasattr(router, "get_available_deployment"):
        direct = router.get_available_deployment

        async def at_once() -> object:
            return direct(GROUP, messages=MESSAGES, request_kwargs={})

        ways["sync"] = at_once
    return ways


async def timed(select: Select, times: int) -> list[float]:
    """Select so often; return what each took, µs. Raises what the Router raises when it finds none."""
    took = []
    for _ in range(times):
        began = perf_counter()
        found = await select()
        took.append((perf_counter() - began) * 1e6)
        if not found:
            raise RuntimeError("no deployment was selected")
    return took


async def fastest(router: Any) -> tuple[float, Select]:
    """Return the fastest way to select, and how long it takes, µs."""
    found: list[tuple[float, Select]] = []
    for way, select in selections(router).items():
        try:
            found.append((median(await timed(select, TRIES)), select))
        except Exception as error:  # noqa: BLE001 - a way that fails is none of the fastest
            print(f"LiteLLM, {way}: {error}", file=sys.stderr)
    return min(found, key=itemgetter(0))


async def main(strategy: str, count: int) -> None:
    warnings.simplefilter(
        "ignore"
    )  # it deprecates its own names; those who call them are not what is measured
    try:
        from litellm import Router
    except ImportError as error:
        say(missing=str(error))
        return
    deployments = [
        {
            "model_name": GROUP,
            "litellm_params": {"model": f"openai/model-{number}", "api_key": "none"},
            "model_info": {"id": f"deployment-{number}"},
        }
        for number in range(count)
    ]
    took, select = await fastest(Router(model_list=deployments, routing_strategy=strategy))
    gc.collect()
    gc.freeze()
    say(version=metadata.version("litellm"), us=took)
    while line := await asyncio.to_thread(sys.stdin.readline):
        say(us=await timed(select, json.loads(line)["ask"]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
