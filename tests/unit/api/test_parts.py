"""Page tokens, ids, times: the small parts that methods are made of."""

import os

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from fleet.v1 import lease_pb2
from fleetd.api.convert_times import duration, epoch, milliseconds, spoken, timestamp
from fleetd.api.ids import ulids
from fleetd.api.pages import fitting, make_token, page_size, read_number, read_token
from fleetd.api.validate import Fields


def test_a_page_token_brings_its_position_back():
    """S7."""
    fields = Fields()
    assert read_token(make_token("agent-ü", b"filter"), b"filter", fields) == "agent-ü"
    assert read_number(make_token("123", b"filter"), b"filter", fields) == 123
    assert read_number("", b"filter", fields) == 0
    assert not fields.errors


@pytest.mark.parametrize(
    "token",
    [
        make_token("123", b"another filter"),
        make_token("abc", b"filter"),
        make_token("²", b"filter"),
        make_token("9" * 30, b"filter"),
        make_token("", b"filter"),
        make_token("123", b"filter") + "x" * 5_000,
        "garbage",
        "ü",
        "====",
        "a",
    ],
)
def test_a_foreign_or_malformed_page_token_is_refused(token):
    """S3, S7."""
    fields = Fields()
    read_number(token, b"filter", fields)
    assert [path for path, _ in fields.errors] == ["page_token"]


@pytest.mark.parametrize("value", [-1, 1_001])
def test_a_page_size_out_of_bounds_is_refused(value):
    """S7."""
    fields = Fields()
    page_size(value, 50, 1_000, fields)
    assert fields.errors == [("page_size", f"must be 0 to 1,000, not {value:,}")]


def test_a_page_is_cut_by_bytes_but_never_empty():
    """S7."""
    refs = [lease_pb2.LeaseRef(task_id="x" * 100) for _ in range(5)]
    assert fitting(refs, 250) == refs[:2]
    assert fitting(refs, 1) == refs[:1]
    assert fitting([], 1) == []


def test_ids_are_ulids_that_grow_though_the_clock_stands_still_or_goes_back():
    """T3."""
    times = iter([1_000, 1_000, 999, 5, 2_000, *([2_000] * 1_000)])
    new_id = ulids(lambda: next(times))
    ids = [new_id() for _ in range(1_005)]
    assert ids == sorted(set(ids))
    assert all(len(one) == 26 and one.isalnum() and one.isupper() for one in ids)


def test_ids_grow_on_when_their_last_digits_begin_anew(monkeypatch):
    """T3: the last four digits are counted by themselves."""
    monkeypatch.setattr(os, "urandom", lambda count: b"\xff" * count)
    new_id = ulids(lambda: 1)
    first, second = new_id(), new_id()
    assert (first, second) == ("0000000001FZZZZZZZZZZZZZZZ", "0000000001G000000000000000")


def test_an_id_tells_its_time():
    """T3: the first ten digits of a ULID are its milliseconds."""
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    value = 0
    for digit in ulids(lambda: 1_700_000_000_123)()[:10]:
        value = value * 32 + digits.index(digit)
    assert value == 1_700_000_000_123


@pytest.mark.parametrize("at", [1, 999, 1_000, 1_700_000_000_123])
def test_times_come_back_as_they_went(at):
    """T3."""
    fields = Fields()
    assert epoch(timestamp(at), "t", fields) == at
    assert milliseconds(duration(at), "d", fields, 0, 1 << 60) == at
    assert not fields.errors


def test_a_time_before_1970_is_past_and_not_unset():
    """T3."""
    fields = Fields()
    assert epoch(Timestamp(seconds=-5), "t", fields) == 1
    assert epoch(Timestamp(), "t", fields) == 1
    assert not fields.errors


@pytest.mark.parametrize(
    "span",
    [Duration(seconds=-1), Duration(seconds=1, nanos=-1), Duration(nanos=-1_000_000), Duration(seconds=61)],
)
def test_a_duration_out_of_bounds_names_the_bounds(span):
    """S3."""
    fields = Fields()
    milliseconds(span, "wait", fields, 0, 60_000)
    assert fields.errors == [("wait", "must be a duration of 0 ms to 1 min")]


@pytest.mark.parametrize(
    ("value", "text"), [(1, "1 ms"), (1_500, "1500 ms"), (60_000, "1 min"), (2_592_000_000, "30 d")]
)
def test_durations_are_said_as_people_say_them(value, text):
    """S3."""
    assert spoken(value) == text
