"""FleetClient: every method of the daemon for asyncio programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Hashable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

import grpc
import grpc.aio

from fleetd_client import (
    agents,
    deadletters,
    failover,
    host_plans,
    queues,
    registry,
    rollouts,
    routes,
    task_watch,
    tasks,
)
from fleetd_client.attempt import Attempt
from fleetd_client.channel import DEFAULT_ADDRESS, open_channel, target
from fleetd_client.choice import Choice
from fleetd_client.coalescing import Coalescer
from fleetd_client.driver import drive
from fleetd_client.errors import FleetError, from_rpc
from fleetd_client.joint import JOINTS, Joint
from fleetd_client.link import Link
from fleetd_client.methods import WATCH_EVENTS_PATH, WATCH_TASK_PATH
from fleetd_client.plan import Call, Page, Plan, Tries
from fleetd_client.script import Script
from fleetd_client.stubs import Event, TaskEvent, WatchEventsResponse, WatchTaskResponse
from fleetd_client.task_watch import TaskStream
from fleetd_client.times import Span, seconds
from fleetd_client.verb import dress
from fleetd_client.watch import Watch

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_TIMEOUT = 30.0


def _verb(
    make: Callable[P, Plan[R]],
) -> Callable[Concatenate[FleetClient, P], Coroutine[Any, Any, R]]:
    async def method(self: FleetClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.perform(make(*args, **kwargs))

    dress(method, make)
    return method


def _pages(
    make: Callable[Concatenate[Any, P], Plan[Page[T]]],
) -> Callable[Concatenate[FleetClient, P], AsyncIterator[T]]:
    async def method(self: FleetClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        position = None
        while True:
            page = await self.perform(make(position, *args, **kwargs))
            for item in page.items:
                yield item
            position = page.following
            if position is None:
                return

    dress(method, make)
    return method


def _driven(
    make: Callable[P, Script[dict[str, Any]]],
) -> Callable[Concatenate[FleetClient, P], Coroutine[Any, Any, dict[str, Any]]]:
    async def method(self: FleetClient, /, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        return await drive(make(*args, **kwargs), self.perform, self._sleep)

    dress(method, make)
    return method


class FleetClient:
    """
    Speaks to the daemon at `host:port` or `unix:PATH`; use it in one event loop, as `async with FleetClient(...)`, or close it.

    Every call ends within `timeout` seconds, tries included (waiting methods add what they wait for); what may be repeated is
    repeated after UNAVAILABLE or an overload. Errors are those of fleetd_client.errors. Submissions, routes, outcomes, and reports of one
    agent that are made while another is under way travel together in the next call.
    """

    submit = _verb(tasks.submit)
    submit_many = _verb(tasks.submit_many)
    get = _verb(tasks.get)
    list = _pages(tasks.task_page)
    wait = _verb(tasks.wait)
    wait_many = _verb(tasks.wait_many)
    result = _verb(tasks.result)
    history = _verb(tasks.history)
    cancel = _verb(tasks.cancel)
    cancel_many = _verb(tasks.cancel_many)
    timeout_task = _verb(tasks.timeout_task)
    retry = _verb(tasks.retry)
    update = _verb(tasks.update)
    assign = _verb(tasks.assign)
    events = _pages(tasks.event_page)
    lineage = _verb(tasks.lineage)
    explain = _verb(tasks.explain)

    dead_letters = _pages(deadletters.dead_letter_page)
    dead_letter = _verb(deadletters.dead_letter)
    replay_dead_letters = _verb(deadletters.replay_dead_letters)
    discard_dead_letters = _verb(deadletters.discard_dead_letters)
    purge_dead_letters = _verb(deadletters.purge_dead_letters)

    pause_queue = _verb(queues.pause_queue)
    resume_queue = _verb(queues.resume_queue)
    set_queue_limits = _verb(queues.set_queue_limits)
    queue_limits = _pages(queues.queue_limits_page)
    audits = _pages(queues.audit_page)

    list_agents = _pages(agents.agent_page)
    get_agent = _verb(agents.agent)
    agent_load = _verb(agents.agent_load)
    workload = _pages(agents.workload_page)
    drain_agent = _verb(agents.drain_agent)
    drain_agents = _verb(agents.drain_agents)
    undrain_agent = _verb(agents.undrain_agent)
    stop_agent = _verb(agents.stop_agent)
    start_agent = _verb(agents.start_agent)
    restart_agent = _verb(agents.restart_agent)
    register_agent = _verb(agents.register_agent)
    unregister_agent = _verb(agents.unregister_agent)
    update_agent_capabilities = _verb(agents.update_agent_capabilities)
    heartbeat = _verb(agents.heartbeat)
    claim_tasks = _verb(agents.claim_tasks)
    report_tasks = _verb(agents.report_tasks)
    upsert_hosts = _verb(host_plans.upsert_hosts)
    hosts = _pages(host_plans.host_page)
    remove_host = _verb(host_plans.remove_host)
    set_host_state = _verb(host_plans.set_host_state)
    queue_status = _verb(agents.queue_status)
    status = _verb(agents.status)

    route = _verb(routes.route)
    route_many = _verb(routes.route_many)
    verify_route = _verb(routes.verify_route)
    reroute = _verb(routes.reroute)
    override_route = _verb(routes.override_route)
    report_outcome = _verb(routes.report_outcome)
    report_outcomes = _verb(routes.report_outcomes)
    route_plan = _verb(routes.route_plan)
    routing_stats = _verb(routes.routing_stats)
    upsert_instances = _verb(registry.upsert_instances)
    instances = _pages(registry.instance_page)
    remove_instance = _verb(registry.remove_instance)
    set_instance_state = _verb(registry.set_instance_state)
    import_catalogue = _verb(registry.import_catalogue)
    breakers = _verb(registry.breakers)
    reset_breakers = _verb(registry.reset_breakers)
    force_breaker = _verb(registry.force_breaker)
    failover_call = _driven(failover.failover_call)
    retry_dead_letter = _driven(failover.retry_dead_letter)

    decide_mode = _verb(rollouts.decide_mode)
    put_rollout = _verb(rollouts.put_rollout)
    get_rollout = _verb(rollouts.get_rollout)
    list_rollouts = _verb(rollouts.list_rollouts)
    remove_rollout = _verb(rollouts.remove_rollout)
    force_fallback = _verb(rollouts.force_fallback)
    reset_fallback = _verb(rollouts.reset_fallback)
    rollout_metrics = _verb(rollouts.rollout_metrics)
    comparisons = _pages(rollouts.comparison_page)
    list_task_events = _pages(task_watch.task_event_page)
    list_task_envelopes = _pages(task_watch.task_envelope_page)

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: Span = DEFAULT_TIMEOUT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.address = target(address)
        self._timeout = seconds(timeout)
        self._sleep = sleep
        self._channel: Any = None
        self._attached = False
        self._link: Link | None = None
        self._callables: dict[str, Any] = {}
        self._coalescers: dict[Hashable, Coalescer] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls that wait to travel together raise ClientClosed. The next call would open it again."""
        coalescers, self._coalescers = self._coalescers, {}
        for coalescer in coalescers.values():
            coalescer.close()
        if not self._attached:
            return
        await self._cross(self._close_channel())
        link, self._link, self._attached = self._link, None, False
        if link is not None:
            await asyncio.to_thread(link.close)

    async def perform(self, plan: Plan[R]) -> R:
        """Run a plan: send what it asks for, give it the responses or raise their errors in it, return its result."""
        try:
            call = plan.send(None)
            while True:
                try:
                    answer = await self._send(call)
                except FleetError as error:
                    call = plan.throw(error)
                else:
                    call = plan.send(answer)
        except StopIteration as done:
            result: R = done.value
            return result

    def routed(self, title: str = "", **options: Unpack[routes.RouteOptions]) -> Attempt:
        """
        Instances for work of your own; takes what `route` takes. `async with fleet.routed(...) as attempt:` is one try on
        `attempt.instance`, whose outcome is reported when it is left: success, or the code of the exception. `async for attempt in
        fleet.routed(...):` with `async with attempt:` in it goes on as the daemon says, on the same instance or the next, until one
        try succeeds. Raises GiveUp (NO_AVAILABLE_INSTANCE) when nothing fits.
        """
        return Attempt(routes.to_route(title, **options), self.perform, self._sleep)

    def mode_of(self, rollout: str, *, org_id: str = "", session_id: str = "", otherwise: str = "") -> Choice:
        """
        One piece of work in the mode that a rollout decides: `async with fleet.mode_of("chat", org_id=org) as choice:` asks for
        `choice.mode`, measures, and reports success, or the code of the exception (TIMEOUT of a TimeoutError), when it is left.
        `choice.result(size=..., digest=...)` and `await choice.report_shadow(...)` tell more. While the daemon cannot be asked, the mode is
        `otherwise`; without it the error is raised.
        """
        return Choice(self.perform, rollout, org_id, session_id, otherwise)

    def watch_task(self, task_id: str = "", from_seq: int = 0) -> TaskStream[TaskEvent]:
        """
        What agents tell about a task, from a seq on (0: the first, -1: only new ones), then each event as it is stored, until the task has
        ended: then `.finished` of what is returned says how. Without a task what they tell about all of them, from a position on, without
        end. Resumes by itself, without loss or repeat. OutOfRange (EVENTS_TRIMMED) when the log no longer reaches back so far.
        """
        return TaskStream(task_id, from_seq, self._task_messages, self._sleep, envelopes=False)

    def watch_task_envelopes(self, task_id: str = "", from_seq: int = 0) -> TaskStream[str]:
        """As watch_task, each event as the JSON that web pages are sent."""
        return TaskStream(task_id, from_seq, self._task_messages, self._sleep, envelopes=True)

    async def watch_events(
        self, after_seq: int = -1, **match: Unpack[tasks.EventMatch]
    ) -> AsyncIterator[Event]:
        """
        Every event after a seq (-1: only new ones, 0: from the start of the log), then each as it happens, without end; takes the
        filters of `events`. Resumes by itself when the daemon goes away and comes back. OutOfRange (EVENTS_TRIMMED) when the log
        no longer reaches back so far.
        """
        watch = Watch(after_seq, tasks.event_filter(match))
        while True:
            error = None
            try:
                messages = self._messages(WATCH_EVENTS_PATH, watch.request(), WatchEventsResponse)
                async with aclosing(messages):
                    async for message in messages:
                        for event in watch.take(message):
                            yield event
            except FleetError as raised:
                error = raised
            await self._sleep(watch.wait_after(error))

    async def _send(self, call: Call) -> Any:
        tries = Tries(call, self._timeout, time.monotonic())
        joint = JOINTS.get(call.method.name)
        while True:
            left = tries.left(time.monotonic())
            try:
                if joint is None:
                    return await self._try(call, left)
                return await self._coalescer(joint, joint.key(call.request)).ride(call.request, left)
            except FleetError as raised:
                error = raised
            await self._sleep(tries.wait_after(error, time.monotonic()))

    def _coalescer(self, joint: Joint, key: Hashable) -> Coalescer:
        coalescer = self._coalescers.get(key)
        if coalescer is None:
            coalescer = Coalescer(joint, self._try, lambda: self._coalescers.pop(key, None))
            self._coalescers[key] = coalescer
        return coalescer

    async def _try(self, call: Call, timeout: float) -> Any:
        try:
            return await self._cross(self._unary(call, timeout))
        except grpc.aio.AioRpcError as raised:
            raise from_rpc(raised) from None

    async def _unary(self, call: Call, timeout: float) -> Any:
        method = call.method
        send = self._callables.get(method.path)
        if send is None:
            send = self._callables[method.path] = self._opened().unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        return await send(call.request, timeout=timeout)

    def _task_messages(self, request: Any) -> AsyncIterator[Any]:
        return self._messages(WATCH_TASK_PATH, request, WatchTaskResponse)

    async def _messages(self, path: str, request: Any, response: Any) -> AsyncGenerator[Any]:
        """The messages of one stream, until the daemon ends it; raises its error."""
        stream = None
        try:
            stream = await self._cross(self._open_stream(path, request, response))
            while (message := await self._cross(stream.read())) is not grpc.aio.EOF:
                yield message
        except grpc.aio.AioRpcError as raised:
            raise from_rpc(raised) from None
        finally:
            if stream is not None:
                stream.cancel()

    async def _open_stream(self, path: str, request: Any, response: Any) -> Any:
        return self._opened().unary_stream(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )(request)

    def _opened(self) -> Any:
        if self._channel is None:
            self._channel = open_channel(self.address)
        return self._channel

    async def _close_channel(self) -> None:
        channel, self._channel = self._channel, None
        self._callables.clear()
        if channel is not None:
            await channel.close()

    async def _cross(self, work: Coroutine[Any, Any, R] | Awaitable[R]) -> R:
        """Await on the loop that owns the channel: an agent's link when the process has one (one grpc.aio loop a process), else this one."""
        if not self._attached:
            self._attached, self._link = True, Link.share()
        if self._link is None:
            return await work
        return await asyncio.wrap_future(self._link.run(work))
