"""Fixtures of the engine's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.engine.fleet import Fleet


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = await Fleet().open()
    yield fleet
    assert not fleet.log.errors
    await fleet.check()
    await fleet.close()
