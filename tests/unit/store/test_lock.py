"""The lock on the data directory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fleetd.store.base import StoreBroken
from fleetd.store.lock import DataDirLock, DataDirLocked

HOLD = """
import sys
from fleetd.store.lock import DataDirLock
DataDirLock(sys.argv[1]).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_daemon_is_told_who_holds_the_directory(tmp_path):
    """S7"""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DataDirLocked, match=f"{tmp_path} is in use by process {holder.pid}") as refused:
            DataDirLock(tmp_path).acquire()
        assert refused.value.pid == holder.pid
        assert isinstance(refused.value, StoreBroken)
        holder.kill()
        holder.wait()

    with DataDirLock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n", "a killed holder leaves no lock behind"


def test_the_lock_is_free_again_after_release(tmp_path):
    first, second = DataDirLock(tmp_path), DataDirLock(tmp_path)
    first.acquire()
    first.acquire()
    with pytest.raises(DataDirLocked):
        second.acquire()
    first.release()
    first.release()

    second.acquire()
    second.release()


def test_a_missing_directory_is_made_for_the_owner_alone(tmp_path):
    path = tmp_path / "new" / "data"
    with DataDirLock(path):
        assert path.stat().st_mode & 0o777 == 0o700
        assert (path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreBroken, match=f"cannot use the data directory {tmp_path}/file"):
        DataDirLock(tmp_path / "file").acquire()


def test_a_lock_file_with_nonsense_in_it_does_not_confuse(tmp_path):
    (tmp_path / "lock").write_text("not a pid, and longer than any pid could ever be\n")
    first = DataDirLock(tmp_path)
    first.acquire()
    (tmp_path / "lock").write_text("nonsense")

    with pytest.raises(DataDirLocked, match="in use by another process") as refused:
        DataDirLock(tmp_path).acquire()
    assert refused.value.pid == 0
    first.release()
