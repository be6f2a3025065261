"""The demo itself: it judges its own jobs, this test judges the demo."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.integration.cli.conftest import LIMIT

DEMO = Path(__file__).parents[2] / "demo" / "demo.py"


async def test_the_demo_ends_as_expected_and_leaves_nothing(tmp_path):
    """T2, T3, D2, D4, F4: twenty jobs; one retried, one cancelled, one finished elsewhere from its checkpoint."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(DEMO),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 3 * LIMIT)
    text = out.decode()
    assert process.returncode == 0, text
    assert "All 32 expectations were met" in text
    assert "killed (SIGKILL)" in text
    assert list(tmp_path.iterdir()) == []
