"""What the scripts of `failover` ask of whoever drives them (driver, driver_sync). Pure values."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

from fleetd_client.plan import Call
from fleetd_client.stubs import Instance

R = TypeVar("R")

Function: TypeAlias = Callable[[Instance], Any]


@dataclass(frozen=True, slots=True)
class Begin:
    """Let the function run on an instance, and go on at once."""

    function: Function
    instance: Instance


@dataclass(frozen=True, slots=True)
class Watch:
    """Wait for the function to end, so many seconds at most; what it came to is an Ended, or None while it runs."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Abandon:
    """Stop the function if that is possible; whatever it still comes to does not count."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


class Ended(NamedTuple):
    """How the function ended: with a value, or an error."""

    value: Any = None
    error: BaseException | None = None


Step: TypeAlias = Call | Begin | Watch | Abandon | Pause
# A script yields steps, is given what came of each (or has its error raised), and returns R. The plans of the clients are scripts, too.
Script: TypeAlias = Generator[Step, Any, R]
