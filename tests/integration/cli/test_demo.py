"""The demo itself: it judges its own jobs, this test judges the demo."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import sys
from pathlib import Path

import pytest

from tests.integration.cli.conftest import LIMIT

DEMO = Path(__file__).parents[2] / "demo" / "demo.py"


async def test_the_demo_ends_as_expected_and_leaves_nothing(tmp_path):
    """T2, T3, D2, D4, F4, R11, F3, M2, M4, M5, M5a, M6, G1 to G3, G6: jobs that are retried, cancelled, finished elsewhere; a model server that dies; hosts; a rollout."""
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
    assert "All 61 expectations were met" in text
    assert "killed (SIGKILL)" in text
    assert re.search(r"BREAKER_OPENED(.|\n)*BREAKER_HALF_OPEN(.|\n)*BREAKER_CLOSED", text)
    assert re.search(
        r"RETRY_BACKOFF  attempt 1 of 2 failed \(AGENT_ERROR\); the next is due in \d\.\d s$",
        text,
        re.MULTILINE,
    )
    assert "rack: by SSH" in text
    assert re.search(r"error rate too high: \d+\.\d\d% \(threshold: 20\.00%\)", text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [80, 100])
def test_the_notes_of_the_last_table_are_never_torn(monkeypatch, capsys, columns):
    """Behind the rows where there is room, else below the jobs."""
    monkeypatch.syspath_prepend(str(DEMO.parent))
    board, screen = importlib.import_module("board"), importlib.import_module("screen").Screen()
    screen.console.width = columns
    row = ("words of config.example.toml", "COMPLETED", "builder → linter", 7.3)
    board.Board(screen).summary(
        [
            board.Verdict(*row, note="killed, finished elsewhere", problem=""),
            board.Verdict(*row, note="", problem=""),
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert sum("killed, finished elsewhere" in line for line in lines) == 1
    assert sum("words of config.example.toml  COMPLETED" in line for line in lines) == 2
    assert max(map(len, lines)) <= columns
