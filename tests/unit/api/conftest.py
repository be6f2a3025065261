"""Fixtures of the tests of the methods."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fleetd.api.limits import Limits
from fleetd.core.settings import RouterRules, Rules
from tests.unit.api.port import Port
from tests.unit.api.routed import CLOUD, LOCAL, SECOND


@pytest.fixture
async def ports() -> AsyncIterator[Callable[[Limits], Awaitable[Port]]]:
    """Make the methods with limits of the test's own."""
    made: list[Port] = []

    async def make(limits: Limits) -> Port:
        # Waits of the retry ladder are exact: nothing is left to chance.
        made.append(Port(limits, Rules(router=RouterRules(ladder_jitter=0.0))))
        return await made[-1].open()

    yield make
    for port in made:
        await port.close()


@pytest.fixture
async def port(ports: Callable[[Limits], Awaitable[Port]]) -> Port:
    """The methods with the limits as they are."""
    return await ports(Limits())


@pytest.fixture
async def fleet(port: Port) -> Port:
    """The methods with three instances, which a task that needs coding tries in their order."""
    await port.instances(LOCAL, SECOND, CLOUD)
    return port
