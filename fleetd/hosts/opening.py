"""Which runner a host has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fleetd.clock import Clock
from fleetd.core.host import Host, is_local
from fleetd.errors import WrongState
from fleetd.hosts.local import LocalRunner
from fleetd.hosts.runner import Runner


def runner_for(
    host: Host, *, markers: str, here: Path, environ: Mapping[str, str], clock: Clock, grace: int = 10_000
) -> Runner:
    """
    Return the runner of a host.

    Args:
        host: where.
        markers: the directory of the markers; a relative one lies below the home directory of the host, for localhost below `here`.
        here: the data directory.
        environ: as the runners want it, and so are the others.
        clock: see there.
        grace: see there.

    Raises:
        WrongState: EXTRA_MISSING, the host is another machine and asyncssh is not installed.
    """
    if is_local(host):
        return LocalRunner(
            markers=here / markers, environ=environ, clock=clock, work_dir=host.work_dir, grace=grace
        )
    try:
        from fleetd.hosts.ssh import SshRunner  # noqa: PLC0415 - the library it needs is an extra
    except ModuleNotFoundError as error:
        if error.name != "asyncssh":
            raise
        text = f"host {host.id}: {host.hostname} is reached by SSH, which needs asyncssh: pip install 'fleetd[ssh]'"
        raise WrongState("EXTRA_MISSING", text, {"host": host.id, "extra": "ssh"}) from None
    return SshRunner(host, environ=environ, clock=clock, markers=markers, grace=grace)
