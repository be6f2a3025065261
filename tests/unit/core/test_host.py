"""Definitions of execution hosts: what is taken, what is refused and in which words (spec M5, M5a)."""

import pytest

from fleetd.core.host import Host, HostAgent, HostState, host, is_local, with_prompt
from fleetd.errors import InvalidArgument

AGENT = {"type": "coder", "command": ["coder"]}


def refused(agent=None, **fields) -> dict[str, str]:
    agents = [] if agent is None else [AGENT | agent]
    given = {"id": "build-1", "hostname": "build-1.example.org", "agents": agents or [AGENT]}
    with pytest.raises(InvalidArgument) as caught:
        host(given | fields)
    return dict(caught.value.fields)


def test_m5_an_id_a_hostname_and_a_command_define_a_host():
    made = host({"id": "build-1", "hostname": "10.0.0.5", "agents": [AGENT]})
    assert made == Host("build-1", "10.0.0.5", agents=(HostAgent("coder", ("coder",)),))
    assert (made.port, made.enabled, made.source) == (22, True, "file")


def test_m5_every_field_arrives():
    made = host(
        {
            "id": "build-1",
            "hostname": "build-1.example.org",
            "user": "fleet",
            "port": 2222.0,
            "key_file": "/etc/fleetd/key",
            "known_hosts": "/etc/fleetd/known_hosts",
            "work_dir": "/srv/a work dir",
            "enabled": False,
            "agents": [
                {
                    "type": "coder",
                    "command": ["coder", "--ask", "{prompt}", ""],
                    "capabilities": ["review", "coding", "coding"],
                    "max_concurrency": 3,
                    "parser": "json_lines",
                    "prompt": "argv",
                    "timeout_sec": 2.5,
                    "env": {"MODE": "it's quiet\n"},
                    "owner": "a field of another program",
                },
                AGENT | {"type": "tester"},
            ],
            "rack": 7,
        },
        source="rpc",
    )
    assert made == Host(
        id="build-1",
        hostname="build-1.example.org",
        user="fleet",
        port=2222,
        key_file="/etc/fleetd/key",
        known_hosts="/etc/fleetd/known_hosts",
        work_dir="/srv/a work dir",
        agents=(
            HostAgent(
                type="coder",
                command=("coder", "--ask", "{prompt}", ""),
                capabilities=("coding", "review"),
                max_concurrency=3,
                parser="json_lines",
                prompt="argv",
                timeout=2_500,
                env={"MODE": "it's quiet\n"},
            ),
            HostAgent("tester", ("coder",)),
        ),
        enabled=False,
        source="rpc",
    )
    assert hash(made)


def test_everything_bad_is_named_at_once():
    with pytest.raises(InvalidArgument) as caught:
        host({"hostname": 7, "port": 0, "enabled": "yes", "agents": [{"command": "coder"}, 3]})
    assert [name for name, _ in caught.value.fields] == [
        "id", "hostname", "port", "agents[0].type", "agents[0].command", "agents[1]", "enabled",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("id", "", "is required, such as build-1"),
        ("id", "a b", 'must have no blanks or control characters, unlike "a b"'),
        ("id", "a" * 257, "must have at most 256 characters, not 257"),
        ("hostname", None, "is required, such as build-1.example.org, or localhost for this machine"),
        ("hostname", "-oProxyCommand=x", 'must be a plain name or address, not "-oProxyCommand=x"'),
        ("hostname", "me@there", 'must be a plain name or address, not "me@there"'),
        ("user", "-l", 'must be a plain name or address, not "-l"'),
        ("port", 65_536, "must be 1 to 65,535, not 65536"),
        ("port", True, "must be a whole number, not true"),
        ("port", float("nan"), "must be a whole number, not nan"),
        ("key_file", "keys/id", 'must be an absolute path, not "keys/id"'),
        ("known_hosts", 5, "must be a text, not 5"),
        ("work_dir", "~/work", 'must be an absolute path, not "~/work"'),
        ("work_dir", "/a\nb", "must have at most 4,096 characters, no control characters among them"),
        ("enabled", 1, "must be true or false, not 1"),
        ("agents", [], "must name at least an agent: a type and its command"),
        ("agents", "coder", 'must be a list, not "coder"'),
        ("agents", [AGENT] * 65, "must have at most 64 entries, not 65"),
    ],
)
def test_a_bad_field_of_a_host_is_told_what_would_be_right(name, value, right):
    assert refused(**{name: value})[name] == right


@pytest.mark.parametrize(
    ("name", "value", "path", "right"),
    [
        (
            "command",
            "coder --ask",
            "command",
            'must be a list of texts, such as ["coder", "--quiet"], not a line of a shell',
        ),
        ("command", [], "command", 'must name at least the program, such as ["coder", "--quiet"]'),
        ("command", ["coder", 5], "command[1]", "must be a text, not 5"),
        ("command", ["coder", "a\0b"], "command[1]", "must have at most 65,536 characters, none of them NUL"),
        ("command", ["-c"], "command[0]", 'must be the program to run, not "-c"'),
        ("command", ["{prompt}"], "command[0]", 'must be the program to run, not "{prompt}"'),
        (
            "command",
            ["coder", "--ask={prompt}"],
            "command[1]",
            "must be {prompt} and nothing else: nothing is replaced inside an element",
        ),
        ("command", ["coder", "{prompt}"], "command", "must have no {prompt} unless prompt is argv"),
        ("prompt", "argv", "command", "must have one element {prompt} with prompt argv, not 0"),
        ("prompt", "file", "prompt", 'must be one of stdin, argv, not "file"'),
        ("parser", "xml", "parser", 'must be one of raw, json, json_lines, not "xml"'),
        (
            "capabilities",
            ["a b"],
            "capabilities[0]",
            'must have 1 to 256 characters, no blanks among them, unlike "a b"',
        ),
        ("max_concurrency", 0, "max_concurrency", "must be 1 to 1,000, not 0"),
        ("timeout_sec", -1, "timeout_sec", "must be 0, or 0.001 to 2,592,000 seconds, not -1"),
        ("timeout_sec", "5", "timeout_sec", 'must be a number, not "5"'),
        ("env", ["A=1"], "env", "must be an object of at most 256 names and texts"),
        ("env", {"A-B": "x"}, "env", 'must have names of letters, digits and _, unlike "A-B"'),
        ("env", {"A": 5}, "env.A", "must be a text of at most 65,536 characters without NUL"),
    ],
)
def test_m5a_a_bad_field_of_an_agent_is_told_what_would_be_right(name, value, path, right):
    """M5a: a command is an argv; the text of a task is a whole element of it or standard input."""
    assert refused({name: value}) == {f"agents[0].{path}": right}


def test_a_type_is_given_once_on_a_host():
    assert refused(agents=[AGENT, AGENT]) == {
        "agents[1].type": 'must be given once on a host, unlike "coder"'
    }


def test_values_of_variables_are_not_repeated_in_errors():
    text = str(refused({"env": {"TOKEN": "very secret\0"}}))
    assert "secret" not in text


def test_m5a_the_text_takes_the_place_of_its_whole_element_or_goes_to_standard_input():
    text = b"$(rm -rf /) {prompt} \xff"
    argv = HostAgent("a", ("coder", "{prompt}", "--last"), prompt="argv")
    assert with_prompt(argv, text) == (("coder", text, "--last"), b"")
    stdin = HostAgent("a", ("coder", "--last"))
    assert with_prompt(stdin, text) == (("coder", "--last"), text)


def test_m5_localhost_is_this_machine():
    assert is_local(Host("a", "localhost"))
    assert not is_local(Host("a", "127.0.0.1"))
    assert [state.name for state in HostState] == ["UNKNOWN", "ONLINE", "OFFLINE", "STOPPED"]
