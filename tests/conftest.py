"""Fixtures for every kind of test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.daemon import Daemon


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    """A daemon that serves; `daemon.address` is where."""
    daemon = Daemon(tmp_path / "data")
    await daemon.start()
    yield daemon
    await daemon.close()
