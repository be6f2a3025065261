"""Fixtures of the tests of the gRPC port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rpc.wire import Wire


@pytest.fixture
async def wires(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Wire]]]:
    """Make servers with settings of their own, `opened` or to be opened by the test; whatever the test did, they are closed."""
    made: list[Wire] = []

    async def make(*, opened: bool = True, **settings: Any) -> Wire:
        wire = Wire(tmp_path / f"fleetd-{len(made)}.db", **settings)
        made.append(wire)
        return await wire.open() if opened else wire

    yield make
    for wire in made:
        await wire.close()


@pytest.fixture
async def wire(wires: Callable[..., Awaitable[Wire]]) -> Wire:
    """A server that serves."""
    return await wires()
