"""The synchronous client against a server played by the test."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc_testing
import pytest

from fleetd_client import FleetClientSync, NotFound, Unavailable
from fleetd_client import stubs as s


class Server:
    """Plays the daemon: takes the next call of a method and answers it."""

    def __init__(self, channel):
        self._channel = channel

    def answer(self, service, name, response, code=grpc.StatusCode.OK, details=""):
        method = service.methods_by_name[name]
        _, request, rpc = self._channel.take_unary_unary(method)
        rpc.send_initial_metadata(())
        rpc.terminate(response, (), code, details)
        return request


@pytest.fixture
def channel():
    return grpc_testing.channel([s.DISPATCHER, s.HEALTH], grpc_testing.strict_real_time())


@pytest.fixture
def server(channel):
    return Server(channel)


@pytest.fixture
def waits():
    return []


@pytest.fixture
def client(channel, waits):
    return FleetClientSync(channel=channel, sleep=waits.append)


@pytest.fixture
def start():
    """Calls a method of the client in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit


def test_a_submission_travels_and_its_task_comes_back(client, server, start):
    """S2, T3."""
    submitted = start(client.submit, "Count words", input="a b c", priority="LOW")
    request = server.answer(
        s.DISPATCHER, "SubmitTask", s.SubmitTaskResponse(task=s.Task(id="t-1", title="Count words"))
    )
    assert submitted.result().id == "t-1"
    assert request.input.text == "a b c"
    assert request.priority == s.Priority.PRIORITY_LOW


def test_a_read_is_repeated_after_unavailable_with_a_jittered_wait(client, server, start, waits):
    """S2."""
    got = start(client.get, "t-1")
    server.answer(s.DISPATCHER, "GetTask", None, grpc.StatusCode.UNAVAILABLE, "down")
    server.answer(s.DISPATCHER, "GetTask", s.Task(id="t-1"))
    assert got.result().id == "t-1"
    assert len(waits) == 1
    assert 0 <= waits[0] <= 0.1


def test_the_repeated_submission_carries_the_same_idempotency_key(client, server, start):
    """T4."""
    submitted = start(client.submit, "once")
    first = server.answer(s.DISPATCHER, "SubmitTask", None, grpc.StatusCode.UNAVAILABLE)
    second = server.answer(s.DISPATCHER, "SubmitTask", s.SubmitTaskResponse(task=s.Task(id="t-1")))
    submitted.result()
    assert first == second


def test_a_write_that_must_not_happen_twice_is_not_repeated(client, server, start, waits):
    """S2."""
    retried = start(client.retry, "t-1")
    server.answer(s.DISPATCHER, "RetryTask", None, grpc.StatusCode.UNAVAILABLE, "down")
    with pytest.raises(Unavailable):
        retried.result()
    assert waits == []


def test_a_read_is_not_repeated_for_ever(client, server, start, waits):
    """S2, S7."""
    got = start(client.get, "t-1")
    for _ in range(6):
        server.answer(s.DISPATCHER, "GetTask", None, grpc.StatusCode.UNAVAILABLE, "down")
    with pytest.raises(Unavailable):
        got.result()
    assert len(waits) == 5


def test_a_refusal_is_raised_as_its_type(client, server, start):
    """S3."""
    got = start(client.get, "t-1")
    server.answer(s.DISPATCHER, "GetTask", None, grpc.StatusCode.NOT_FOUND, "no task t-1")
    with pytest.raises(NotFound, match="no task t-1"):
        got.result()


def test_a_list_walks_over_all_pages_even_empty_ones(client, server, start):
    """S2, D7: a page may be empty while there are more."""
    listed = start(lambda: [one.id for one in client.list(statuses=["PENDING"])])
    server.answer(
        s.DISPATCHER, "ListTasks", s.ListTasksResponse(tasks=[s.Task(id="t-2")], next_page_token="p1")
    )
    server.answer(s.DISPATCHER, "ListTasks", s.ListTasksResponse(next_page_token="p2"))
    last = server.answer(s.DISPATCHER, "ListTasks", s.ListTasksResponse(tasks=[s.Task(id="t-1")]))
    assert listed.result() == ["t-2", "t-1"]
    assert last.page_token == "p2"
    assert list(last.filter.statuses) == [s.TaskStatus.TASK_STATUS_PENDING]


def test_health_is_asked_on_its_own_service(client, server, start):
    """D7, S1."""
    asked = start(client.agent_load)
    server.answer(s.HEALTH, "GetAgentLoad", s.GetAgentLoadResponse(total=3))
    assert asked.result().total == 3


def test_a_watch_resumes_where_it_stood(client, channel, start, waits):
    """T8: a watcher misses nothing."""
    method = s.DISPATCHER.methods_by_name["WatchEvents"]
    events = client.watch_events(after_seq=0)
    first = start(lambda: next(events).seq)
    _, request, rpc = channel.take_unary_stream(method)
    assert request.after_seq == 0
    rpc.send_initial_metadata(())
    # The position moves past events that the filter left out.
    rpc.send_response(s.WatchEventsResponse(events=[s.Event(seq=4)], resume_after_seq=9))
    assert first.result() == 4
    second = start(lambda: next(events).seq)
    rpc.terminate((), grpc.StatusCode.UNAVAILABLE, "down")
    _, request, rpc = channel.take_unary_stream(method)
    assert request.after_seq == 9
    rpc.send_initial_metadata(())
    rpc.send_response(s.WatchEventsResponse(events=[s.Event(seq=10)], resume_after_seq=10))
    assert second.result() == 10
    assert len(waits) == 1
    rpc.terminate((), grpc.StatusCode.OK, "")
    events.close()
