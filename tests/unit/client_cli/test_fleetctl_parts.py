"""The parts of fleetctl that need no daemon."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest
import typer
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

from fleet.v1.health_pb2 import DaemonState
from fleetd_client import InvalidArgument, NotFound, Overloaded, Unavailable
from fleetd_client.cli import exit_codes
from fleetd_client.cli.columns import DEAD_LETTER, EVENT, QUEUE_LIMITS, TASK
from fleetd_client.cli.doctor import Reading, examine
from fleetd_client.cli.failure import exit_code, explain
from fleetd_client.cli.figures import QUEUE, queue_rows
from fleetd_client.cli.flags import pairs
from fleetd_client.cli.fleet_agent import app as agent_app
from fleetd_client.cli.fleetctl import app
from fleetd_client.cli.invocation import Options
from fleetd_client.cli.output import Format, Printer
from fleetd_client.cli.record import record
from fleetd_client.cli.times import length, parse_moment, parse_span, since
from fleetd_client.errors import LeaseLost
from fleetd_client.stubs import (
    DeadLetter,
    Event,
    GetAgentLoadResponse,
    GetQueueStatusResponse,
    GetStatusResponse,
    QueueLimits,
    Task,
    TaskStatus,
)

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1h30m", 5400), ("1.5m", 90), ("2 d", 172_800)]
)
def test_spans_are_read_with_their_units(text, seconds):
    """S3."""
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "30 parsecs", "-5s", "5s!"])
def test_a_span_without_a_unit_is_refused_with_what_would_be_right(text):
    """S3."""
    with pytest.raises(ValueError, match="for instance 30s"):
        parse_span(text)


def test_moments_need_a_time_zone():
    """S3."""
    assert parse_moment("2026-01-31T08:00:00Z") == datetime(2026, 1, 31, 8, tzinfo=UTC)
    for text in ("2026-01-31T08:00:00", "tomorrow"):
        with pytest.raises(ValueError, match="for instance 2026-01-31T08:00:00Z"):
            parse_moment(text)


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (0.2, "now"),
        (3, "3.0s ago"),
        (59, "59s ago"),
        (200, "3m ago"),
        (7_300, "2h ago"),
        (90_000, "1d ago"),
        (-200, "in 3m"),
    ],
)
def test_times_are_relative_for_people(ago, text):
    """S2."""
    assert since(Timestamp(seconds=int(NOW - ago), nanos=int((NOW - ago) % 1 * 1e9)), NOW) == text


def test_lengths_are_short():
    """S2."""
    assert length(Duration(nanos=12_000_000)) == "12ms"
    assert length(Duration(seconds=3, nanos=400_000_000)) == "3.4s"


def test_records_have_proto_json_names_all_fields_and_numbers_as_numbers():
    """S2: 64-bit integers are numbers, those of free payloads too; what is unset is absent or its default."""
    event = Event(seq=7, type="EVENT_TYPE_TASK_STARTED", task_id="T")
    event.payload.update({"attempt": 1, "share": 0.5, "list": [1, {"x": 2}]})
    event.time.FromSeconds(0)
    assert record(event) == {
        "seq": 7,
        "taskSeq": 0,
        "time": "1970-01-01T00:00:00Z",
        "type": "EVENT_TYPE_TASK_STARTED",
        "taskId": "T",
        "agentId": "",
        "orgId": "",
        "payload": {"attempt": 1, "share": 0.5, "list": [1, {"x": 2}]},
    }
    assert isinstance(record(event)["payload"]["attempt"], int)
    assert list(record(Task()))[:3] == ["id", "orgId", "title"]
    assert "runAt" not in record(Task())


def printed(form: Format, act) -> str:
    out = io.StringIO()
    act(Printer(form, out, now=lambda: NOW))
    return out.getvalue()


def test_tables_into_a_pipe_are_never_cut_and_never_coloured():
    """S2."""
    task = Task(id="01", title="long " * 60, status=TaskStatus.TASK_STATUS_RUNNING, attempt=1, max_attempts=3)
    text = printed(Format.TABLE, lambda printer: printer.many([task], TASK))
    assert text.splitlines()[0].split() == [
        "ID",
        "STATUS",
        "TITLE",
        "AGENT",
        "ATTEMPT",
        "PROGRESS",
        "CREATED",
    ]
    assert ("long " * 60).strip() in text
    assert "\x1b" not in text


class Terminal(io.StringIO):
    """A terminal to whoever asks; what was printed is read without its colours."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        return re.sub(r"\x1b\[[0-9;]*m", "", self.getvalue()).splitlines()


@pytest.fixture
def terminal(monkeypatch):
    """Makes printers for a terminal of so many columns."""

    def of(columns: int) -> tuple[Printer, Terminal]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "xterm")
        out = Terminal()
        return Printer(Format.TABLE, out, now=lambda: NOW), out

    return of


def dead_letter(**fields) -> DeadLetter:
    whole = {
        "id": "01JZX3V7Q8M4T2N6B9C5D1E0FG",
        "reason": "ATTEMPTS_EXHAUSTED",
        "title": "words of a report that nobody has written yet",
        "error": {"code": "AGENT_ERROR", "message": "exit code 75 (try again): cannot read report.txt"},
        "last_time": Timestamp(seconds=int(NOW) - 60),
    }
    return DeadLetter(**whole | fields)


@pytest.mark.parametrize("columns", [100, 116, 140])
def test_free_columns_give_way_on_a_terminal_and_no_other_is_missing(terminal, columns):
    """S2: what is cut ends with an ellipsis."""
    printer, out = terminal(columns)
    printer.many([dead_letter()], DEAD_LETTER)
    header, row = out.lines()
    assert header.split() == ["ID", "CAUSE", "TITLE", "ERROR", "REPLAYS", "DEAD", "SINCE"]
    assert row.split()[-3:] == ["0", "1m", "ago"]
    assert max(map(len, (header, row))) <= columns
    title, error = re.split(r"\s{2,}", row)[2:4]
    assert title.endswith("…")
    assert error.endswith("…")


def test_a_row_that_does_not_fit_goes_on_in_a_second_line_between_columns(terminal):
    """S2: in 80 columns no cell is torn by the terminal."""
    printer, out = terminal(80)
    printer.many([dead_letter()] * 2, DEAD_LETTER)
    assert [line.split()[0] for line in out.lines()] == [
        "ID",
        "REPLAYS",
        "01JZX3V7Q8M4T2N6B9C5D1E0FG",
        "0",
        "01JZX3V7Q8M4T2N6B9C5D1E0FG",
        "0",
    ]
    assert max(map(len, out.lines())) <= 80


def test_a_list_without_end_keeps_its_cells_whole_in_a_narrow_terminal(terminal):
    """T8, S2."""
    printer, out = terminal(100)
    event = Event(seq=1, type="EVENT_TYPE_TASK_CREATED", task_id="01JZX3V7Q8M4T2N6B9C5D1E0FG")
    event.payload.update({"title": "words of a report"})
    printer.follow(event, EVENT)
    header, row, rest = out.lines()
    assert header.endswith("AGENT  DETAIL")
    assert row.endswith("01JZX3V7Q8M4T2N6B9C5D1E0FG")
    assert rest == "    title=words of a report"


def test_letters_as_wide_as_two_are_not_cut_in_a_list_without_end():
    """T8, S2."""
    event = Event(seq=1, agent_id="日本語の名前")
    assert "日本語の名前" in printed(Format.TABLE, lambda printer: printer.follow(event, EVENT))


def test_text_of_others_cannot_drive_the_terminal():
    """S7: a title with escape sequences is shown, not obeyed."""
    task = Task(id="01", title="red \x1b[31m\r\nalert")
    assert "\x1b" not in printed(Format.TABLE, lambda printer: printer.many([task], TASK))


def test_json_is_one_document_and_jsonl_a_line_each():
    """S2."""
    tasks = [Task(id="01"), Task(id="02")]
    assert [one["id"] for one in json.loads(printed(Format.JSON, lambda it: it.many(tasks, TASK)))] == [
        "01",
        "02",
    ]
    lines = printed(Format.JSONL, lambda it: it.many(tasks, TASK)).splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["01", "02"]
    assert json.loads(printed(Format.JSON, lambda it: it.many([], TASK))) == []


def test_a_list_without_end_is_printed_row_by_row():
    """T8."""

    def act(printer: Printer) -> None:
        for seq in (1, 2):
            printer.follow(Event(seq=seq, type="EVENT_TYPE_TASK_CREATED", task_id="T"), EVENT)

    assert len(printed(Format.TABLE, act).splitlines()) == 3
    assert [json.loads(line)["seq"] for line in printed(Format.JSON, act).splitlines()] == [1, 2]


def test_a_capability_shows_no_weight_for_only_orgs_have_one():
    """D10."""
    rules = {
        "ORG": QueueLimits(kind="QUEUE_KIND_ORG", name="acme", weight=1, pending=2),
        "CAPABILITY": QueueLimits(kind="QUEUE_KIND_CAPABILITY", name="gpu", weight=1, paused=True),
    }
    shown = {
        kind: printed(Format.TABLE, lambda it, rule=rule: it.one(rule, QUEUE_LIMITS))
        for kind, rule in rules.items()
    }
    words = {kind: [line.split() for line in text.splitlines()] for kind, text in shown.items()}
    assert ["WEIGHT", "1"] in words["ORG"]
    assert ["PENDING", "2"] in words["ORG"]
    assert words["CAPABILITY"] == [
        ["KIND", "CAPABILITY"],
        ["NAME", "gpu"],
        ["RUNNING", "0"],
        ["PAUSED", "PAUSED"],
    ]


def test_what_happened_ever_is_not_taken_for_what_is_there_now():
    """D7: the only dead letter was replayed; none is there now."""
    figures = {"pending": 2, "running": 1, "submitted": 5, "dead_letter": 1}
    wait = {"average_wait": Duration(seconds=2)}
    answer = GetQueueStatusResponse(
        all=figures | wait, last_hour={"pending": 2, "running": 1}, oldest_wait=Duration(seconds=30)
    )
    text = printed(Format.TABLE, lambda printer: printer.many(queue_rows(answer), QUEUE))
    assert text.splitlines() == [
        "TASKS              NOW  LAST HOUR  EVER",
        "pending              2",
        "assigned             0",
        "running              1",
        "blocked              0",
        "oldest_wait        30s",
        "submitted                       0     5",
        "completed                       0     0",
        "failed                          0     0",
        "cancelled                       0     0",
        "dead_lettered                   0     1",
        "average_wait                    -  2.0s",
        "average_execution               -     -",
    ]


def test_errors_are_one_line_with_reason_and_remedy_and_fields_one_a_line():
    """S3."""
    assert explain(NotFound("TASK_NOT_FOUND", "there is no task 'x'"), "S") == [
        "there is no task 'x' [TASK_NOT_FOUND]; see fleetctl tasks list"
    ]
    bad = InvalidArgument([("title", "must not be empty"), ("tags[0]", "too long")])
    assert explain(bad, "S") == [
        "bad request [FIELD_INVALID]",
        "  title: must not be empty",
        "  tags[0]: too long",
    ]
    [line] = explain(Unavailable("UNAVAILABLE", "failed to connect to all addresses; ..."), "10.0.0.1:5")
    assert line.startswith("the daemon at 10.0.0.1:5 cannot be reached")
    [line] = explain(Unavailable("DRAINING", "the daemon is going down"), "S")
    assert line == "the daemon is going down [DRAINING]"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound("R", ""), exit_codes.NOT_FOUND),
        (LeaseLost("R", ""), exit_codes.PRECONDITION),
        (Overloaded("R", ""), exit_codes.UNAVAILABLE),
        (InvalidArgument([]), exit_codes.USAGE),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error, code):
    """S3: derived errors have that of their base."""
    assert exit_code(error) == code


def test_pairs_must_be_pairs():
    """S3."""
    assert pairs(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for bad in ("a", "=1"):
        with pytest.raises(typer.BadParameter, match="KEY=VALUE"):
            pairs([bad])


def test_options_after_the_command_win_over_those_before_it():
    """S2."""
    before, after = Options(server="a:1", timeout=1.0, output=Format.JSON), Options(server="b:2")
    assert before.then(after) == Options(server="b:2", timeout=1.0, output=Format.JSON)


def reading(**status) -> Reading:
    whole = {
        "state": DaemonState.DAEMON_STATE_SERVING,
        "writable": True,
        "queue_limit": 100,
        "version": "0.1.0",
        "time": Timestamp(seconds=int(NOW)),
        "commit_time": Duration(nanos=1_000_000),
    }
    load = GetAgentLoadResponse(total=1, connected=1)
    return Reading(GetStatusResponse(**whole | status), load, NOW, NOW + 0.01)


def outcomes(found: Reading) -> dict[str, str]:
    return {check.name: check.outcome for check in examine(found)}


def test_the_doctor_finds_nothing_wrong_with_a_healthy_daemon():
    """D7."""
    assert set(outcomes(reading()).values()) == {"ok"}


@pytest.mark.parametrize(
    ("status", "check", "outcome"),
    [
        ({"state": DaemonState.DAEMON_STATE_DRAINING}, "healthy", "warn"),
        ({"writable": False}, "writable", "fail"),
        ({"commit_time": Duration(seconds=1)}, "writable", "warn"),
        ({"queued_commands": 51}, "keeping up", "warn"),
        ({"time": Timestamp(seconds=int(NOW) - 5)}, "in time", "warn"),
        ({"time": Timestamp(seconds=int(NOW) + 3600)}, "in time", "fail"),
        ({"version": "0.2.0"}, "versions", "warn"),
    ],
)
def test_the_doctor_names_what_is_wrong_and_what_to_do(status, check, outcome):
    """D7."""
    [found] = [one for one in examine(reading(**status)) if one.name == check]
    assert found.outcome == outcome
    assert found.remedy


CALL = """
import sys
from fleetd_client.cli.fleetctl import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    print(end.code, *sys.modules)
"""


def test_a_call_imports_nothing_that_only_others_need(tmp_path):
    """S2: other commands' modules, and what draws tables and bars, take as long as the call itself."""
    arguments = ("--server", f"unix:{tmp_path}/none", "-o", "json", "status")
    ended = subprocess.run(
        [sys.executable, "-c", CALL, *arguments], capture_output=True, text=True, check=True
    )
    code, *modules = ended.stdout.split()
    assert int(code) == exit_codes.UNAVAILABLE
    assert "fleetd_client.cli.figures" in modules
    others = ("rich", "fleetd_client.cli.tasks", "fleetd_client.cli.doctor", "fleetd_client.cli.route")
    assert not set(others) & set(modules)


def test_a_wrong_command_is_told_the_right_one():
    """S3: also one whose module was not imported yet."""
    ended = CliRunner().invoke(app, ["breaker", "list"])
    assert ended.exit_code == exit_codes.USAGE
    assert "'breakers'" in ended.stderr


def commands(group, path=()):
    for name in group.list_commands(None):
        one = group.get_command(None, name)
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))
        else:
            yield (*path, name), one


def test_every_command_has_help_with_an_example():
    """S2."""
    found = {path: command.help for path, command in commands(typer.main.get_command(app))}
    found |= {path: command.help for path, command in commands(typer.main.get_command(agent_app))}
    assert ("tasks", "submit") in found
    for path, text in found.items():
        tool = "fleet-agent" if path == ("exec",) else "fleetctl"
        assert f"Example: {tool} {' '.join(path)}" in text
