"""The lock on a data directory: one daemon at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from fleetd.store.base import StoreBroken


class DataDirLocked(StoreBroken):
    """Another daemon uses the data directory; `pid` is its process, 0 when it could not be read."""

    def __init__(self, data_dir: Path, pid: int) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the data directory {data_dir} is in use by {holder}; stop it or choose another directory"
        )
        self.pid = pid


class DataDirLock:
    """
    Holds `<data_dir>/lock` from `acquire` to `release`; the file names the holder's pid.

    The kernel drops the lock when the process ends, however it ends: a leftover file means nothing.
    """

    def __init__(self, data_dir: str | Path) -> None:
        self._data_dir = Path(data_dir)
        self._file: int | None = None

    def acquire(self) -> None:
        """Make the directory when it is missing, and take the lock. Raises DataDirLocked, or StoreBroken when it cannot be used."""
        if self._file is not None:
            return
        try:
            # Tasks may hold secrets: a directory made here is the owner's alone.
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreBroken(f"cannot use the data directory {self._data_dir}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            pid = _pid(os.pread(file, 32, 0))
            os.close(file)
            raise DataDirLocked(self._data_dir, pid) from None
        except OSError as error:
            os.close(file)
            raise StoreBroken(f"cannot lock the data directory {self._data_dir}: {error.strerror}") from error
        self._file = file

    def release(self) -> None:
        """Let go; safe to call twice. The file stays: removing it would let two daemons lock two files of one name."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _pid(text: bytes) -> int:
    text = text.strip()
    return int(text) if text.isdigit() else 0
