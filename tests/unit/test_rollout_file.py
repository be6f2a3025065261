"""The file of rollouts: what it defines, what is bad about it, and what the daemon makes of it (spec G4)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fleetd.core.rolling import DefineRollouts
from fleetd.core.rollout import Origin
from fleetd.errors import Unavailable
from fleetd.rollout_file import RolloutFile, define
from fleetd.rollout_list import RolloutList, load
from fleetd.router_files import Unusable
from tests.unit.test_instance_files import Log

MODES = 'old_mode = {name = "a"}\nnew_mode = {name = "b"}\n'


def table(name: str, more: str = "") -> str:
    return f'[[rollouts]]\nname = "{name}"\n{MODES}{more}\n'


class Taker:
    """Stands for an engine that takes every definition."""

    def __init__(self) -> None:
        self.commands: list[DefineRollouts] = []
        self.refusal: Exception | None = None
        self.salted: list[str] = []

    async def post_internal(self, command: Any) -> list[str]:
        if self.refusal is not None:
            raise self.refusal
        self.commands.append(command)
        return self.salted

    @property
    def last(self) -> dict[str, float]:
        """The rollouts of the last command with their percentages."""
        assert self.commands[-1].origin is Origin.FILE
        return {each.name: each.percent for each in self.commands[-1].rollouts}


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "rollouts.toml"


def reader(taker: Taker, log: Log, file: Path | str) -> RolloutFile:
    return RolloutFile(taker, log, str(file))  # type: ignore[arg-type]


def test_g4_a_file_defines_rollouts_in_the_words_of_the_message(file):
    file.write_text(
        table(
            "chat",
            """
            default_mode = "b"
            allow_orgs = ["one", "two"]
            percent = 2.5
            bucket_by = "session"
            [rollouts.fallback]
            error_rate = 0.1
            dwell = "90s"
            [rollouts.targets]
            p95_latency = "5s"
            """,
        )
        + table("search")
    )
    found = load(str(file))
    chat, search = found.rollouts
    assert (chat.name, chat.default, chat.allow, chat.percent) == ("chat", "b", {"one", "two"}, 2.5)
    assert (chat.fallback.error_rate, chat.fallback.dwell, chat.targets.p95_latency) == (0.1, 90_000, 5_000)
    assert {chat.origin, search.origin} == {Origin.FILE}
    assert found.problems == ()


def test_g4_bad_rollouts_are_named_and_keep_no_others_out(file):
    """Of two with the same name the first holds."""
    file.write_text(
        table("a", "percent = 1")
        + table("a", "percent = 2")
        + table("b")
        + table("c", 'percent = 2026-01-01\nfallback = {dwell = "2h"}')
        + table("d e")
    )
    found = load(str(file))
    assert [(each.name, each.percent) for each in found.rollouts] == [("a", 1.0), ("b", 0.0)]
    assert [row.name for row in found.problems] == [
        f"{file}: rollouts[1] (a)",
        f"{file}: rollouts[3] (c)",
        f"{file}: rollouts[4]",
    ]
    assert found.problems[1].problem == (
        "percent: must be a number from 0 to 100, not 2026-01-01; "
        "fallback.dwell: must be at most dwell_max, which is 30m, not 2h"
    )
    assert found.bad == {"c"}


def test_g4_a_number_too_long_to_be_written_is_named_too(file):
    """Python refuses to write it out; that must not end the daemon."""
    huge, words = "0x" + "f" * 5_000, "a number of thousands of digits"
    file.write_text(table("a", f"shadow_limit = {huge}\npercent = {huge}"))
    problem = load(str(file)).problems[0].problem
    assert problem == f"percent: must be 0 to 100, not {words}; shadow_limit: must be 1 to 1,000, not {words}"


def test_g4_what_is_no_rollout_is_named(file):
    file.write_text('rollouts = [7]\ncolour = "red"\n')
    assert [(row.name, row.problem) for row in load(str(file)).problems] == [
        (f"{file}: colour", "is not known; rollouts are tables [[rollouts]]"),
        (f"{file}: rollouts[0]", "must be a table with name, old_mode and new_mode"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must have [[rollouts]] tables, or rollouts = [] for none"),
        ("[rollouts]\nname = 'a'", "must have [[rollouts]] tables"),
        ("[[rollout]]\nname = 'a'", "must have [[rollouts]] tables"),
        ("[[rollouts]", "is not TOML: "),
        ("rollouts = " + "[" * 10_000, "is not TOML: "),
        ("x = " + "9" * 5_000, "is not TOML: "),
    ],
)
def test_g4_a_file_of_another_form_is_unusable(file, text, words):
    """Taken for an empty one it would end every rollout."""
    file.write_text(text)
    with pytest.raises(Unusable) as caught:
        load(str(file))
    assert str(caught.value).startswith(f"{file}: {words}")


def test_g4_a_file_that_is_not_there_or_no_text_is_unusable_and_no_file_defines_nothing(file):
    with pytest.raises(Unusable, match="cannot be read"):
        load(str(file))
    file.write_bytes(b"\xff")
    with pytest.raises(Unusable, match="is not TOML"):
        load(str(file))
    file.write_text("rollouts = []")
    assert load(str(file)) == load("") == RolloutList()


async def test_g4_what_is_read_becomes_the_rollouts_of_the_file(file):
    taker, log = Taker(), Log()
    file.write_text(table("chat") + table("b", "percent = 101"))
    rollouts = reader(taker, log, file)
    await rollouts.take(await rollouts.read())
    assert taker.last == {"chat": 0.0}
    assert [name for name, _ in log.lines] == ["row_skipped", "rollouts_loaded"]
    assert log.lines[-1][1] == {"loaded": 1, "problems": 1}


async def test_g4_without_a_file_what_an_earlier_one_defined_leaves(file):
    taker, log = Taker(), Log()
    rollouts = reader(taker, log, "")
    await rollouts.take(await rollouts.read())
    assert taker.last == {}
    assert log.lines == []


async def test_g4_a_rollout_that_becomes_bad_keeps_its_definition_and_one_that_leaves_does_not(file):
    """Whoever asks for its mode must not get an error for a slip of the pen; the old definition stays until the file is right."""
    taker, log = Taker(), Log()
    rollouts = reader(taker, log, file)
    for text in (
        table("chat", "percent = 1") + table("b"),
        table("chat", "percent = 101"),
        table("chat", "percent = 102") + table("new", "percent = -1"),
    ):
        file.write_text(text)
        await rollouts.take(await rollouts.read())
    assert [{each.name: each.percent for each in one.rollouts} for one in taker.commands] == [
        {"chat": 1.0, "b": 0.0},
        {"chat": 1.0},
        {"chat": 1.0},
    ]
    assert [fields["rollout"] for name, fields in log.lines if name == "rollout_kept"] == ["chat", "chat"]
    file.write_text(table("chat", "percent = 3"))
    await rollouts.take(await rollouts.read())
    assert taker.last == {"chat": 3.0}


async def test_g4_it_is_read_again_when_somebody_asks_and_an_unusable_one_changes_nothing(file):
    taker, log = Taker(), Log()
    rollouts = reader(taker, log, file)
    keeping = asyncio.create_task(rollouts.keep_reading())
    file.write_text(table("chat"))
    rollouts.ask()
    assert (await log.until("rollouts_reloaded"))["loaded"] == 1
    file.write_text("[[rollouts")
    rollouts.ask()
    assert "what was loaded before holds" in (await log.until("files_unusable"))["message"]
    assert len(taker.commands) == 1
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_g4_without_a_file_an_ask_is_answered_in_the_log():
    taker, log = Taker(), Log()
    rollouts = reader(taker, log, "")
    keeping = asyncio.create_task(rollouts.keep_reading())
    rollouts.ask()
    assert "rollouts.file is not set" in (await log.until("no_files"))["message"]
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_g4_definitions_that_are_not_taken_are_told_and_not_remembered(file):
    """S7: what the store does not take is not what holds."""
    taker, log = Taker(), Log()
    taker.refusal = Unavailable("STORE_FULL", "the disk is full")
    rollouts = reader(taker, log, file)
    file.write_text(table("chat", "percent = 1"))
    await rollouts.take(await rollouts.read())
    expected = {"origin": "file", "message": "the disk is full; SIGHUP has them read again"}
    assert log.lines == [("rollouts_not_stored", expected)]
    taker.refusal = None
    file.write_text(table("chat", "percent = 101"))
    await rollouts.take(await rollouts.read())
    assert taker.last == {}


async def test_g8_the_environment_has_an_origin_of_its_own():
    taker, log = Taker(), Log()
    assert await define(taker, log, (), Origin.ENVIRONMENT)  # type: ignore[arg-type]
    assert taker.commands == [DefineRollouts((), Origin.ENVIRONMENT)]
    taker.refusal = Unavailable("STORE_FULL", "the disk is full")
    assert not await define(taker, log, (), Origin.ENVIRONMENT)  # type: ignore[arg-type]
    assert log.lines[-1][1]["message"] == "the disk is full; the next start tries again"


async def test_g2_a_salt_that_was_changed_is_told(file):
    """The one the rollout was begun with holds: a new one would move everybody."""
    taker, log = Taker(), Log()
    taker.salted = ["chat"]
    file.write_text(table("chat", 'salt = "new"'))
    rollouts = reader(taker, log, file)
    await rollouts.take(await rollouts.read())
    assert [(name, fields.get("rollout")) for name, fields in log.lines] == [
        ("rollout_salt_kept", "chat"),
        ("rollouts_loaded", None),
    ]
