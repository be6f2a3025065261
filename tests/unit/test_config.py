"""Configuration: every origin, its rank, and what is said about a bad value."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetd import exit_codes, mapping
from fleetd.bridges.webhook import WebhookOptions
from fleetd.config import Config, ConfigError, Setting, alert_address, load
from fleetd.core import alert
from fleetd.core.breaker import BreakerRules
from fleetd.core.probing import ProbeRules
from fleetd.durations import duration, duration_text
from fleetd.option_types import PLACEHOLDERS, YEAR, only_local, size, size_text
from fleetd.probes.prober import ProbeOptions

EXAMPLE = Path(__file__).parents[2] / "docs" / "config.example.toml"


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "fleetd.toml"
    file.write_text(text)
    return file


def problems(**origins) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(**origins)
    return caught.value.problems


def test_without_any_origin_the_defaults_hold():
    config = load().config
    assert config == Config()
    assert config.rpc.listen == "127.0.0.1:50051"
    assert (config.agents.heartbeat_min, config.tasks.retry_multiplier, config.tasks.input_max_bytes) == (
        10_000,
        2.0,
        1 << 20,
    )


def test_the_example_file_is_complete_and_holds_the_defaults():
    text = EXAMPLE.read_text()
    loaded = load(file=EXAMPLE)
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {f"file {EXAMPLE}"}
    for name in (
        line.partition(" = ")[0] for line in text.splitlines() if " = " in line and not line.startswith("#")
    ):
        assert re.search(rf"^# .+\n{name} = ", text, re.MULTILINE), f"{name} has no comment above it"


def test_flags_win_over_the_environment_and_that_over_the_file_and_that_over_the_defaults(tmp_path):
    file = written(
        tmp_path, '[tasks]\nmax_attempts = 4\nretry_max = "2m"\noffer_timeout = "6s"\n[log]\nlevel = "error"'
    )
    loaded = load(
        file=file,
        environ={"FLEETD_TASKS_MAX_ATTEMPTS": "5", "FLEETD_TASKS_RETRY_MAX": "3m", "PATH": "/bin"},
        assignments=["tasks.max_attempts=6", "log.level=warning"],
        flags={"log.level": Setting("debug", "flag --log-level")},
    )
    tasks = loaded.config.tasks
    assert (tasks.max_attempts, tasks.retry_max, tasks.offer_timeout, tasks.stop_grace) == (
        6,
        180_000,
        6_000,
        30_000,
    )
    assert loaded.config.log.level == "debug"
    assert loaded.origins["tasks.max_attempts"] == "flag --set"
    assert loaded.origins["tasks.retry_max"] == "environment FLEETD_TASKS_RETRY_MAX"
    assert loaded.origins["tasks.offer_timeout"] == f"file {file}"
    assert loaded.origins["tasks.stop_grace"] == "default"
    assert loaded.origins["log.level"] == "flag --log-level"


def test_the_environment_may_name_the_file(tmp_path):
    file = written(tmp_path, "[engine]\nbatch_limit = 7")
    assert load(environ={"FLEETD_CONFIG": str(file)}).config.engine.batch_limit == 7


def test_a_file_given_as_a_flag_replaces_the_one_the_environment_names(tmp_path):
    file = written(tmp_path, "[engine]\nbatch_limit = 7")
    assert load(file=file, environ={"FLEETD_CONFIG": "/does/not/exist"}).config.engine.batch_limit == 7


def test_the_rows_of_a_configuration_load_to_the_same_configuration():
    first = load(
        assignments=["tasks.retry_max=90500ms", "rpc.max_message_bytes=5000000", "rpc.insecure=true"]
    )
    second = load(assignments=[f"{key}={value}" for key, value, _ in first.rows()])
    assert second.config == first.config


@pytest.mark.parametrize(
    ("origins", "expected"),
    [
        (
            {"assignments": ["tasks.max_atempts=1"]},
            "tasks.max_atempts (flag --set): is not known; the nearest is tasks.max_attempts",
        ),
        (
            {"assignments": ["max_attempts=1"]},
            "max_attempts (flag --set): is not known; the nearest is tasks.max_attempts",
        ),
        (
            {"environ": {"FLEETD_RPC_LISTENS": "x"}},
            "FLEETD_RPC_LISTENS (environment): is not known; the nearest is FLEETD_RPC_LISTEN",
        ),
        (
            {"environ": {"FLEETD_CONFG": "x"}},
            "FLEETD_CONFG (environment): is not known; the nearest is FLEETD_CONFIG",
        ),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(origins, expected):
    assert problems(**origins) == (expected,)


def test_unknown_keys_and_tables_of_the_file_are_errors_that_name_the_nearest(tmp_path):
    file = written(tmp_path, 'listen = "x"\n[rcp]\ninsecure = true\n[log]\nlevels = "info"\n')
    assert problems(file=file) == (
        f"listen (file {file}): is not known; the nearest is rpc.listen",
        f"rcp.insecure (file {file}): is not known; the nearest is rpc.insecure",
        f"log.levels (file {file}): is not known; the nearest is log.level",
    )


def test_a_section_that_is_no_table_is_an_error(tmp_path):
    file = written(tmp_path, "log = 5")
    assert problems(file=file) == (
        f"log (file {file}): should be a table: write [log] and its keys below it",
    )


def test_a_file_that_is_missing_or_no_toml_is_an_error(tmp_path):
    missing = tmp_path / "missing.toml"
    assert problems(file=missing) == (f"file {missing}: cannot be read: No such file or directory",)
    broken = written(tmp_path, "[log\nlevel=")
    assert problems(file=broken)[0].startswith(f"file {broken}: is not TOML: ")


def test_an_assignment_without_a_value_is_an_error():
    expected = "tasks.max_attempts (flag --set): should be section.key=value, such as tasks.max_attempts=5"
    assert problems(assignments=["tasks.max_attempts"]) == (expected,)


@pytest.mark.parametrize(
    ("assignment", "should"),
    [
        ("tasks.offer_timeout=5", "should be a duration of whole milliseconds with its unit"),
        ("tasks.offer_timeout=-5s", "should be a duration of whole milliseconds with its unit"),
        ("tasks.offer_timeout=0.1ms", "should be a duration of whole milliseconds with its unit"),
        ("tasks.offer_timeout=0s", "should be greater than 0"),
        ("tasks.offer_timeout=99999h", "should be less than or equal to"),
        ("tasks.input_max_bytes=1MB", "should be a number of bytes or a size with a binary unit"),
        ("rpc.max_message_bytes=1KiB", "should be greater than or equal to 65536"),
        ("rpc.listen=50051", "should be host:port"),
        ("rpc.listen=127.0.0.1:70000", "should be host:port"),
        ("rpc.listen=::1:50051", "should be host:port"),
        ("rpc.listen=unix:", "should name a path of 1 to 107 bytes"),
        ("rpc.listen=unix:" + "x" * 108, "should name a path of 1 to 107 bytes"),
        ("rpc.insecure=perhaps", "should be a valid boolean"),
        ("engine.batch_limit=0", "should be greater than 0"),
        ("engine.batch_limit=many", "should be a valid integer"),
        ("tasks.retry_jitter=1.5", "should be less than or equal to 1"),
        ("tasks.retry_multiplier=nan", "should be a finite number"),
        ("log.level=loud", "should be 'debug', 'info', 'warning' or 'error'"),
        ("data.dir=", "should name a directory"),
    ],
)
def test_a_bad_value_is_an_error_naming_key_origin_and_what_would_be_right(assignment, should):
    (problem,) = problems(assignments=[assignment])
    key = assignment.partition("=")[0]
    assert problem.startswith(f"{key} = ")
    assert "(flag --set): " in problem
    assert should in problem


def test_true_is_no_number(tmp_path):
    file = written(tmp_path, "[tasks]\nmax_attempts = true")
    assert problems(file=file) == (
        f"tasks.max_attempts = True (file {file}): should be a number, not true or false",
    )


def test_all_problems_are_told_at_once():
    found = problems(environ={"FLEETD_X": "1"}, assignments=["log.level=loud", "tasks.tags_max=0", "y=1"])
    assert len(found) == 4


@pytest.mark.parametrize(
    ("assignments", "key"),
    [
        (["agents.heartbeat_min=2m"], "agents.heartbeat_min (flag --set)"),
        (["agents.heartbeat_max=1s"], "agents.heartbeat_min (default)"),
        (["tasks.retry_initial=2m"], "tasks.retry_initial (flag --set)"),
        (["tasks.input_max_bytes=7MiB"], "tasks.input_max_bytes (flag --set)"),
    ],
)
def test_values_that_contradict_each_other_are_an_error(assignments, key):
    (problem,) = problems(assignments=assignments)
    assert problem.startswith(key + ": should be at most")


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "127.8.8.8:1", "[::1]:50051", "localhost:50051", "unix:/run/fleetd.sock"]
)
def test_an_address_of_this_machine_alone_needs_no_leave(listen):
    assert only_local(listen)
    assert load(assignments=[f"rpc.listen={listen}"]).config.rpc.listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:50051", "[::]:50051", "10.0.0.7:50051", "fleet.example:50051"])
def test_any_other_address_is_refused_unless_insecure_is_given(listen):
    (problem,) = problems(assignments=[f"rpc.listen={listen}"])
    assert problem.startswith(f"rpc.listen (flag --set): {listen} can be reached from other machines")
    assert load(assignments=[f"rpc.listen={listen}", "rpc.insecure=true"]).config.rpc.listen == listen


def test_variables_that_kubernetes_makes_for_a_service_named_fleetd_are_passed_over():
    environ = {
        "FLEETD_SERVICE_HOST": "10.0.0.1",
        "FLEETD_SERVICE_PORT": "50051",
        "FLEETD_SERVICE_PORT_GRPC": "50051",
        "FLEETD_PORT": "tcp://10.0.0.1:50051",
        "FLEETD_PORT_50051_TCP": "tcp://10.0.0.1:50051",
        "FLEETD_PORT_50051_TCP_ADDR": "10.0.0.1",
    }
    assert load(environ=environ).config == Config()


def test_a_configuration_cannot_be_changed():
    config = load().config
    with pytest.raises(ValueError, match="frozen"):
        config.tasks.max_attempts = 5


@given(st.integers(0, YEAR))
def test_a_duration_reads_back_from_its_text(milliseconds):
    assert duration(duration_text(milliseconds)) == milliseconds


@given(st.integers(1, 1 << 30))
def test_a_size_reads_back_from_its_text(number):
    assert size(size_text(number)) == number


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FLEETD_", "CHAT_"))}
    command = [sys.executable, "-c", "from fleetd.cli import main; main()", *arguments]
    return subprocess.run(command, env=clean | environ, capture_output=True, text=True, check=False)


def test_check_config_shows_every_value_with_its_origin():
    done = run("check-config", "--show-origin", "--listen", "unix:/tmp/x", FLEETD_DRAIN_GRACE="3s")
    assert done.returncode == exit_codes.OK
    rows = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert rows[0] == ["KEY", "VALUE", "ORIGIN"]
    assert ["rpc.listen", "unix:/tmp/x", "flag --listen"] in rows
    assert ["drain.grace", "3s", "environment FLEETD_DRAIN_GRACE"] in rows
    assert ["log.level", "info", "default"] in rows
    assert len(rows) == 1 + len(load().origins)


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_a_bad_configuration_ends_with_its_exit_code_and_a_message_on_stderr(command):
    done = run(command, "--log-level", "loud")
    assert done.returncode == exit_codes.USAGE
    assert done.stdout == ""
    assert done.stderr == (
        "fleetd: log.level = \"loud\" (flag --log-level): should be 'debug', 'info', 'warning' or 'error'\n"
    )


def test_check_config_reads_the_files_of_the_router_and_names_every_bad_row(tmp_path):
    """R1, F1: a configuration is verified without starting anything."""
    providers, failover, address = (
        tmp_path / "providers.json",
        tmp_path / "failover.json",
        tmp_path / "address",
    )
    providers.write_text(
        '{"providers": [{"provider_id": "p", "instances": [{"id": "a"}, {"id": "b", "ctx": "much"}, {"id": "a"}]}]}'
    )
    failover.write_text('[{"name": "p", "priority": -1}, {"name": "a1"}]')
    address.write_text("https://user@")
    named = ["--set", f"router.providers_file={providers}", "--set", f"router.failover_file={failover}"]
    done = run("check-config", *named, "--set", f"alerts.url_file={address}")
    assert done.returncode == exit_codes.USAGE
    *rows, last = done.stderr.splitlines()
    assert rows == [
        f'fleetd: {providers}: p:b: ctx: must be a whole number, not "much"',
        f"fleetd: {providers}: p:a: id: p:a repeats an earlier row word for word; the first one holds",
        f"fleetd: {failover}: p: priority: must be 0 to 1,000,000, not -1",
        f"fleetd: {failover}: a1: name: is no instance, provider or model of the catalogue; the nearest is a",
    ]
    # Of a long path the end is left out.
    assert last.startswith(f'fleetd: alerts.url_file = "{tmp_path.anchor}')
    assert last.endswith(": should hold one http or https URL and nothing else")
    assert done.stdout == ""


def test_check_config_says_how_many_instances_good_files_define(tmp_path):
    (tmp_path / "providers.json").write_text(
        '{"providers": [{"provider_id": "p", "instances": [{"id": "a"}, {"id": "b"}]}]}'
    )
    done = run("check-config", "--set", f"router.providers_file={tmp_path / 'providers.json'}")
    assert (done.returncode, done.stdout) == (
        0,
        "The configuration is valid. The Router's files define 2 instances.\n",
    )


def test_check_config_reads_the_file_of_hosts_and_names_every_bad_one(tmp_path):
    """M5."""
    file = tmp_path / "hosts.json"
    good = {"id": "a", "hostname": "localhost", "agents": [{"type": "t", "command": ["cat"]}]}
    file.write_text(json.dumps({"hosts": [good, {**good, "id": "b", "port": 0}]}))
    done = run("check-config", "--set", f"hosts.file={file}")
    assert done.returncode == exit_codes.USAGE
    assert done.stderr == f"fleetd: {file}: hosts[1] (b): port: must be 1 to 65,535, not 0\n"
    file.write_text(json.dumps({"hosts": [good]}))
    assert "The file of hosts defines 1 hosts." in run("check-config", "--set", f"hosts.file={file}").stdout
    file.write_text("[]")
    assert (
        'must be an object with a list "hosts"' in run("check-config", "--set", f"hosts.file={file}").stderr
    )


def test_g4_check_config_reads_the_file_of_rollouts_and_names_every_bad_one(tmp_path):
    file = tmp_path / "rollouts.toml"
    good = '[[rollouts]]\nname = "chat"\nold_mode = {name = "a"}\nnew_mode = {name = "b"}\n'
    file.write_text(good + good.replace("chat", "search") + "percent = 101\n")
    named = ("--set", f"rollouts.file={file}")
    done = run("check-config", *named)
    assert done.returncode == exit_codes.USAGE
    assert done.stderr == f"fleetd: {file}: rollouts[1] (search): percent: must be 0 to 100, not 101\n"
    file.write_text(good)
    assert "The file of rollouts defines 1 rollouts." in run("check-config", *named).stdout
    file.write_text("")
    done = run("check-config", *named)
    assert (done.returncode, done.stdout) == (exit_codes.USAGE, "")
    assert "must have [[rollouts]] tables" in done.stderr


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_g8_bad_variables_of_the_chat_switch_end_the_command_and_are_all_named(tmp_path, command):
    """Together with what is bad about the configuration."""
    done = run(
        command,
        *("--data-dir", str(tmp_path), "--log-level", "loud"),
        CHAT_RUNTIME_SHADOW_PERCENT="abc",
        CHAT_RUNTIME_ENABLED_ORG="one",
    )
    assert (done.returncode, done.stdout) == (exit_codes.USAGE, "")
    assert done.stderr.splitlines()[1:] == [
        "fleetd: CHAT_RUNTIME_ENABLED_ORG (environment): is not known; the nearest is CHAT_RUNTIME_ENABLED_ORGS",
        'fleetd: CHAT_RUNTIME_SHADOW_PERCENT = "abc" (environment): should be a number from 0 to 100',
    ]
    assert list(tmp_path.iterdir()) == []


def test_g8_check_config_says_that_the_environment_defines_the_chat_switch():
    assert run("check-config", CHAT_EXECUTION_MODE="direct_llm").stdout == (
        "The configuration is valid. The environment defines the rollout chat.\n"
    )


def test_g4_the_rollout_of_the_runtime_paths_has_a_name():
    assert load().config.rollouts.chat == "chat"
    assert problems(assignments=["rollouts.chat="]) == (
        'rollouts.chat = "" (flag --set): should name a rollout, such as chat',
    )
    assert "should be 1 to 128 letters" in problems(assignments=["rollouts.chat=a b"])[0]


def test_check_config_names_a_file_that_cannot_be_used(tmp_path):
    done = run("check-config", "--set", f"router.failover_file={tmp_path / 'none.json'}")
    assert done.returncode == exit_codes.USAGE
    assert done.stderr == f"fleetd: {tmp_path / 'none.json'}: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (
            ["probes.slow=1500ms"],
            "probes.slow (flag --set): should be below probes.timeout: slower answers are failures",
        ),
        (
            ["alerts.url=ftp://x"],
            'alerts.url = "ftp://x" (flag --set): should be a URL such as https://chat.example.com/hooks/fleetd',
        ),
        (
            ["alerts.url=http://x:99999"],
            'alerts.url = "http://x:99999" (flag --set): should be a URL such as https://chat.example.com/hooks/fleetd',
        ),
        (
            ["alerts.url=http://x", "alerts.url_file=y"],
            "alerts.url_file (flag --set): should be given only without alerts.url",
        ),
        (
            ['alerts.template={"text": "{nmae}"}'],
            'alerts.template = "{"text": "{nmae}"}" (flag --set): should have no placeholders but {kind} {name} {state} {reason} {time}; {nmae} is none',
        ),
        (
            ['alerts.template={"text": {name}}'],
            "alerts.template (flag --set): should be JSON once its placeholders are filled, or alerts.content_type text/plain",
        ),
        (["router.fallbacks=11"], 'router.fallbacks = "11" (flag --set): should be less than or equal to 10'),
        (
            ["router.providers_file=a\nb"],
            'router.providers_file = "a\nb" (flag --set): should name a file, without control characters',
        ),
    ],
)
def test_values_of_the_router_that_cannot_be_meant_are_errors(assignments, expected):
    assert problems(assignments=assignments) == (expected,)


def test_a_template_in_plain_text_needs_not_be_json():
    load(assignments=["alerts.template={name} is {state}", "alerts.content_type=text/plain"])


def test_the_placeholders_of_templates_are_those_that_alerts_fill_in():
    assert PLACEHOLDERS == alert.PLACEHOLDERS


def test_the_address_of_alerts_may_come_from_a_file_which_is_never_repeated(tmp_path):
    """F8: an address that holds a secret."""
    file = tmp_path / "address"
    config = load(assignments=[f"alerts.url_file={file}"]).config
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        alert_address(config)
    for text in ("", "bot123:secret", "https://a/secret\nhttps://b/secret", "\xff"):
        file.write_bytes(text.encode("latin-1"))
        with pytest.raises(ConfigError, match="should hold one http or https URL") as caught:
            alert_address(config)
        assert "secret" not in str(caught.value)
    file.write_text("https://chat.example.com/bot123:secret\n")
    assert alert_address(config) == "https://chat.example.com/bot123:secret"
    assert alert_address(load().config) == ""
    assert alert_address(load(assignments=["alerts.url=http://x"]).config) == "http://x"


def test_the_rooms_of_the_router_get_what_is_configured(tmp_path):
    """R1, F3, F8: the numbers of the specification are the defaults, and each can be set."""
    config = load().config
    assert mapping.breaker_rules(config) == BreakerRules()
    assert mapping.probe_options(config) == ProbeOptions()
    assert mapping.webhook_options(config) is None
    assert mapping.webhook_options(load(assignments=["alerts.url=http://x"]).config) == WebhookOptions(
        "http://x"
    )
    given = [
        "router.breaker_strikes=9", "router.breaker_open_for=8s", "router.breaker_auth_open_for=7s", "router.breaker_window=6s",
        "router.breaker_min_calls=5", "router.breaker_ratio=0.4", "router.probe_lease=3s", "router.breaker_per_attempt=true",
        "probes.interval=1s", "probes.jitter=0.1", "probes.timeout=900ms", "probes.concurrency=8", "probes.failures_to_error=7", "probes.slow=600ms",
        "probes.ewma=0.5",
        "alerts.url=http://y", "alerts.template=x", "alerts.content_type=text/plain", "alerts.dead_letters_above=4", "alerts.timeout=3s",
        "alerts.attempts=2", "alerts.queue=1",
    ]  # fmt: skip
    config = load(assignments=given).config
    assert mapping.breaker_rules(config) == BreakerRules(
        9, 8_000, 7_000, 6_000, 5, 0.4, 3_000, per_attempt=True
    )
    assert mapping.probe_options(config) == ProbeOptions(1_000, 0.1, 900, 8, ProbeRules(7, 600, weight=0.5))
    assert mapping.webhook_options(config) == WebhookOptions("http://y", "x", "text/plain", 4, 3_000, 2, 1)


def test_the_version_is_printed():
    assert re.fullmatch(r"fleetd \d+\.\d+\.\d+ \(Python .+, grpcio .+, SQLite .+\)\n", run("version").stdout)


def test_exit_codes_differ():
    codes = [value for name, value in vars(exit_codes).items() if name.isupper()]
    assert sorted(codes) == list(range(7))
