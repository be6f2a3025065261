"""Where definitions of rollouts come from, in a real daemon: its file at the start and on SIGHUP, and its environment (spec G4, G8)."""

from __future__ import annotations

import signal
from pathlib import Path

from fleetd import exit_codes
from tests.integration.daemon import Daemon
from tests.integration.test_daemon import fleetd

GOOD = '[[rollouts]]\nname = "search"\nold_mode = {name = "a"}\nnew_mode = {name = "b"}\n'


async def test_g4_a_file_that_is_unusable_keeps_the_daemon_from_starting(tmp_path: Path):
    file = tmp_path / "rollouts.toml"
    arguments = ("serve", "--data-dir", str(tmp_path / "data"), "--set", f"rollouts.file={file}")
    for text, words in (
        (None, "cannot be read"),
        ("[[rollouts", "is not TOML"),
        ("", "must have [[rollouts]]"),
    ):
        if text is not None:
            file.write_text(text)
        code, said = await fleetd(*arguments)
        assert code == exit_codes.USAGE
        assert words in said


async def test_g4_g8_the_environment_and_the_file_are_read_at_the_start_and_the_file_again(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("CHAT_EXECUTION_MODE", "runtime_orchestrator")
    monkeypatch.setenv("RUNTIME_SERVICE_URL", "")
    file = tmp_path / "rollouts.toml"
    file.write_text(GOOD + GOOD.replace("search", "mail") + "percent = 101\n")
    daemon = Daemon(tmp_path / "data", f"rollouts.file={file}")
    try:
        await daemon.start()
        read = {"rollout": "chat", "default_mode": "runtime_orchestrator"}
        assert await daemon.logged("rollout_from_environment", **read)
        assert await daemon.logged("rollouts_loaded", loaded=1, problems=1)
        assert "percent" in (await daemon.logged("row_skipped"))["problem"]
        file.write_text(GOOD + GOOD.replace("search", "mail"))
        daemon.signal(signal.SIGHUP)
        await daemon.logged("rollouts_reloaded", loaded=2, problems=0)
        file.write_text("[[rollouts")
        daemon.signal(signal.SIGHUP)
        await daemon.logged("files_unusable")
        assert await daemon.stop() == exit_codes.OK
    finally:
        await daemon.close()
