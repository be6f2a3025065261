"""
The kinds of values a configuration holds: how each is read, what it may be, and how it is written again.

Durations are written with their unit ("500ms", "30s", "5m", "1h") and are integer milliseconds inside;
sizes are written as bytes or with a binary unit ("64KiB", "8MiB", "1GiB") and are integer bytes inside.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from fleetd.durations import MILLISECONDS, duration, duration_text

BYTES: Mapping[str, int] = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
YEAR = 365 * 24 * MILLISECONDS["h"]  # longer is a mistake, and sums of such times still fit every column
UNIX_PATH_BYTES = 107  # sun_path of Linux holds 108 bytes with the closing zero

PLACEHOLDERS = ("kind", "name", "state", "reason", "time")
"""What the template of an alert may hold; fleetd.core.alert fills them in."""

KIB, MIB = BYTES["KiB"], BYTES["MiB"]
SECOND = MILLISECONDS["s"]


def size(value: object) -> int:
    """Return the bytes of a number or a text such as "8MiB". Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = re.fullmatch(r"([0-9]+)\s*(B|KiB|MiB|GiB)?", value) if isinstance(value, str) else None
    if not found:
        raise ValueError(
            'should be a number of bytes or a size with a binary unit, such as "64KiB", "8MiB" or "1GiB"'
        )
    return int(found[1]) * BYTES[found[2] or "B"]


def size_text(number: int) -> str:
    """Return the shortest exact text of a size."""
    unit = next(unit for unit in ("GiB", "MiB", "KiB", "B") if number % BYTES[unit] == 0)
    return f"{number // BYTES[unit]}{unit}"


def number(value: object) -> object:
    """Refuse true and false where a number is meant: Python would take them as 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")  # noqa: TRY004 - pydantic reports ValueError only
    return value


def address(value: str) -> str:
    """Return the address unchanged when it can be listened on. Raises ValueError."""
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path or len(path.encode()) > UNIX_PATH_BYTES:
            raise ValueError(
                f"should name a path of 1 to {UNIX_PATH_BYTES} bytes after unix:, such as unix:/run/fleetd/fleetd.sock"
            )
        return value
    host, _, port = value.rpartition(":")
    if (
        not host
        or (":" in host and not host.startswith("["))
        or not re.fullmatch("[0-9]{1,5}", port)
        or int(port) > 65_535
    ):
        raise ValueError(
            "should be host:port with a port of 0 to 65535, [IPv6]:port, or unix:PATH, such as 127.0.0.1:50051"
        )
    return value


def optional_address(value: str) -> str:
    """Return an address unchanged; empty means none. Raises ValueError."""
    return address(value) if value else value


def variable_name(value: str) -> str:
    """Return the name of an environment variable unchanged; empty means none. Raises ValueError."""
    if value and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError("should be the name of an environment variable, such as FORGEJO_SECRET")
    return value


def org_name(value: str) -> str:
    """Return the name of an org unchanged; empty means none. Raises ValueError."""
    if value and not re.fullmatch(r"[A-Za-z0-9._\-:/@]{1,128}", value):
        raise ValueError("should be 1 to 128 letters, digits and . _ - : / @")
    return value


def rollout_name(value: str) -> str:
    """Return the name of a rollout unchanged. Raises ValueError."""
    if not value:
        raise ValueError("should name a rollout, such as chat")
    return org_name(value)


def directory(value: object) -> object:
    """Refuse an empty text, which would mean the present directory. Raises ValueError."""
    if value == "":
        raise ValueError("should name a directory")
    return value


def file_name(value: str) -> str:
    """Return the name of a file unchanged; empty means none. Raises ValueError."""
    if value and not value.isprintable():
        raise ValueError("should name a file, without control characters")
    return value


def directory_name(value: str) -> str:
    """Return the name of a directory on some machine unchanged. Raises ValueError."""
    if not value or not value.isprintable() or ".." in value.split("/"):
        raise ValueError("should name a directory, without control characters and without ..")
    return value


def web_address(value: str) -> str:
    """Return an http or https URL unchanged; empty means none. Raises ValueError."""
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if value and not (good and value.isprintable() and " " not in value):
        raise ValueError("should be a URL such as https://chat.example.com/hooks/fleetd")
    return value


def template(value: str) -> str:
    """Return a template unchanged when every {word} in it is a placeholder. Raises ValueError."""
    for word in re.findall(r"{([A-Za-z_]+)}", value):
        if word not in PLACEHOLDERS:
            known = " ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            raise ValueError(f"should have no placeholders but {known}; {{{word}}} is none")
    return value


def only_local(listen: str) -> bool:
    """Tell whether only this machine can reach an address. A host name other than localhost may mean anything."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Duration = Annotated[int, BeforeValidator(duration), PlainSerializer(duration_text), Field(gt=0, le=YEAR)]
Grace = Annotated[int, BeforeValidator(duration), PlainSerializer(duration_text), Field(ge=0, le=YEAR)]
Size = Annotated[int, BeforeValidator(size), PlainSerializer(size_text), Field(gt=0, le=BYTES["GiB"])]
Count = Annotated[int, BeforeValidator(number), Field(gt=0, lt=1 << 31)]
Whole = Annotated[int, BeforeValidator(number), Field(ge=0, lt=1 << 31)]
Ratio = Annotated[float, BeforeValidator(number), Field(ge=0, le=1)]
Directory = Annotated[Path, BeforeValidator(directory)]
Address = Annotated[str, AfterValidator(address)]
OptionalAddress = Annotated[str, AfterValidator(optional_address)]
VariableName = Annotated[str, AfterValidator(variable_name)]
OrgName = Annotated[str, AfterValidator(org_name)]
RolloutName = Annotated[str, AfterValidator(rollout_name)]
FileName = Annotated[str, AfterValidator(file_name)]
DirectoryName = Annotated[str, AfterValidator(directory_name)]
WebAddress = Annotated[str, AfterValidator(web_address)]
Template = Annotated[str, AfterValidator(template)]
