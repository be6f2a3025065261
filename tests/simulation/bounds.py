"""Small bounds for some seeds: what is cut at a thousand in earnest is cut at a handful, so that fifty tasks meet every edge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fleetd.engine import dispatch, due, feed, sweeper
from fleetd.engine.engine_options import EngineOptions
from fleetd.engine.route_ring import RouterOptions

OPTIONS = EngineOptions(
    queue_limit=30, batch_limit=3, outbox_limit=20, router=RouterOptions(plans_kept=3, plans_for=30_000)
)
BOUNDS = (
    (due, "WINDOW", 3),
    (sweeper, "WINDOW", 3),
    (sweeper, "FIRED_AT_ONCE", 2),
    (dispatch, "CLAIMS_LIMIT", 2),
    (feed, "BUFFER", 5),
)


@contextmanager
def narrow(*, wanted: bool) -> Iterator[EngineOptions]:
    """Narrow the bounds as long as the context lasts, if that is wanted; gives the engine's options."""
    with ExitStack() as stack:
        for module, name, value in BOUNDS if wanted else ():
            stack.callback(setattr, module, name, vars(module)[name])
            setattr(module, name, value)
        yield OPTIONS if wanted else EngineOptions()
