"""What an exception says about the instance it came from."""

from __future__ import annotations

import asyncio
import urllib.error
from types import SimpleNamespace

import pytest

from fleetd_client import AgentFail, Cancelled, Fatal
from fleetd_client.faults import fault_of


class Odd(Exception):
    """An exception with the attributes of a library's."""

    def __init__(self, message="odd", **attributes):
        super().__init__(message)
        for name, value in attributes.items():
            setattr(self, name, value)


def wrapped(cause):
    error = Odd("outer")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AgentFail("CONTEXT_EXCEEDED", "too long"), "CONTEXT_EXCEEDED"),
        (Fatal("broken"), "LOGIC_ERROR"),
        (Odd(code="429"), "429"),
        (Odd(code=503), "503"),
        (Odd(status_code=529), "529"),
        (Odd(status=401), "AUTH"),
        (Odd(response=SimpleNamespace(status_code=402)), "BILLING"),
        (Odd(code="context_length_exceeded", status_code=400), "BAD_REQUEST"),
        (ConnectionRefusedError(111, "refused"), "CONN_REFUSED"),
        (ConnectionResetError(104, "reset"), "PROCESS_EXITED"),
        (TimeoutError(), "TIMEOUT"),
        (asyncio.CancelledError(), "CANCELLED"),
        (Cancelled(), "CANCELLED"),
        (wrapped(ConnectionRefusedError()), "CONN_REFUSED"),
        (wrapped(wrapped(Odd(status_code=500))), "500"),
        (urllib.error.URLError(ConnectionRefusedError()), "CONN_REFUSED"),
        (Odd("all tries failed", reason=wrapped(TimeoutError())), "TIMEOUT"),
        ("CONN_REFUSED", "CONN_REFUSED"),
    ],
)
def test_the_code_is_what_the_exception_carries(error, code):
    """F4, R11."""
    assert fault_of(error).code == code


@pytest.mark.parametrize(
    "error",
    [
        Odd("503 Service Unavailable: connection refused, timeout"),
        Odd(code=3),
        Odd(code=lambda: 503),
        Odd(code="no code"),
        Odd(status=200),
        Odd(code=True),
        SystemExit(1),
    ],
)
def test_nothing_is_guessed_from_words_or_from_numbers_that_are_no_status(error):
    """F4: MUST NOT guess from the message."""
    assert fault_of(error).code == "AGENT_ERROR"
    assert fault_of(error, otherwise="500").code == "500"


def test_an_exception_that_another_one_only_followed_is_not_its_cause():
    """F4: a connection refused by something else must not blame the instance."""
    error = KeyError("cache")
    error.__context__ = ConnectionRefusedError()
    assert fault_of(error).code == "AGENT_ERROR"


def test_a_chain_that_bites_its_tail_ends():
    """S7."""
    error = Odd()
    error.reason = error
    assert fault_of(error).code == "AGENT_ERROR"


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (Odd(retry_after=2.5), 2.5),
        (Odd(status_code=429, response=SimpleNamespace(status_code=429, headers={"retry-after": "7"})), 7),
        (Odd(headers={"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), None),
        (Odd(headers={"retry-after": "-1"}), None),
        (Odd(retry_after=float("nan")), None),
        (wrapped(Odd(retry_after=3)), 3),
        (Odd(), None),
    ],
)
def test_the_wait_a_provider_asked_for_is_found(error, wait):
    """F4: 429 honours Retry-After."""
    assert fault_of(error).retry_after == wait


def test_what_the_caller_says_wins():
    """R11."""
    assert fault_of(Odd(retry_after=2), "my words", 9) == ("AGENT_ERROR", "my words", 9)
    assert fault_of("503", "busy", 1) == ("503", "busy", 1)
    assert fault_of(ValueError("name \udcff")).message == "ValueError: name ?"
