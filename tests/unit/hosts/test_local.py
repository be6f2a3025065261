"""What only commands on this machine have (spec M5)."""

import asyncio
import os

import pytest

from fleetd.clock import SystemClock
from fleetd.core.host import Host
from fleetd.hosts.local import LocalRunner
from fleetd.hosts.opening import runner_for
from fleetd.hosts.runner import NotStarted, Problem, RunSpec, Unreachable


async def test_a_command_runs_in_the_home_directory_and_sees_no_secret_of_the_daemon(tmp_path):
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "SECRET": "x"}
    runner = LocalRunner(markers=tmp_path / "markers", environ=environ, clock=SystemClock())
    command = await runner.start(RunSpec("task-1", 1, ("sh", "-c", "pwd; env")))
    lines = [line async for line in command.lines()]
    assert lines[0] == f"{tmp_path}\n".encode()
    assert not [line for line in lines if b"SECRET" in line]
    assert (await command.wait()).exit_code == 0


async def test_m5_localhost_gets_a_local_runner_with_its_directory(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    host = Host("here", "localhost", work_dir=str(folder))
    runner = runner_for(host, markers="markers", here=tmp_path, environ=os.environ, clock=SystemClock())
    assert (await runner.check()).ok
    command = await runner.start(RunSpec("task-1", 1, ("pwd",)))
    assert [line async for line in command.lines()] == [f"{folder}\n".encode()]
    folder.rmdir()
    check = await runner.check()
    assert (check.ok, check.problem) == (False, Problem.UNUSABLE)
    assert check.detail == f"localhost: there is no such work_dir: {folder}"
    with pytest.raises(NotStarted, match="there is no such work_dir"):
        await runner.start(RunSpec("task-1", 2, ("pwd",)))


async def test_markers_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    runner = LocalRunner(markers=tmp_path / "file", environ=os.environ, clock=SystemClock())
    check = await runner.check()
    assert check.detail == f"localhost: the directory of markers cannot be written: {tmp_path}/file"
    with pytest.raises(NotStarted):
        await runner.start(RunSpec("task-1", 1, ("true",)))


async def test_markers_of_before_the_last_start_of_the_machine_leave_with_a_check(tmp_path):
    markers = tmp_path / "markers"
    markers.mkdir()
    boot = "of-another-start"
    (markers / "old@1").write_text(f"1 2 {boot}\n")
    runner = LocalRunner(markers=markers, environ=os.environ, clock=SystemClock())
    command = await runner.start(RunSpec("new", 1, ("cat", "/dev/zero")))
    assert (await runner.check()).ok
    assert [each.name for each in markers.iterdir()] == ["new@1"]
    await runner.close()
    assert (await command.wait()).signal == 15


async def test_a_home_that_is_not_there_is_said(tmp_path):
    runner = LocalRunner(markers=tmp_path, environ={"HOME": str(tmp_path / "none")}, clock=SystemClock())
    with pytest.raises(NotStarted, match="the shell cannot be started"):
        await runner.start(RunSpec("task-1", 1, ("true",)))


async def test_a_closed_runner_starts_nothing(tmp_path):
    runner = LocalRunner(markers=tmp_path, environ=os.environ, clock=SystemClock())
    await runner.close()
    with pytest.raises(Unreachable, match="closed"):
        await runner.start(RunSpec("task-1", 1, ("true",)))


async def test_output_kept_open_by_a_process_that_left_the_group_does_not_hold_the_end(tmp_path):
    runner = LocalRunner(markers=tmp_path, environ=os.environ, clock=SystemClock())
    command = await runner.start(RunSpec("task-1", 1, ("sh", "-c", "setsid sleep 1000 & echo $!; exit 5")))
    async with asyncio.timeout(30):
        lines = [line async for line in command.lines()]
        ended = await command.wait()
    os.kill(int(lines[0]), 9)
    assert ended.exit_code == 5
