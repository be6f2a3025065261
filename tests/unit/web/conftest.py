"""Fixtures of the tests of the side port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from fleetd.api.limits import Limits
from fleetd.core.settings import Rules
from tests.unit.api.port import Port
from tests.unit.web.wire import Wire


@pytest.fixture
async def wires() -> AsyncIterator[Callable[..., Awaitable[Wire]]]:
    """Make a port with settings of the test's own."""
    made: list[Wire] = []

    async def make(
        limits: Limits | None = None,
        fleet_rules: Rules | None = None,
        path: str = ":memory:",
        **settings: Any,
    ) -> Wire:
        port = await Port(limits, fleet_rules, path).open()
        made.append(Wire(port, **settings))
        return made[-1]

    yield make
    for wire in made:
        await wire.close()
        await wire.port.close()


@pytest.fixture
async def wire(wires: Callable[..., Awaitable[Wire]]) -> Wire:
    """The port with its defaults."""
    return await wires()
