"""Fixtures of the tests of the methods."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.api.port import Port


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    port = await Port().open()
    yield port
    await port.close()
