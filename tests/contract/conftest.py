"""The stores that must all behave alike; another engine joins the suite by another parameter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleetd.store.base import Store
from fleetd.store.sqlite import SqliteStore
from tests.contract.place import Place


def _place(engine: str, folder: Path) -> Place:
    path = ":memory:" if engine == "memory" else folder / "fleetd.db"
    return Place(lambda: SqliteStore(path))


@pytest.fixture(params=["file", "memory"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Where the stores of a test live."""
    place = _place(request.param, tmp_path)
    yield place
    await place.close()


@pytest.fixture(params=["file"])
async def durable_place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """A place where a second store finds what the first one wrote."""
    place = _place(request.param, tmp_path)
    yield place
    await place.close()


@pytest.fixture
async def store(place: Place) -> Store:
    return await place.open()
