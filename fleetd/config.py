"""
Where the configuration comes from: defaults < TOML file < environment < flags, key by key.

Key `section.key` is `[section] key` in the file, FLEETD_SECTION_KEY in the environment and `--set section.key=value`
as a flag. Every value keeps its origin, so that an error and `fleetd check-config --show-origin` can name it.
Besides, fleetd.chat_environment takes the variables of the predecessor's chat switch from the environment, and nothing else in fleetd takes settings from it.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from fleetd.option_types import PLACEHOLDERS, only_local, web_address
from fleetd.options import Config, Section

__all__ = [
    "Config",
    "ConfigError",
    "Loaded",
    "Setting",
    "alert_address",
    "comment_token",
    "load",
    "webhook_secret",
]

PREFIX = "FLEETD_"
CONFIG_VARIABLE = "FLEETD_CONFIG"
# Kubernetes puts these into every container beside a Service named fleetd; nobody set them to configure us.
SERVICE_LINK = re.compile(
    r"FLEETD_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
)

_SECTIONS: Mapping[str, type[Section]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type)
}
_KEYS: Sequence[str] = tuple(
    f"{name}.{key}" for name, section in _SECTIONS.items() for key in section.model_fields
)
_VARIABLES: Mapping[str, str] = {PREFIX + key.replace(".", "_").upper(): key for key in _KEYS}


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds one line for each thing to mend."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems: tuple[str, ...] = tuple(problems)


@dataclass(frozen=True, slots=True)
class Setting:
    """A value as its origin gave it: from the file typed, from environment and flags as text."""

    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid configuration and the origin of each of its keys, defaults included."""

    config: Config
    origins: Mapping[str, str]

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield (key, value as it would be written, origin) in the order of the sections."""
        for section, values in self.config.model_dump(mode="json").items():
            for key, value in values.items():
                text = str(value).lower() if isinstance(value, bool) else str(value)
                yield f"{section}.{key}", text, self.origins[f"{section}.{key}"]


def load(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    assignments: Iterable[str] = (),
    flags: Mapping[str, Setting] | None = None,
) -> Loaded:
    """
    Merge all origins and validate the result.

    Args:
        file: a TOML file; without it the one FLEETD_CONFIG names, if any.
        environ: the process environment.
        assignments: texts "section.key=value" of `--set`; of two for one key the later wins.
        flags: settings of flags of their own, such as --listen; they win over assignments.

    Raises:
        ConfigError: naming every bad key, its origin and what would be right.
    """
    problems: list[str] = []
    settings: dict[str, Setting] = {}
    environ = environ or {}
    if file is None and environ.get(CONFIG_VARIABLE):
        file = Path(environ[CONFIG_VARIABLE])
    if file is not None:
        settings |= _from_file(file, problems)
    settings |= _from_environment(environ, problems)
    settings |= _from_assignments(assignments, problems)
    settings |= flags or {}
    config = _validated(settings, problems)
    if config is None or problems:
        raise ConfigError(problems)
    return Loaded(config, {key: settings[key].origin if key in settings else "default" for key in _KEYS})


def _from_file(file: Path, problems: list[str]) -> dict[str, Setting]:
    origin = f"file {file}"
    try:
        with file.open("rb") as opened:
            tables = tomllib.load(opened)
    except OSError as error:
        problems.append(f"{origin}: cannot be read: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{origin}: is not TOML: {error}")
        return {}
    settings: dict[str, Setting] = {}
    for name, table in tables.items():
        if name not in _SECTIONS:
            inside = [name] if not isinstance(table, dict) else [f"{name}.{key}" for key in table] or [name]
            problems += [_unknown(key, origin, _KEYS) for key in inside]
        elif not isinstance(table, dict):
            problems.append(f"{name} ({origin}): should be a table: write [{name}] and its keys below it")
        else:
            for key, value in table.items():
                if f"{name}.{key}" in _KEYS:
                    settings[f"{name}.{key}"] = Setting(value, origin)
                else:
                    problems.append(_unknown(f"{name}.{key}", origin, _KEYS))
    return settings


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for name in sorted(environ):
        if name in _VARIABLES:
            settings[_VARIABLES[name]] = Setting(environ[name], f"environment {name}")
        elif name.startswith(PREFIX) and name != CONFIG_VARIABLE and not SERVICE_LINK.fullmatch(name):
            problems.append(_unknown(name, "environment", [*_VARIABLES, CONFIG_VARIABLE]))
    return settings


def _from_assignments(assignments: Iterable[str], problems: list[str]) -> dict[str, Setting]:
    settings: dict[str, Setting] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals:
            problems.append(
                f"{assignment} (flag --set): should be section.key=value, such as tasks.max_attempts=5"
            )
        elif key not in _KEYS:
            problems.append(_unknown(key, "flag --set", _KEYS))
        else:
            settings[key] = Setting(value, "flag --set")
    return settings


def _validated(settings: Mapping[str, Setting], problems: list[str]) -> Config | None:
    tables: dict[str, dict[str, object]] = {}
    for key, setting in settings.items():
        section, _, name = key.partition(".")
        tables.setdefault(section, {})[name] = setting.value
    try:
        config = Config.model_validate(tables)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            key = ".".join(str(part) for part in detail["loc"][:2])
            should = detail["msg"].removeprefix("Value error, ").replace("Input should", "should")
            problems.append(f"{key} = {_shown(settings[key].value)} ({settings[key].origin}): {should}")
        return None
    for key, should in _contradictions(config):
        origin = settings[key].origin if key in settings else "default"
        problems.append(f"{key} ({origin}): {should}")
    return config


def _contradictions(config: Config) -> Iterator[tuple[str, str]]:
    """Yield (key, what would be right) for values that are good alone but not together."""
    agents, tasks = config.agents, config.tasks
    for key, listen, insecure, accept in (
        ("rpc.listen", config.rpc.listen, config.rpc.insecure, "--insecure"),
        ("web.listen", config.web.listen, config.web.insecure, "web.insecure = true"),
    ):
        if listen and not insecure and not only_local(listen):
            exposed = f"{listen} can be reached from other machines and nothing proves who calls"
            yield key, f"{exposed}: listen on 127.0.0.1, [::1] or unix:PATH, or accept the risk with {accept}"
    if config.webhooks.secret_file and config.webhooks.secret_env:
        yield "webhooks.secret_env", "should be given only without webhooks.secret_file"
    if config.webhooks.comment_url and not config.webhooks.comment_token_file:
        yield "webhooks.comment_token_file", "is required where comments are posted"
    if agents.heartbeat_min > agents.heartbeat_max:
        yield "agents.heartbeat_min", "should be at most agents.heartbeat_max"
    if tasks.retry_initial > tasks.retry_max:
        yield "tasks.retry_initial", "should be at most tasks.retry_max"
    if config.probes.slow >= config.probes.timeout:
        yield "probes.slow", "should be below probes.timeout: slower answers are failures"
    if config.alerts.url and config.alerts.url_file:
        yield "alerts.url_file", "should be given only without alerts.url"
    if config.alerts.content_type == "application/json" and not _is_json(config.alerts.template):
        yield (
            "alerts.template",
            "should be JSON once its placeholders are filled, or alerts.content_type text/plain",
        )
    if tasks.input_max_bytes * 2 > config.rpc.max_message_bytes:
        yield (
            "tasks.input_max_bytes",
            "should be at most half of rpc.max_message_bytes: a message holds more than an input",
        )


def alert_address(config: Config) -> str:
    """
    Return where alerts go, from alerts.url or the file alerts.url_file names; empty when nowhere.

    Raises:
        ConfigError: the file cannot be read or holds no address. What it holds is never repeated.
    """
    file = config.alerts.url_file
    if not file:
        return config.alerts.url
    try:
        found = web_address(Path(file).read_text(encoding="utf-8").strip())
    except OSError as error:
        raise ConfigError([f"alerts.url_file = {_shown(file)}: cannot be read: {error.strerror}"]) from None
    except ValueError:
        found = ""
    if not found:
        raise ConfigError(
            [f"alerts.url_file = {_shown(file)}: should hold one http or https URL and nothing else"]
        )
    return found


def webhook_secret(config: Config, environ: Mapping[str, str]) -> bytes:
    """
    Return the secret deliveries are signed with, from the file or variable that is named; empty when there is none.

    Raises:
        ConfigError: the file cannot be read, or there is nothing in what is named. The secret is never repeated.
    """
    name = config.webhooks.secret_env
    if name:
        if not environ.get(name):
            raise ConfigError([f'webhooks.secret_env = "{name}": is not set in the environment'])
        return environ[name].encode()
    return _secret_in("webhooks.secret_file", config.webhooks.secret_file).encode()


def comment_token(config: Config) -> str:
    """Return the access token for comments; empty when none are posted. Raises ConfigError."""
    hooks = config.webhooks
    return _secret_in("webhooks.comment_token_file", hooks.comment_token_file) if hooks.comment_url else ""


def _secret_in(key: str, file: str) -> str:
    if not file:
        return ""
    try:
        found = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError([f"{key} = {_shown(file)}: cannot be read: {error.strerror}"]) from None
    except ValueError:
        found = ""
    if not found or not found.isprintable():
        raise ConfigError([f"{key} = {_shown(file)}: should hold one secret and nothing else"])
    return found


def _is_json(template: str) -> bool:
    # A letter stands for every value: outside of a string it would be no JSON, and so would most values.
    try:
        json.loads(re.sub(rf"{{({'|'.join(PLACEHOLDERS)})}}", "x", template))
    except ValueError:
        return False
    return True


def _unknown(name: str, origin: str, known: Sequence[str]) -> str:
    # Of equally near ones the first section's.
    nearest = max(known, key=lambda one: difflib.SequenceMatcher(None, one, name).ratio())
    return f"{name} ({origin}): is not known; the nearest is {nearest}"


def _shown(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
