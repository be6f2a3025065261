"""What holds for commands on this machine and over SSH alike (spec M5, M5a)."""

import asyncio
import sys
from pathlib import Path

import pytest

from fleetd.core.host import HostAgent, with_prompt
from fleetd.errors import InvalidArgument, LeaseLost
from fleetd.hosts.runner import ELEMENT_BYTES, NotStarted, RunSpec
from tests.integration.hosts.place import LIMIT, end_of, first_line, is_alive, until

NASTY = {
    "quotes": b"it's \"quoted\" 'twice' '\\'' \"",
    "newlines": b"\none\n\ntwo\r\n\n",
    "substitution": b"$(touch /tmp/owned) `touch /tmp/owned` ${HOME} $$",
    "separators": b"; exit 9; & | && || > /dev/null < x # !history ~ * ? [a] {b,c}",
    "backslashes": b"\\ \\\\ \\n \\0101 %s %d \\' \\",
    "no utf-8": bytes(range(1, 256)) + b"\xff\xfe\xc3(",
    "the words of the wrapper": b"=\n%\\0101\nfleetd started 1\n-n\n--\n",
    "empty": b"",
    "options": b"-rf",
}
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
NAMES = ["PATH", "IFS", "marker", "task", "epoch", "count", "status", "grace", "nonce", "value"]
SHOW = "import os, sys; sys.stdout.buffer.write(os.fsencode(sys.argv[1]) + b'|' + sys.stdin.buffer.read())"


def owned() -> bool:
    return Path("/tmp/owned").exists()


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize("prompt", ["stdin", "argv"])
async def test_m5a_the_text_of_a_task_arrives_as_it_is_and_is_never_executed(place, text, prompt):
    command = (sys.executable, "-c", SHOW, "{prompt}" if prompt == "argv" else "-")
    argv, stdin = with_prompt(HostAgent("show", command, prompt=prompt), text)
    output, ended = await place.run(*argv, stdin=stdin)
    assert output == (text + b"|" if prompt == "argv" else b"-|" + text)
    assert ended.exit_code == 0
    assert not owned()


async def test_m5a_a_mebibyte_of_text_goes_through_standard_input(place):
    text = b"0123456789abcde\n" * 65_536
    output, ended = await place.run("cat", stdin=text)
    assert (output == text, ended.exit_code) == (True, 0)


async def test_m5a_an_argument_may_be_as_long_as_linux_allows_and_a_longer_one_is_refused_with_the_way_out(
    place,
):
    text = b"'x\xff\n" * (ELEMENT_BYTES // 4)
    output, _ = await place.run(sys.executable, "-c", SHOW, text)
    assert output == text + b"|"
    with pytest.raises(
        InvalidArgument, match=r"argv\[1\]: must have at most 131,071 bytes, .* go to standard input"
    ):
        await place.run("echo", b"x" * (ELEMENT_BYTES + 1))


async def test_a_builtin_of_the_shell_is_not_run_in_its_place(place):
    """M5a: the argv names a program, never something of the shell that starts it."""
    command = await place.runner.start(RunSpec("task-1", 1, ("eval", "echo owned")))
    assert (await end_of(command)).exit_code == 127
    assert "eval" in command.stderr


async def test_variables_and_the_directory_are_those_of_the_run(place):
    folder = place.folder / "a place's dir"
    folder.mkdir()
    show = "import os; print(os.environ['FLEET_X'], os.getcwd(), sep='|')"
    output, _ = await place.run(
        sys.executable, "-c", show, env={"FLEET_X": "it's $HOME\n`two`"}, work_dir=str(folder)
    )
    assert output.decode() == f"it's $HOME\n`two`|{folder}\n"


async def test_variables_change_nothing_for_the_script_around_the_command(place):
    """M5: not with the names of its own variables, and not by taking its programs away."""
    program = place.folder / "bin" / "show"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport os\nprint(*[os.environ[n] for n in {NAMES}])\n")
    program.chmod(0o755)
    env = dict.fromkeys(NAMES, "/x") | {"PATH": str(program.parent)}
    output, ended = await place.run("show", env=env)
    assert (output.split(), ended.exit_code) == ([env[name].encode() for name in NAMES], 0)
    assert place.markers == []


async def test_a_directory_that_is_not_there_is_named(place):
    with pytest.raises(NotStarted, match="there is no such work_dir: /no/such/place"):
        await place.run("true", work_dir="/no/such/place")
    assert place.markers == []


async def test_fields_that_cannot_be_used_are_all_named(place):
    bad = RunSpec("../etc", -1, ("", "a\0b"), work_dir="there", env={"1X": "a"})
    with pytest.raises(InvalidArgument) as caught:
        await place.runner.start(bad)
    assert {name for name, _ in caught.value.fields} == {
        "task_id", "lease_epoch", "argv", "argv[1]", "work_dir", "env.1X",
    }  # fmt: skip


@pytest.mark.parametrize(
    "task_id", ["", ".", "..", ".hidden", "a/b", "a b", "a\n", "*", "a@1", "-x", "x" * 201, "ä"]
)
async def test_a_task_id_that_is_no_safe_file_name_is_refused(place, task_id):
    with pytest.raises(InvalidArgument, match="task_id: must be a safe file name"):
        await place.runner.start(RunSpec(task_id, 1, ("true",)))
    with pytest.raises(InvalidArgument, match="task_id"):
        await place.runner.end(task_id, 1, 0)


@pytest.mark.parametrize("code", [0, 1, 64, 75, 127, 128, 255])
async def test_an_exit_code_arrives(place, code):
    _, ended = await place.run("sh", "-c", f"exit {code}")
    assert (ended.exit_code, ended.signal, ended.lost) == (code, 0, False)


async def test_a_signal_arrives_as_a_signal(place):
    _, ended = await place.run("sh", "-c", "kill -s USR1 $$")
    assert (ended.exit_code, ended.signal) == (None, 10)


async def test_the_end_of_standard_error_is_kept(place):
    command = await place.runner.start(
        RunSpec("task-1", 1, ("sh", "-c", "yes long | head -c 100000 >&2; printf 'last \\377' >&2"))
    )
    await end_of(command)
    assert len(command.stderr) <= 4_096
    assert command.stderr.endswith("long\nlast \ufffd")


async def test_lines_arrive_while_the_command_runs_and_a_long_one_in_pieces(place):
    script = "import sys; print('first', flush=True); sys.stdin.readline(); print('y' * 2_500_000); print('last', end='')"
    command = await place.runner.start(RunSpec("task-1", 1, (sys.executable, "-c", script)))
    async with asyncio.timeout(LIMIT):
        lines = [line async for line in command.lines()]
    assert [len(line) for line in lines] == [6, 1_048_576, 1_048_576, 2_500_001 - 2 * 1_048_576, 4]
    assert (lines[0], lines[-1]) == (b"first\n", b"last")


async def test_a_command_waits_for_a_slow_reader(place):
    """What nobody has read yet does not fill the memory."""
    write = (
        "import os, sys\n"
        "print(os.getpid(), flush=True)\n"
        "for n in range(10_000): print('%07d' % n + 'z' * 1_000)\n"
    )
    command = await place.runner.start(RunSpec("task-1", 1, (sys.executable, "-c", write)))
    first, lines = await first_line(command)
    async with asyncio.timeout(LIMIT):
        await until(lambda: command._paused)
        await end_of(
            await place.runner.start(RunSpec("task-2", 1, ("true",)))
        )  # time in which all could have come
        assert is_alive(int(first))
        assert command._held < 1_000_000
        rest = [line async for line in lines]
    assert [int(line[:7]) for line in rest] == list(range(10_000))
    assert (await end_of(command)).exit_code == 0


async def test_output_that_nobody_asks_for_keeps_nobody_from_the_end(place):
    command = await place.runner.start(RunSpec("task-1", 1, ("sh", "-c", "yes | head -c 5000000; exit 4")))
    assert (await end_of(command)).exit_code == 4


async def test_kill_ends_the_whole_group_with_its_grandchildren(place):
    """M5: also those that do not listen to TERM; then nothing of it is left on the host."""
    script = "(trap '' TERM; sh -c 'echo $$; exec sleep 1000' & wait) & wait"
    command = await place.runner.start(RunSpec("task-1", 1, ("sh", "-c", script)))
    line, _ = await first_line(command)
    assert place.markers == ["task-1@1"]
    await command.kill(200)
    assert not is_alive(int(line))
    assert place.markers == []
    assert (await end_of(command)).signal in {9, 15}
    await command.kill(0)  # again: nothing is left to end


async def test_a_command_that_listens_to_term_may_end_by_itself(place):
    script = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done"
    command = await place.runner.start(RunSpec("task-1", 1, ("sh", "-c", script)))
    _, lines = await first_line(command)
    await command.kill(20_000)
    assert [line async for line in lines] == [b"bye\n"]
    assert (await end_of(command)).exit_code == 3
    assert place.markers == []


async def test_what_a_command_leaves_in_its_group_ends_with_it(place):
    output, ended = await place.run("sh", "-c", "sleep 1000 & echo $!")
    assert ended.exit_code == 0
    assert not is_alive(int(output))
    assert place.markers == []


async def test_a_command_whose_time_is_over_is_ended(place):
    """R4 and M5: the timeout of a run on a host."""
    output, ended = await place.run("sh", "-c", "echo $$; sleep 1000", timeout=300)
    assert ended.timed_out
    assert ended.signal == 15
    assert not is_alive(int(output))


async def test_a_newer_lease_ends_what_an_older_one_left_first(place):
    """M5: a task never runs twice at once on a host, also when the daemon that started it is gone."""
    older = await place.runner.start(place.alone(1))
    line, _ = await first_line(older)
    newer = await place.another().start(place.alone(2))
    assert not is_alive(int(line.split()[1]))
    await first_line(newer)
    assert not place.overlapped
    assert (await end_of(older)).signal == 15
    assert place.markers == ["task-1@2"]


@pytest.mark.parametrize("epoch", [1, 2])
async def test_an_older_lease_and_one_that_was_seen_are_refused(place, epoch):
    command = await place.runner.start(place.alone(2))
    line, _ = await first_line(command)
    with pytest.raises(LeaseLost, match="has seen lease 2 of the task"):
        await place.another().start(place.alone(epoch))
    assert is_alive(int(line.split()[1]))
    assert place.markers == ["task-1@2"]


async def test_starts_at_the_same_moment_never_overlap(place):
    """M5: whoever is newest stays; all others are refused, or ended before it starts."""
    runners = [place.another() for _ in range(4)]
    starts = [runners[epoch % 4].start(place.alone(epoch)) for epoch in (3, 1, 7, 5, 2, 8, 6, 4)]
    async with asyncio.timeout(LIMIT * 2):
        results = await asyncio.gather(*starts, return_exceptions=True)
    newest = results[5]
    assert not isinstance(newest, BaseException)
    line, _ = await first_line(newest)
    assert is_alive(int(line.split()[1]))
    assert not place.overlapped
    assert place.markers == ["task-1@8"]


async def test_the_program_that_detects_overlaps_does(place):
    first = await place.runner.start(place.alone(1, "task-1"))
    await first_line(first)
    second = await place.runner.start(place.alone(1, "task-2"))
    await first_line(second)
    assert place.overlapped


async def test_a_marker_of_a_group_that_is_gone_harms_nobody(place):
    """Its number may be another's by now: who leads the group, and when it was born, tell them apart."""
    stranger = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    (place.folder / "markers").mkdir()
    (place.folder / "markers" / "task-1@1").write_text(f"{stranger.pid} 12 {BOOT}\n")
    (place.folder / "markers" / "task-1@2").write_text(f"{stranger.pid} 12 another-boot\n")
    (place.folder / "markers" / "task-1@3").write_text("")
    try:
        command = await place.runner.start(RunSpec("task-1", 4, ("true",)))
        await end_of(command)
        assert stranger.returncode is None
        assert is_alive(stranger.pid)
        assert place.markers == []
    finally:
        stranger.kill()
        await stranger.wait()


async def test_a_lease_can_be_ended_without_its_command(place):
    """After a restart of the daemon nobody holds the command any more."""
    command = await place.runner.start(place.alone(1))
    line, _ = await first_line(command)
    await place.another().end("task-1", 1, 1_000)
    assert not is_alive(int(line.split()[1]))
    assert place.markers == []
    await place.runner.end("task-1", 1, 0)


async def test_closing_a_runner_ends_what_it_runs(place):
    commands = [await place.runner.start(place.alone(1, f"task-{n}")) for n in range(3)]
    pids = [int((await first_line(command))[0].split()[1]) for command in commands]
    async with asyncio.timeout(LIMIT):
        await place.runner.close()
    assert not any(map(is_alive, pids))
    assert place.markers == []


async def test_a_start_that_is_cancelled_leaves_nothing(place):
    """It waits for an older lease that does not listen to TERM."""
    stubborn = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    older = await place.runner.start(RunSpec("task-1", 1, (sys.executable, "-c", stubborn)))
    await first_line(older)
    impatient = place.another(grace=20_000)
    starting = asyncio.ensure_future(impatient.start(place.alone(2)))
    async with asyncio.timeout(LIMIT):
        await until(lambda: "task-1@2" in place.markers)
    group = int((place.folder / "markers" / "task-1@2").read_text().split()[0])
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await impatient.close()
    assert not is_alive(group)
    third = await place.another(grace=100).start(place.alone(3))
    await first_line(third)
    assert not place.overlapped
    assert place.markers == ["task-1@3"]


async def test_a_check_says_how_long_it_took(place):
    check = await place.runner.check()
    assert check.ok
    assert check.latency is not None
    assert check.latency >= 0
