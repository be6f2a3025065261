"""One decision of the Router beside one selection of LiteLLM's Router, its fastest strategy, in turn. LiteLLM is an extra: `pip install -e '.[bench]'`."""

from __future__ import annotations

from figure import Figure, Sample, median
from process import child
from routing import US, fleet, one_round, report_all

NUMBER = 1_000
"""Instances of ours, deployments of theirs."""
ASK = 20
STRATEGIES = (
    "simple-shuffle",
    "least-busy",
    "usage-based-routing",
    "usage-based-routing-v2",
    "latency-based-routing",
    "cost-based-routing",
)
KEY, BAR = "route_vs_litellm", ">= 20"


async def measure(sample: Sample) -> list[Figure]:
    tried: dict[str, float] = {}
    for strategy in STRATEGIES:
        # Each in a process of its own: they leave callbacks and deployments behind.
        async with child("peer.py", strategy, NUMBER) as peer:
            heard = await peer.hear()
        if "missing" in heard:
            note = "LiteLLM is not installed (pip install -e '.[bench]')"
            return [Figure(KEY, None, "ratio", 0.0, "µs, LiteLLM's Router", BAR, note)]
        tried[strategy] = heard["us"]
    fastest = min(tried, key=lambda each: tried[each])
    ours: list[float] = []
    theirs: list[float] = []
    async with child("peer.py", fastest, NUMBER) as peer, fleet(sample.folder / "fleet.db", NUMBER) as one:
        version = (await peer.hear())["version"]
        for _ in range(sample.size(10, 4)):
            plans, took = one_round(one)
            await report_all(one, plans)
            ours.append(median(took) / US)
            peer.say(ask=ASK)
            theirs.append(median((await peer.hear())["us"]))
    floor = median(theirs)
    return [
        Figure(
            KEY,
            median(their / our for our, their in zip(ours, theirs, strict=True)),
            "ratio",
            floor,
            f"µs, LiteLLM {version}, {NUMBER:,} deployments",
            BAR,
            f"{median(ours):.0f} µs with 5 fallbacks and reasons; theirs: {fastest}, the fastest of {len(tried)} strategies",
            details={"decision_us": median(ours), "litellm_us": floor, "strategies_us": tried},
        )
    ]
