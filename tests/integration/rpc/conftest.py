"""Fixtures of the tests of the gRPC port."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.rpc.wire import Wire


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    wire = await Wire(tmp_path / "fleetd.db").open()
    yield wire
    await wire.close()
