"""Addresses to listen on: what both servers know of them before they bind."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

UNIX = "unix:"


class BindError(Exception):
    """The address cannot be listened on; the message is fit for an operator."""


def unix_path(listen: str) -> Path | None:
    """Return the path of unix:PATH; None for host:port."""
    return Path(listen.removeprefix(UNIX)) if listen.startswith(UNIX) else None


def clear(path: Path) -> None:
    """Remove what a dead daemon left: binding would take the path even from a living one. Raises BindError."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise BindError(f"cannot listen on unix:{path}: there is a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except OSError as error:
            raise BindError(f"cannot listen on unix:{path}: {error.strerror}") from error
        else:
            raise BindError(f"cannot listen on unix:{path}: another daemon listens there")


def keep_private(path: Path) -> None:
    """Let only the daemon's own user open the socket: who may open it may do everything."""
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
