"""
Execution hosts: machines on which fleetd starts commands itself (spec M5, M5a), and how one is defined by somebody's fields.

`FIELDS` and `AGENT_FIELDS` are the names of the fields in files. A field that is None counts as not given.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from fleetd.core.given import WORD_CHARS, Given
from fleetd.core.text import is_word, shown
from fleetd.errors import InvalidArgument

PROMPT = "{prompt}"
"""The element of a command that is replaced, whole, by the text of the task. Nothing is ever replaced inside an element."""
PARSERS = ("raw", "json", "json_lines")
PROMPTS = ("stdin", "argv")
LOCAL = "localhost"

FIELDS: tuple[str, ...] = (
    "id", "hostname", "user", "port", "key_file", "known_hosts", "work_dir", "agents", "enabled",
)  # fmt: skip
AGENT_FIELDS: tuple[str, ...] = (
    "type", "command", "capabilities", "max_concurrency", "parser", "prompt", "timeout_sec", "env",
)  # fmt: skip

PATH_CHARS, ELEMENT_CHARS = 4_096, 65_536
NAME = re.compile(r"[A-Za-z0-9._\-:@]{1,60}")
"""Names of hosts and of their agents: both together make the name of an agent, of which a slash parts them."""
MOST_AGENTS = MOST_CAPABILITIES = 64
MOST_ELEMENTS = MOST_VARIABLES = 256
MOST_CONCURRENCY = 1_000
MOST_PORT = 65_535
MOST_TIMEOUT = 30 * 86_400
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class HostState(IntEnum):
    """Whether a host can take work."""

    UNKNOWN = 1
    ONLINE = 2
    OFFLINE = 3
    STOPPED = 4


@dataclass(frozen=True, slots=True)
class HostAgent:
    """
    A command a host can run for tasks.

    `command` is an argv, never a line of a shell; `prompt` says where the text of the task goes: to standard input, or to the element PROMPT of the
    command. `timeout` in ms, 0 = that of the task; `env` is added to what the host gives.
    """

    type: str
    command: tuple[str, ...]
    capabilities: tuple[str, ...] = ()
    max_concurrency: int = 1
    parser: str = "raw"
    prompt: str = "stdin"
    timeout: int = 0
    env: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Host:
    """
    A machine with its agents. `user` "" = the one the daemon runs as; `key_file` "" = the keys of the SSH agent and the usual files;
    `known_hosts` "" = ~/.ssh/known_hosts; `work_dir` "" = the home directory; `source` is file or rpc.
    """

    id: str
    hostname: str
    user: str = ""
    port: int = 22
    key_file: str = ""
    known_hosts: str = ""
    work_dir: str = ""
    agents: tuple[HostAgent, ...] = ()
    enabled: bool = True
    source: str = "file"


def is_local(host: Host) -> bool:
    """Tell whether the commands of a host are subprocesses of the daemon (M5)."""
    return host.hostname == LOCAL


def with_prompt(agent: HostAgent, text: bytes) -> tuple[tuple[str | bytes, ...], bytes]:
    """Return the argv and the standard input of a run whose task has this text (M5a)."""
    if agent.prompt == "stdin":
        return agent.command, text
    return tuple(text if element == PROMPT else element for element in agent.command), b""


def host(fields: Mapping[str, object], *, source: str = "file") -> Host:
    """
    Return the host that `fields` define; names not in FIELDS and AGENT_FIELDS are ignored.

    Args:
        fields: `id`, `hostname` and `agents` are required; `timeout_sec` of an agent in seconds.
        source: file or rpc.

    Raises:
        InvalidArgument: naming every bad field and what would be right.
    """
    given = _Given(fields)
    made = Host(
        id=given.name("id", "build-1"),
        hostname=given.machine("hostname"),
        user=given.machine("user", required=False),
        port=given.whole("port", 1, MOST_PORT, 22),
        key_file=given.path("key_file"),
        known_hosts=given.path("known_hosts"),
        work_dir=given.path("work_dir"),
        agents=_agents(given),
        enabled=given.flag("enabled", default=True),
        source=source,
    )
    if given.errors:
        raise InvalidArgument(given.errors)
    return made


def _agents(given: _Given) -> tuple[HostAgent, ...]:
    made: dict[str, HostAgent] = {}
    for place, value in enumerate(given.entries("agents", MOST_AGENTS, "an agent: a type and its command")):
        if not isinstance(value, Mapping):
            given.refuse(f"agents[{place}]", f"must be an object with type and command, not {shown(value)}")
            continue
        inner = _Given(value, f"agents[{place}].", given.errors)
        agent = _agent(inner)
        if agent.type and agent.type in made:
            inner.refuse("type", f"must be given once on a host, unlike {shown(agent.type)}")
        made[agent.type] = agent
    return tuple(made.values())


def _agent(given: _Given) -> HostAgent:
    prompt = given.choice("prompt", PROMPTS)
    return HostAgent(
        type=given.name("type", "coder"),
        command=given.command(prompt),
        capabilities=given.capabilities(),
        max_concurrency=given.whole("max_concurrency", 1, MOST_CONCURRENCY, 1),
        parser=given.choice("parser", PARSERS),
        prompt=prompt,
        timeout=given.timeout(),
        env=given.env(),
    )


class _Given(Given):
    """What a host and its agents are made of."""

    def name(self, name: str, example: str) -> str:
        """Return the name of a host or of a kind of agent, which must be there."""
        value = self.word(name, required=example)
        if value and not NAME.fullmatch(value):
            self.refuse(name, f"must be 1 to 60 letters, digits and . _ - : @, unlike {shown(value)}")
            return ""
        return value

    def machine(self, name: str, *, required: bool = True) -> str:
        """Return the name of a host or a user."""
        value = self.word(
            name, required="build-1.example.org, or localhost for this machine" if required else ""
        )
        if value.startswith("-") or "@" in value or "/" in value:
            self.refuse(name, f"must be a plain name or address, not {shown(value)}")
            return ""
        return value

    def path(self, name: str) -> str:
        value = self.fields.get(name)
        if value is None or value == "":
            return ""
        if not isinstance(value, str):
            self.refuse(name, f"must be a text, not {shown(value)}")
        elif len(value) > PATH_CHARS or not value.isprintable():
            self.refuse(
                name, f"must have at most {PATH_CHARS:,} characters, no control characters among them"
            )
        elif not value.startswith("/"):
            self.refuse(name, f"must be an absolute path, not {shown(value)}")
        else:
            return value
        return ""

    def timeout(self) -> int:
        """Return the longest run in milliseconds; 0 when it is not given."""
        value = self.fields.get("timeout_sec")
        if value is None:
            return 0
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            self.refuse("timeout_sec", f"must be a number, not {shown(value)}")
        elif not 0 <= value <= MOST_TIMEOUT or 0 < value < 0.001:
            self.refuse("timeout_sec", f"must be 0, or 0.001 to {MOST_TIMEOUT:,} seconds, not {shown(value)}")
        else:
            return round(value * 1_000)
        return 0

    def command(self, prompt: str) -> tuple[str, ...]:
        """Return the argv, with its one element PROMPT when the text goes there."""
        value = self.fields.get("command")
        if isinstance(value, str) and value:
            self.refuse(
                "command", 'must be a list of texts, such as ["coder", "--quiet"], not a line of a shell'
            )
            return ()
        elements = self.entries("command", MOST_ELEMENTS, 'the program, such as ["coder", "--quiet"]')
        before = len(self.errors)
        for place, element in enumerate(elements):
            name = f"command[{place}]"
            if not isinstance(element, str):
                self.refuse(name, f"must be a text, not {shown(element)}")
            elif len(element) > ELEMENT_CHARS or "\0" in element:
                self.refuse(name, f"must have at most {ELEMENT_CHARS:,} characters, none of them NUL")
            elif place == 0 and (not element or element.startswith("-") or PROMPT in element):
                self.refuse(name, f"must be the program to run, not {shown(element)}")
            elif PROMPT in element and element != PROMPT:
                self.refuse(name, f"must be {PROMPT} and nothing else: nothing is replaced inside an element")
        if len(self.errors) > before or not elements:
            return ()
        found = elements.count(PROMPT)
        if prompt == "argv" and found != 1:
            self.refuse("command", f"must have one element {PROMPT} with prompt argv, not {found}")
        elif prompt == "stdin" and found:
            self.refuse("command", f"must have no {PROMPT} unless prompt is argv")
        return tuple(str(element) for element in elements)

    def capabilities(self) -> tuple[str, ...]:
        """Return the capabilities, sorted, each once."""
        found = set()
        for place, value in enumerate(
            self.entries("capabilities", MOST_CAPABILITIES, "a capability", required=False)
        ):
            if not isinstance(value, str) or not is_word(value) or len(value) > WORD_CHARS:
                right = f"must have 1 to {WORD_CHARS} characters, no blanks among them"
                self.refuse(f"capabilities[{place}]", f"{right}, unlike {shown(value)}")
            else:
                found.add(value)
        return tuple(sorted(found))

    def env(self) -> dict[str, str]:
        """Return the variables. Values are never shown: they may be secrets."""
        value = self.fields.get("env")
        if value is None:
            return {}
        if not isinstance(value, Mapping) or len(value) > MOST_VARIABLES:
            self.refuse("env", f"must be an object of at most {MOST_VARIABLES} names and texts")
            return {}
        found = {}
        for name, text in value.items():
            if not isinstance(name, str) or not VARIABLE.fullmatch(name):
                self.refuse("env", f"must have names of letters, digits and _, unlike {shown(name)}")
            elif not isinstance(text, str) or len(text) > ELEMENT_CHARS or "\0" in text:
                self.refuse(
                    f"env.{name}", f"must be a text of at most {ELEMENT_CHARS:,} characters without NUL"
                )
            else:
                found[name] = text
        return found
