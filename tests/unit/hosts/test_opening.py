"""Which runner a host has, also where the library for SSH is not installed (spec M5)."""

import sys
from pathlib import Path

import pytest

from fleetd.clock import SystemClock
from fleetd.core.host import Host
from fleetd.errors import WrongState
from fleetd.hosts.local import LocalRunner
from fleetd.hosts.opening import runner_for
from fleetd.hosts.ssh import SshRunner


def opened(hostname: str):
    return runner_for(
        Host("build-1", hostname), markers="runs", here=Path("/nowhere"), environ={}, clock=SystemClock()
    )


def test_m5_localhost_is_this_machine_and_every_other_name_is_reached_by_ssh():
    assert isinstance(opened("localhost"), LocalRunner)
    assert isinstance(opened("127.0.0.1"), SshRunner)


def test_without_asyncssh_another_machine_is_refused_with_the_name_of_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "fleetd.hosts.ssh")
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(WrongState, match=r"host build-1: 10.0.0.5 .* pip install 'fleetd\[ssh\]'") as caught:
        opened("10.0.0.5")
    assert caught.value.reason == "EXTRA_MISSING"
    assert isinstance(opened("localhost"), LocalRunner)
