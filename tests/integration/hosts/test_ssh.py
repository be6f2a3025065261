"""What only SSH has: host keys, logins, connections that are reused, refused and lost (spec M5)."""

import asyncio
import shutil

import pytest

from fleetd.clock import ManualClock
from fleetd.core.host import Host
from fleetd.hosts import ssh as ssh_module
from fleetd.hosts.runner import Problem, RunSpec, Unreachable
from fleetd.hosts.ssh import SshRunner
from tests.integration.hosts.place import LIMIT, end_of, first_line, is_alive
from tests.integration.hosts.sshd import Sshd, Way, free_port, keygen

TRUE = RunSpec("task-1", 1, ("true",))


async def test_an_unknown_host_key_is_refused_with_the_line_to_add(ssh, sshd, way, tmp_path):
    """M5: known_hosts is always checked, also when there is no such file."""
    known = tmp_path / "empty"
    runner = ssh.another(fields={"known_hosts": str(known)})
    check = await runner.check()
    assert (check.ok, check.problem) == (False, Problem.UNKNOWN_KEY)
    line = sshd.known_hosts(way.port).strip()
    assert f"add this line to {known}: {line}" in check.detail
    with pytest.raises(Unreachable, match="its key is unknown"):
        await runner.start(TRUE)

    known.write_text(check.detail.partition(f"{known}: ")[2] + "\n")
    assert (await runner.check()).ok


async def test_the_usual_known_hosts_file_is_the_one_below_home(ssh, sshd, way, tmp_path):
    runner = ssh.another(fields={"known_hosts": ""})
    assert f"to {tmp_path}/.ssh/known_hosts: " in (await runner.check()).detail
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(sshd.known_hosts(way.port))
    assert (await runner.check()).ok


async def test_another_key_than_the_known_one_is_told_apart(ssh, sshd, way, tmp_path):
    await keygen(tmp_path / "other")
    known = tmp_path / "other_hosts"
    kind, data, *_ = (tmp_path / "other.pub").read_text().split()
    known.write_text(f"[127.0.0.1]:{way.port} {kind} {data}\n")
    check = await ssh.another(fields={"known_hosts": str(known)}).check()
    assert check.problem is Problem.UNKNOWN_KEY
    assert "its key is not the one in" in check.detail
    assert f"replace its line by: {sshd.known_hosts(way.port).strip()}" in check.detail


async def test_a_broken_known_hosts_file_trusts_nobody(ssh, tmp_path):
    known = tmp_path / "broken"
    known.write_text("@nonsense\n")
    check = await ssh.another(fields={"known_hosts": str(known)}).check()
    assert (check.ok, check.problem) == (False, Problem.UNKNOWN_KEY)


async def test_a_login_with_a_wrong_key_is_refused(ssh, tmp_path):
    await keygen(tmp_path / "wrong")
    check = await ssh.another(fields={"key_file": str(tmp_path / "wrong")}).check()
    assert (check.ok, check.problem) == (False, Problem.AUTH)
    assert f"with {tmp_path}/wrong was refused" in check.detail


@pytest.mark.parametrize("content", [None, "no key"])
async def test_a_key_file_that_cannot_be_used_is_named(ssh, tmp_path, content):
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    check = await ssh.another(fields={"key_file": str(path)}).check()
    assert (check.ok, check.problem) == (False, Problem.AUTH)
    assert f"the key file {path} cannot be used" in check.detail


async def test_a_key_with_a_passphrase_needs_the_agent(ssh, sshd, tmp_path):
    secret = tmp_path / "secret"
    shutil.copy(sshd.key_file, secret)
    process = await asyncio.create_subprocess_exec(
        "ssh-keygen", "-q", "-p", "-N", "a secret", "-f", str(secret)
    )
    assert await process.wait() == 0
    check = await ssh.another(fields={"key_file": str(secret)}).check()
    assert check.problem is Problem.AUTH
    assert "load it into an SSH agent" in check.detail


async def test_the_agent_logs_in(ssh, sshd, tmp_path):
    socket = tmp_path / "agent"
    agent = await asyncio.create_subprocess_exec(
        "ssh-agent", "-D", "-a", str(socket), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(LIMIT):
            await agent.stdout.readline()
        adding = await asyncio.create_subprocess_exec(
            "ssh-add", "-q", str(sshd.key_file), env={"SSH_AUTH_SOCK": str(socket)}
        )
        assert await adding.wait() == 0
        environ = {"HOME": str(tmp_path), "SSH_AUTH_SOCK": str(socket)}
        assert (await ssh.another(fields={"key_file": ""}, environ=environ).check()).ok
    finally:
        agent.kill()
        await agent.wait()
        await agent.stdout.read()


async def test_a_refused_port_is_said_and_not_asked_again_at_once(sshd, tmp_path):
    """The wait grows with every failure; a check asks all the same."""
    way = Way(sshd.port)
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_hosts(way.port))
    clock = ManualClock()
    host = Host("h", "127.0.0.1", sshd.user, way.port, key_file=str(sshd.key_file), known_hosts=str(known))
    runner = SshRunner(host, environ={"HOME": str(tmp_path)}, clock=clock, markers=str(tmp_path / "markers"))
    with pytest.raises(Unreachable, match="connection refused") as caught:
        await runner.start(TRUE)
    assert (caught.value.reason, caught.value.problem) == ("HOST_UNREACHABLE", Problem.REFUSED)
    assert 800 <= caught.value.retry_after <= 1_200
    clock.advance(caught.value.retry_after)
    with pytest.raises(Unreachable) as caught:
        await runner.start(TRUE)
    assert 1_600 <= caught.value.retry_after <= 2_400

    await way.start()
    with pytest.raises(Unreachable, match="connection refused") as again:
        await runner.start(TRUE)
    assert again.value.retry_after == caught.value.retry_after
    assert way.connections == 0
    assert (await runner.check()).ok
    await end_of(await runner.start(TRUE))
    await runner.close()
    await way.cut()


async def test_a_server_that_says_nothing_is_a_timeout(ssh):
    held = []
    server = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    check = await ssh.another(fields={"port": port}, connect_timeout=200).check()
    assert (check.ok, check.problem) == (False, Problem.TIMEOUT)
    assert "no connection within 200 ms" in check.detail
    for writer in held:
        writer.transport.abort()
    server.close()


async def test_a_server_that_is_none_is_unusable(ssh):
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    check = await ssh.another(fields={"port": server.sockets[0].getsockname()[1]}).check()
    assert (check.ok, check.problem) == (False, Problem.UNUSABLE)
    server.close()


async def test_a_name_that_is_nowhere_is_unusable(ssh, tmp_path):
    host = Host("h", "no..where", key_file=str(tmp_path / "sshd" / "user_key"))
    runner = SshRunner(host, environ={"HOME": str(tmp_path)}, clock=ManualClock())
    check = await runner.check()
    assert (check.ok, check.problem) == (False, Problem.UNUSABLE)


async def test_a_name_that_no_user_has_is_unusable(ssh):
    """M5"""
    check = await ssh.another(fields={"user": "\u2028"}).check()
    assert (check.ok, check.problem) == (False, Problem.UNUSABLE)


async def test_a_usual_key_that_cannot_be_used_is_said(ssh, tmp_path, monkeypatch):
    """M5: where no key file is named"""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519").write_text("garbage")
    monkeypatch.setenv("HOME", str(tmp_path))
    check = await ssh.another(fields={"key_file": ""}).check()
    assert (check.ok, check.problem) == (False, Problem.AUTH)
    assert "a key of ~/.ssh cannot be used" in check.detail


async def test_many_runs_share_one_connection_and_more_than_it_carries_open_another(ssh, way):
    """M5: and what was opened for more is closed when it is empty."""
    commands = [await ssh.runner.start(ssh.alone(1, f"task-{n}")) for n in range(ssh_module.CHANNELS)]
    assert way.connections == 1
    commands.append(await ssh.runner.start(ssh.alone(1, "task-more")))
    assert way.connections == 2
    pids = [int((await first_line(command))[0].split()[1]) for command in commands]
    assert all(map(is_alive, pids))
    await asyncio.gather(*(command.kill(1_000) for command in commands))
    for command in commands:
        await end_of(command)
    assert not any(map(is_alive, pids))


async def test_a_server_with_few_sessions_gets_more_connections(tmp_path):
    sshd = Sshd(tmp_path / "few", "MaxSessions 2")
    await sshd.start()
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_hosts())
    host = Host("h", "127.0.0.1", sshd.user, sshd.port, key_file=str(sshd.key_file), known_hosts=str(known))
    runner = SshRunner(
        host,
        environ={"HOME": str(tmp_path)},
        clock=ManualClock(),
        markers=str(tmp_path / "markers"),
        grace=500,
    )
    try:
        commands = [
            await runner.start(RunSpec(f"task-{n}", 1, ("sh", "-c", "echo up; exec sleep 1000")))
            for n in range(5)
        ]
        for command in commands:
            assert (await first_line(command))[0] == b"up\n"
        await commands[0].kill(500)
        assert (await end_of(commands[0])).signal == 15
    finally:
        await runner.close()
        await sshd.stop()


async def test_a_connection_that_is_cut_loses_its_runs_and_the_next_lease_ends_what_is_left(ssh, way):
    """M5, M5a: nobody knows what became of a lost run, so it is ended on the host before the task runs there again."""
    command = await ssh.runner.start(ssh.alone(1))
    line, lines = await first_line(command)
    pid = int(line.split()[1])
    await way.cut()
    async with asyncio.timeout(LIMIT):
        assert [line async for line in lines] == []
    ended = await end_of(command)
    assert (ended.lost, ended.exit_code, ended.signal) == (True, None, 0)
    assert is_alive(pid)
    assert ssh.markers == ["task-1@1"]

    await way.start()
    again = await ssh.runner.start(ssh.alone(2))
    assert not is_alive(pid)
    await first_line(again)
    assert not ssh.overlapped
    assert ssh.markers == ["task-1@2"]


async def test_killing_a_command_of_a_lost_host_says_that_it_cannot_be_asked(ssh, way):
    command = await ssh.runner.start(ssh.alone(1))
    await first_line(command)
    await way.cut()
    with pytest.raises(Unreachable):
        await ssh.runner.end("task-1", 1, 100)
    await command.kill(100)  # it is lost, so that there is nothing to kill
    await way.start()
    await ssh.another().end("task-1", 1, 100)
    assert ssh.markers == []


async def test_a_connection_that_falls_silent_is_lost(ssh, way, monkeypatch):
    """M5: keepalive."""
    monkeypatch.setattr(ssh_module, "KEEPALIVE_SECONDS", 0.1)
    runner = ssh.another()
    command = await runner.start(ssh.alone(1))
    await first_line(command)
    way.freeze()
    assert (await end_of(command)).lost


async def test_a_check_that_nobody_answers_drops_the_connection(ssh, way):
    runner = ssh.another(timeout=300)
    command = await runner.start(ssh.alone(1))
    await first_line(command)
    way.freeze()
    check = await runner.check()
    assert (check.ok, check.problem) == (False, Problem.TIMEOUT), check.detail
    assert (await end_of(command)).lost


async def test_what_a_login_shell_says_is_no_output_of_the_command(tmp_path):
    """A login shell may greet; only the word of this start counts as the script's answer."""
    sshd = Sshd(
        tmp_path / "greets",
        'ForceCommand echo hello; echo "fleetd 0 started 1"; exec sh -c "$SSH_ORIGINAL_COMMAND"',
    )
    await sshd.start()
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_hosts())
    host = Host("h", "127.0.0.1", sshd.user, sshd.port, key_file=str(sshd.key_file), known_hosts=str(known))
    runner = SshRunner(
        host, environ={"HOME": str(tmp_path)}, clock=ManualClock(), markers=str(tmp_path / "markers")
    )
    try:
        command = await runner.start(RunSpec("task-1", 1, ("echo", "mine")))
        assert (await first_line(command))[0] == b"mine\n"
        assert (await end_of(command)).exit_code == 0
    finally:
        await runner.close()
        await sshd.stop()


async def test_a_host_that_runs_no_shell_is_unusable_and_says_what_it_said(tmp_path):
    sshd = Sshd(tmp_path / "no_shell", "ForceCommand echo 'no shell for you' >&2; exit 1")
    await sshd.start()
    known = tmp_path / "known_hosts"
    known.write_text(sshd.known_hosts())
    host = Host("h", "127.0.0.1", sshd.user, sshd.port, key_file=str(sshd.key_file), known_hosts=str(known))
    runner = SshRunner(host, environ={"HOME": str(tmp_path)}, clock=ManualClock())
    try:
        check = await runner.check()
        assert (check.ok, check.problem) == (False, Problem.UNUSABLE)
        assert "no shell for you" in check.detail
    finally:
        await runner.close()
        await sshd.stop()


async def test_a_closed_runner_starts_nothing(ssh, way):
    await ssh.runner.close()
    with pytest.raises(Unreachable, match="closed"):
        await ssh.runner.start(TRUE)
    assert way.connections == 0


async def test_nothing_of_the_daemon_s_environment_reaches_the_host(ssh, monkeypatch):
    monkeypatch.setenv("FLEET_SECRET", "x")
    output, _ = await ssh.run("env")
    assert b"FLEET_SECRET" not in output


async def test_a_free_port_is_refused_here():
    """The tests' own assumption: nobody listens where free_port says so."""
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", free_port())
