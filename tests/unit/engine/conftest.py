"""Fixtures of the engine's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.engine.faults import FaultyStore
from tests.unit.engine.fleet import Fleet
from tests.unit.engine.routes import RULES


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = await Fleet().open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


@pytest.fixture
async def faulty():
    store = FaultyStore()
    fleet = await Fleet(store=store).open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()


@pytest.fixture
async def calm():
    """A fleet whose agents need not be heard."""
    fleet = await Fleet(RULES).open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()
