"""
The chat switch of the predecessor, as its environment variables define it: the rollout "chat" of origin ENVIRONMENT (spec G8).

Besides fleetd.config this is all that takes settings from the environment. Any variable named CHAT_ defines the rollout, whatever is not set having its
default. RUNTIME_SERVICE_URL alone does not: other software uses such a name. Where the rollout is defined and that variable is not set, its default is
asked; set to an empty text it means that nobody is asked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fleetd.core.rollout import Origin, Rollout
from fleetd.core.rollout_definition import rollout
from fleetd.core.text import plain, shown
from fleetd.core.url import hidden
from fleetd.errors import InvalidArgument

NAME = "chat"
OLD, NEW = "direct_llm", "runtime_orchestrator"
HEALTH = "/health"
DEFAULT_URL = "http://localhost:8000"
TARGETS = {"avg_latency": "3s", "p95_latency": "5s", "error_rate": 0.05, "timeout_rate": 0.02}
"""What the predecessor's table of performance asks for."""

MODE = "CHAT_EXECUTION_MODE"
URL = "RUNTIME_SERVICE_URL"
ORGS = "CHAT_RUNTIME_ENABLED_ORGS"
SHADOW = "CHAT_RUNTIME_SHADOW_PERCENT"
TIMEOUT = "CHAT_RUNTIME_TIMEOUT_THRESHOLD_MS"
ERRORS = "CHAT_RUNTIME_ERROR_RATE_THRESHOLD"
RIGHT: Mapping[str, str] = {
    MODE: f"should be {OLD} or {NEW}",
    URL: f"should be an http or https URL without user, password, ? and #, such as {DEFAULT_URL}, or empty for no probe",
    ORGS: "should be at most 10,000 names of orgs with commas between them, each 1 to 128 letters, digits and . _ - : / @",
    SHADOW: "should be a number from 0 to 100",
    TIMEOUT: "should be a whole number of milliseconds, 1 to 2,592,000,000",
    ERRORS: "should be a number from 0 to 1",
}
"""Every variable, and what its value should be."""

PATHS: Mapping[str, str] = {
    "default_mode": MODE,
    "allow_orgs": ORGS,
    "shadow_percent": SHADOW,
    "fallback.timeout_threshold": TIMEOUT,
    "fallback.error_rate": ERRORS,
    "health_url": URL,
}
"""Which variable a field of the definition comes from."""

PREFIXES = ("CHAT_RUNTIME_", "CHAT_EXECUTION_")
TAILS: Mapping[str, str] = {
    name.removeprefix("CHAT_").removeprefix("RUNTIME_").removeprefix("EXECUTION_"): name for name in RIGHT
}
"""What tells the variables apart, and which they are: with their beginnings all would be alike."""
NEAR = 0.6
"""Likeness from which on an unknown name is taken for a mistake; others are somebody else's."""
NAME_CHARS = 128
NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{0,20})?|\.[0-9]{1,20}")
WHOLE = re.compile(r"[0-9]{1,12}")


class ChatEnvironment(NamedTuple):
    """The rollout that is defined, None when there is none, and a line for each thing to mend; with such lines there is no rollout."""

    rollout: Rollout | None = None
    problems: tuple[str, ...] = ()


def read(environ: Mapping[str, str]) -> ChatEnvironment:
    """Return what the process environment says of the chat switch."""
    problems = list(_near_misses(environ))
    given = {name: environ[name].strip() for name in RIGHT if name in environ}
    made = None
    if given.keys() - {URL}:
        bad = {name: problem for name, text in given.items() if (problem := _problem(name, text))}
        try:
            made = rollout(_fields(given, bad), origin=Origin.ENVIRONMENT)
        except InvalidArgument as error:
            named = [PATHS[path.partition("[")[0]] for path, _ in error.fields]
            bad |= {name: RIGHT[name] for name in named}
        problems += [
            f"{name} = {_said(name, given[name])} (environment): {bad[name]}" for name in RIGHT if name in bad
        ]
    return ChatEnvironment(None if problems else made, tuple(problems))


def _problem(name: str, text: str) -> str:
    """Return what is bad about a text that cannot be read as what it stands for; what it may be beyond that is asked where rollouts are defined."""
    if name == MODE:
        good = text in {OLD, NEW}
    elif name == URL:
        good = not {"?", "#"} & set(text)
    elif name == TIMEOUT:
        good = WHOLE.fullmatch(text) is not None
    elif name in {SHADOW, ERRORS}:
        good = NUMBER.fullmatch(text) is not None
        if good and name == SHADOW and float(text) < 100 and round(float(text), 2) != float(text):
            return "should have at most two decimals"
    else:
        good = True
    return "" if good else RIGHT[name]


def _fields(given: Mapping[str, str], bad: Mapping[str, str]) -> dict[str, object]:
    """Return the fields of the definition; what is bad has its default, so that the rest can be looked at."""
    good = {name: text for name, text in given.items() if name not in bad}
    url = good.get(URL, DEFAULT_URL)
    return {
        "name": NAME,
        "old_mode": {"name": OLD},
        "new_mode": {"name": NEW},
        "default_mode": good.get(MODE),
        "allow_orgs": [org for part in good.get(ORGS, "").split(",") if (org := part.strip())],
        "bucket_by": "org",
        "shadow_percent": _number(good.get(SHADOW)),
        "fallback": {
            "timeout_threshold": f"{good[TIMEOUT]}ms" if TIMEOUT in good else None,
            "error_rate": _number(good.get(ERRORS)),
        },
        "health_url": f"{url.rstrip('/')}{HEALTH}" if url else "",
        "targets": TARGETS,
    }


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _said(name: str, text: str) -> str:
    """Return a value for an error message, without the password an address may hold."""
    return hidden(text) if name == URL else shown(text)


def _near_misses(environ: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(environ):
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
        if prefix and name not in RIGHT:
            tail = name.removeprefix(prefix)[:NAME_CHARS]
            for nearest in difflib.get_close_matches(tail, TAILS, n=1, cutoff=NEAR):
                known = TAILS[nearest]
                yield f"{plain(name[:NAME_CHARS])} (environment): is not known; the nearest is {known}"
