"""The small parts: addresses, waits, mailboxes, threads."""

from __future__ import annotations

import asyncio
import threading

import pytest

from fleetd_client import Agent, InvalidArgument, Unavailable
from fleetd_client.backoff import Backoff
from fleetd_client.channel import target
from fleetd_client.mailbox import Mailbox
from fleetd_client.methods import GET_TASK
from fleetd_client.plan import Call, Tries
from fleetd_client.pool import Pool
from fleetd_client.stubs import EventFilter, GetTaskRequest, Priority, WatchEventsResponse
from fleetd_client.watch import Watch
from fleetd_client.words import name


@pytest.mark.parametrize("address", ["127.0.0.1:50051", "localhost:1", "[::1]:50051", "unix:/run/f.sock"])
def test_an_address_is_host_and_port_or_a_unix_socket(address):
    """S1."""
    assert target(address) == address


@pytest.mark.parametrize(
    "address", ["", "localhost", ":50051", "host:", "host:port", "host:70000", "http://host:80", "unix:"]
)
def test_any_other_address_is_refused_by_name(address):
    """S3."""
    with pytest.raises(InvalidArgument, match=r"address: host:port or unix:PATH"):
        target(address)


def test_the_backoff_doubles_up_to_its_cap_with_full_jitter():
    """D2: agents that lost their daemon do not come back at once."""
    latest = Backoff(chance=lambda: 1.0)
    assert [latest.next() for _ in range(10)][:3] == [0.1, 0.2, 0.4]
    assert latest.next() == 30.0
    latest.reset()
    assert latest.next() == 0.1
    assert Backoff(chance=lambda: 0.0).next() == 0.0


def test_the_tries_of_a_call_outlast_a_restart_of_the_daemon_however_the_dice_fall():
    """S2: the connection tries again every 1.2 s; all tries of a call must not be over before."""
    tries = Tries(Call(GET_TASK, GetTaskRequest()), timeout=30.0, now=0.0)
    tries._backoff.chance = lambda: 0.0
    waits = [tries.wait_after(Unavailable("UNAVAILABLE", ""), 0.0) for _ in range(5)]
    assert sum(waits) > 1.2


def test_what_the_daemon_asked_for_comes_before_the_jitter():
    """S7."""
    assert Backoff(chance=lambda: 0.5).next(at_least=2.0) == 2.05


def test_no_try_begins_that_could_not_end_in_time():
    """S2: the deadline is one for all tries."""
    call = Call(GET_TASK, GetTaskRequest(), extra=5.0)
    tries = Tries(call, timeout=1.0, now=100.0, backoff=Backoff(chance=lambda: 0.5))
    assert tries.left(102.0) == 4.0
    error = Unavailable("DRAINING", "", retry_after=3.9)
    assert tries.wait_after(error, 100.0) == pytest.approx(3.95)
    with pytest.raises(Unavailable):
        tries.wait_after(error, 102.1)


def test_a_watch_moves_with_its_messages_and_raises_what_cannot_be_mended():
    """T8."""
    watch = Watch(-1, EventFilter(), Backoff(chance=lambda: 1.0))
    assert watch.request().after_seq == -1
    watch.take(WatchEventsResponse(resume_after_seq=7))
    assert watch.request().after_seq == 7
    assert watch.wait_after(None) == 0.1
    assert watch.wait_after(Unavailable("UNAVAILABLE", "")) == 0.2
    with pytest.raises(InvalidArgument):
        watch.wait_after(InvalidArgument([("filter", "bad")]))


def test_an_unknown_value_of_a_newer_daemon_shows_as_its_number():
    """S2."""
    assert name(Priority, "PRIORITY", 3) == "HIGH"
    assert name(Priority, "PRIORITY", 99) == "99"


async def test_what_comes_together_is_delivered_together():
    """S2: crossings between loops are what costs."""
    mailbox: Mailbox[int] = Mailbox(asyncio.get_running_loop())
    delivered, arrived = [], asyncio.Event()

    def deliver(items):
        delivered.append(items)
        arrived.set()

    mailbox.deliver = deliver
    threading.Thread(target=lambda: [mailbox.put(number) for number in range(3)]).run()
    await arrived.wait()
    assert delivered == [[0, 1, 2]]


def test_a_mailbox_of_a_closed_loop_drops_what_it_is_given():
    """S2."""
    loop = asyncio.new_event_loop()
    mailbox: Mailbox[int] = Mailbox(loop)
    loop.close()
    mailbox.put(1)


def test_the_pool_runs_as_many_as_are_given_and_uses_free_threads_again():
    """S2."""
    pool, meeting = Pool("test"), threading.Barrier(3)
    for _ in range(2):
        pool.start(lambda: meeting.wait(10) and None)
    meeting.wait(10)
    names: list[str] = []
    done = threading.Event()

    def note():
        names.append(threading.current_thread().name)
        done.set()

    pool.start(note)
    assert done.wait(10)
    assert names == ["test"]


async def test_an_agent_without_a_handler_does_not_run():
    """S2."""
    with pytest.raises(ValueError, match=r"@agent\.handler"):
        await Agent("a").run()


def test_two_handlers_of_one_type_are_a_mistake():
    """S2."""
    agent = Agent("a")
    agent.handler(lambda ctx: None)
    with pytest.raises(ValueError, match="handler for task type '' already"):
        agent.handler(lambda ctx: None)
