"""Concurrent calls of threads that share a synchronous client travel together."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fleetd_client import ClientClosed, DeadlineExceeded, FleetClientSync, Internal, Unavailable, task
from fleetd_client.coalescing_sync import CoalescerSync
from fleetd_client.joint import JOINTS
from tests.unit.client.counter import accept

LIMIT = 30
"""Seconds for what should happen at once: a limit, not a wait."""


class Wire:
    """Sends calls of the coalescer: holds each until `go` is set, then answers it as `answer` says."""

    def __init__(self):
        self.go = threading.Event()
        self.came = threading.Semaphore(0)
        self.calls = []
        self.answer = accept

    def __call__(self, call, timeout):
        self.calls.append((call, timeout))
        self.came.release()
        assert self.go.wait(LIMIT)
        return self.answer(call.request)

    def arrived(self):
        assert self.came.acquire(timeout=LIMIT)

    @property
    def titles(self):
        return [
            [one.title for one in getattr(call.request, "tasks", [call.request])] for call, _ in self.calls
        ]


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def coalescer(wire):
    return CoalescerSync(JOINTS["SubmitTask"], wire)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(80) as pool:
        yield pool


@pytest.fixture
def ask(pool, coalescer):
    """Begins a ride in a thread of its own, and returns when it is in the line, behind those before it."""

    def begin(title, timeout=60):
        before = len(list(coalescer._line))
        asked = pool.submit(lambda: coalescer.ride(task(title), timeout).task.title)
        while len(list(coalescer._line)) == before:
            os.sched_yield()
        return asked

    return begin


def first(pool, coalescer, wire, timeout=60):
    """A ride that is under way."""
    asked = pool.submit(lambda: coalescer.ride(task("first"), timeout).task.title)
    wire.arrived()
    return asked


def test_threads_that_wait_while_one_call_is_under_way_travel_in_the_next(wire, coalescer, pool, ask):
    """S5."""
    asked = [first(pool, coalescer, wire), *(ask(title) for title in "abc")]
    wire.go.set()
    assert [one.result(LIMIT) for one in asked] == ["first", "a", "b", "c"]
    assert wire.titles == [["first"], ["a", "b", "c"]]
    assert not coalescer._driven


def test_every_one_of_many_threads_gets_its_own_task(wire, coalescer, pool):
    """S5."""
    wire.go.set()
    titles = [str(number) for number in range(2_000)]
    found = list(pool.map(lambda title: coalescer.ride(task(title), 60).task.title, titles))
    assert found == titles
    assert sorted(title for batch in wire.titles for title in batch) == sorted(titles)
    assert not coalescer._driven


def test_a_defect_hits_only_the_thread_that_provokes_it(wire, coalescer, pool, ask):
    """S5, S3."""

    def answer(request):
        if any(one.title == "poison" for one in getattr(request, "tasks", [request])):
            raise Internal("INTERNAL", "internal error")
        return accept(request)

    wire.answer = answer
    asked = [first(pool, coalescer, wire), *(ask(title) for title in ("a", "poison", "b"))]
    wire.go.set()
    assert [asked[number].result(LIMIT) for number in (0, 1, 3)] == ["first", "a", "b"]
    with pytest.raises(Internal):
        asked[2].result(LIMIT)
    assert wire.titles == [["first"], ["a", "poison", "b"], ["a"], ["poison"], ["b"]]


def test_when_the_deadline_of_the_head_passes_the_others_travel_again(wire, coalescer, pool, ask):
    """S5, T4: their keys make it safe."""

    def answer(request):
        titles = [one.title for one in getattr(request, "tasks", [request])]
        if "hasty" in titles:
            raise DeadlineExceeded("DEADLINE_EXCEEDED", "late")
        return accept(request)

    wire.answer = answer
    asked = [first(pool, coalescer, wire), ask("hasty", 40), ask("a"), ask("b")]
    wire.go.set()
    assert [asked[number].result(LIMIT) for number in (0, 2, 3)] == ["first", "a", "b"]
    with pytest.raises(DeadlineExceeded):
        asked[1].result(LIMIT)
    assert wire.titles == [["first"], ["hasty", "a", "b"], ["a", "b"]]
    assert wire.calls[1][1] <= 40 < wire.calls[2][1]


def test_a_thread_whose_time_is_over_leaves_the_line(wire, coalescer, pool, ask):
    """S5."""
    asked = [first(pool, coalescer, wire), ask("hasty", 0.01), ask("a")]
    with pytest.raises(DeadlineExceeded):
        asked[1].result(LIMIT)
    wire.go.set()
    assert asked[2].result(LIMIT) == "a"
    assert wire.titles == [["first"], ["a"]]


def test_a_thread_that_is_interrupted_hands_over_to_the_next(wire, coalescer, pool, ask):
    """S5."""

    def answer(request):
        if request.title == "first":
            raise KeyboardInterrupt
        return accept(request)

    wire.answer = answer
    asked = [first(pool, coalescer, wire), ask("a")]
    wire.go.set()
    with pytest.raises(KeyboardInterrupt):
        asked[0].result(LIMIT)
    assert asked[1].result(LIMIT) == "a"
    assert not coalescer._driven


def test_closing_refuses_who_waits_and_who_is_under_way(wire, coalescer, pool, ask):
    """S5."""

    def answer(request):
        raise Unavailable("CANCELLED", "the channel is closed")

    wire.answer = answer
    asked = [first(pool, coalescer, wire), ask("a"), ask("b")]
    coalescer.close()
    wire.go.set()
    for one in asked:
        with pytest.raises(ClientClosed):
            one.result(LIMIT)


def test_the_client_of_several_threads_joins_their_submissions(pool, wire):
    """S5, S2: over the facade."""
    client = FleetClientSync("127.0.0.1:1")
    client._try = wire
    held = pool.submit(client.submit, "first")
    wire.arrived()
    (coalescer,) = client._coalescers.values()
    asked = [pool.submit(client.submit, title) for title in "abc"]
    while len(list(coalescer._line)) < 3:
        os.sched_yield()
    wire.go.set()
    assert held.result(LIMIT).title == "first"
    assert sorted(one.result(LIMIT).title for one in asked) == ["a", "b", "c"]
    assert [len(titles) for titles in wire.titles] == [1, 3]
    assert client._coalescers == {}
    client.close()
