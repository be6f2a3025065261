"""Turns a function that makes a plan into a client's method, signature and docstring kept."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def dress(method: Any, make: Callable[..., Any]) -> Any:
    """Give a method the face of the function it performs; leading parameters named `position` are the page loop's own."""
    parameters = [
        one for one in inspect.signature(make).parameters.values() if one.name not in {"position", "clock"}
    ]
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    method.__signature__ = inspect.Signature([itself, *parameters])
    method.__doc__ = make.__doc__
    return method
