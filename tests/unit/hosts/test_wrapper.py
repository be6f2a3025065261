"""The script around every command, in the shells a host may have (spec M5, M5a)."""

import asyncio
import re
import shlex
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetd.hosts import wrapper
from fleetd.hosts.runner import RunSpec, checked

SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
LOGIN_SHELLS = [shell for shell in ("sh", "bash", "zsh", "fish", "csh", "tcsh") if shutil.which(shell)]


def test_m5a_the_line_for_the_shell_is_always_the_same_and_means_the_same_to_every_shell():
    """No text of a task is in it, and none of the characters that csh or fish read otherwise inside single quotes."""
    assert shlex.split(wrapper.COMMAND) == ["exec", *wrapper.BOOT_ARGV]
    quoted = re.fullmatch(r"exec /bin/sh -c '([^']*)' fleetd", wrapper.COMMAND)
    assert quoted is not None
    assert not set(quoted[1]) & set("'\\!\n")


@given(st.binary())
def test_what_is_sent_has_nothing_but_plain_characters_in_its_lines(text):
    line = wrapper._line(text)
    assert line.isascii()
    assert b"\n" not in line
    decoded = re.sub(rb"\\0([0-7]{3})", lambda found: bytes([int(found[1], 8)]), line[1:])
    assert decoded == text


@pytest.mark.parametrize("shell", SHELLS)
async def test_every_byte_arrives_in_every_shell(shell, tmp_path):
    """M5a: also where a shell knows of characters instead of bytes."""
    text = bytes(range(1, 256)) + b"\xc3\xe2\x82\xf0\x9f\n\n"
    run = RunSpec(
        "task-1", 7, ("/usr/bin/printf", "%s|", text, b"\n", b""), b"the rest\n", env={"X": "it's\n"}
    )
    preamble = wrapper.to_run(run, checked(run), "markers", 0)
    program = ["busybox", "sh"] if shell == "busybox" else [shell]
    process = await asyncio.create_subprocess_exec(
        *program,
        *wrapper.BOOT_ARGV[1:],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )
    output, _ = await process.communicate(preamble.data + run.stdin)
    answer, _, rest = output.partition(b"\n")
    assert preamble.answer(answer) == ("started", str(process.pid))
    assert rest == text + b"|\n||"
    assert process.returncode == 0
    assert not list((tmp_path / "markers").iterdir())


@pytest.mark.parametrize("login_shell", LOGIN_SHELLS)
async def test_m5a_a_login_shell_that_is_no_posix_shell_runs_the_same_script(login_shell, tmp_path):
    text = b"\\'; touch owned; '\n!! $(touch owned)"
    run = RunSpec("task-1", 7, ("/usr/bin/printf", "%s", text))
    process = await asyncio.create_subprocess_exec(
        login_shell,
        "-c",
        wrapper.COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd=tmp_path,
    )
    preamble = wrapper.to_run(run, checked(run), "markers", 0)
    output, _ = await process.communicate(preamble.data)
    answer, _, rest = output.partition(b"\n")
    assert preamble.answer(answer) == ("started", str(process.pid))
    assert rest == text
    assert [each.name for each in tmp_path.iterdir()] == ["markers"]


async def test_a_script_that_does_not_lead_its_group_refuses_to_run_anything(tmp_path):
    """Else the end of one command would be the end of whatever shares its group."""
    run = RunSpec("task-1", 1, ("touch", str(tmp_path / "ran")))
    preamble = wrapper.to_run(run, checked(run), str(tmp_path / "markers"), 0)
    process = await asyncio.create_subprocess_exec(
        *wrapper.BOOT_ARGV, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(preamble.data)
    answer = preamble.answer(output)
    assert answer is not None
    assert answer.word == "refused"
    assert "process group of their own" in answer.rest
    assert [each.name for each in tmp_path.iterdir()] == ["markers"]


def test_only_the_word_of_this_start_is_an_answer():
    preamble = wrapper.to_check("", "markers")
    assert preamble.answer(b"fleetd 0123456789abcdef ok\n") is None
    assert preamble.answer(b"Welcome!\n") is None
    assert preamble.answer(f"fleetd {preamble.nonce} refused no: such\n".encode()) == ("refused", "no: such")


def test_a_local_command_gets_a_login_and_no_secrets():
    environ = {"HOME": "/home/f", "PATH": "/bin", "OPENAI_API_KEY": "secret", "FLEETD_TOKEN": "secret"}
    assert wrapper.login_variables(environ) == {"HOME": "/home/f", "PATH": "/bin"}


def test_the_script_is_plain_posix_and_short():
    text = Path(wrapper.__file__).with_name("wrapper.sh").read_text("ascii")
    assert "[[" not in text
    assert "local " not in text
    assert len(wrapper.SCRIPT) < 8_192
