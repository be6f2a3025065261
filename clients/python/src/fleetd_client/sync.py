"""FleetClientSync: the methods of FleetClient for programs without asyncio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Hashable, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

import grpc

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
from fleetd_client.attempt import AttemptSync
from fleetd_client.channel import DEFAULT_ADDRESS, open_sync_channel
from fleetd_client.choice import ChoiceSync
from fleetd_client.client import DEFAULT_TIMEOUT
from fleetd_client.coalescing_sync import CoalescerSync
from fleetd_client.driver_sync import drive_sync
from fleetd_client.errors import FleetError, from_rpc
from fleetd_client.joint import JOINTS, Joint
from fleetd_client.methods import WATCH_EVENTS_PATH, WATCH_TASK_PATH
from fleetd_client.plan import Call, Page, Plan, Tries
from fleetd_client.script import Script
from fleetd_client.stubs import Event, TaskEvent, WatchEventsResponse, WatchTaskResponse
from fleetd_client.task_watch import TaskStreamSync
from fleetd_client.times import Span, seconds
from fleetd_client.verb import dress
from fleetd_client.watch import Watch

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def _verb(make: Callable[P, Plan[R]]) -> Callable[Concatenate[FleetClientSync, P], R]:
    def method(self: FleetClientSync, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.perform(make(*args, **kwargs))

    dress(method, make)
    return method


def _pages(
    make: Callable[Concatenate[Any, P], Plan[Page[T]]],
) -> Callable[Concatenate[FleetClientSync, P], Iterator[T]]:
    def method(self: FleetClientSync, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        position = None
        while True:
            page = self.perform(make(position, *args, **kwargs))
            yield from page.items
            position = page.following
            if position is None:
                return

    dress(method, make)
    return method


def _driven(
    make: Callable[P, Script[dict[str, Any]]],
) -> Callable[Concatenate[FleetClientSync, P], dict[str, Any]]:
    def method(self: FleetClientSync, /, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        return drive_sync(make(*args, **kwargs), self.perform, self._sleep)

    dress(method, make)
    return method


class FleetClientSync:
    """FleetClient without asyncio: same methods, arguments, results and errors. May be used by several threads."""

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
        channel: Any = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._channel = open_sync_channel(address) if channel is None else channel
        self._timeout = seconds(timeout)
        self._sleep = sleep
        self._callables: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._coalescers: dict[Hashable, CoalescerSync] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls that wait to travel together raise ClientClosed."""
        with self._lock:
            coalescers = tuple(self._coalescers.values())
        for coalescer in coalescers:
            coalescer.close()
        self._channel.close()

    def perform(self, plan: Plan[R]) -> R:
        """Run a plan: send what it asks for, give it the responses or raise their errors in it, return its result."""
        try:
            call = plan.send(None)
            while True:
                try:
                    answer = self._send(call)
                except FleetError as error:
                    call = plan.throw(error)
                else:
                    call = plan.send(answer)
        except StopIteration as done:
            result: R = done.value
            return result

    def routed(self, title: str = "", **options: Unpack[routes.RouteOptions]) -> AttemptSync:
        """As FleetClient.routed, with plain `with` and `for`."""
        return AttemptSync(routes.to_route(title, **options), self.perform, self._sleep)

    def mode_of(
        self, rollout: str, *, org_id: str = "", session_id: str = "", otherwise: str = ""
    ) -> ChoiceSync:
        """As FleetClient.mode_of, with plain `with`."""
        return ChoiceSync(self.perform, rollout, org_id, session_id, otherwise)

    def watch_task(self, task_id: str = "", from_seq: int = 0) -> TaskStreamSync[TaskEvent]:
        """As FleetClient.watch_task, with plain `for`."""
        return TaskStreamSync(task_id, from_seq, self._task_messages, self._sleep, envelopes=False)

    def watch_task_envelopes(self, task_id: str = "", from_seq: int = 0) -> TaskStreamSync[str]:
        """As FleetClient.watch_task_envelopes."""
        return TaskStreamSync(task_id, from_seq, self._task_messages, self._sleep, envelopes=True)

    def watch_events(self, after_seq: int = -1, **match: Unpack[tasks.EventMatch]) -> Iterator[Event]:
        """As FleetClient.watch_events."""
        watch = Watch(after_seq, tasks.event_filter(match))
        while True:
            error = None
            try:
                messages = self._messages(WATCH_EVENTS_PATH, watch.request(), WatchEventsResponse)
                with closing(messages):
                    for message in messages:
                        yield from watch.take(message)
            except FleetError as raised:
                error = raised
            self._sleep(watch.wait_after(error))

    def _task_messages(self, request: Any) -> Generator[Any]:
        return self._messages(WATCH_TASK_PATH, request, WatchTaskResponse)

    def _messages(self, path: str, request: Any, response: Any) -> Generator[Any]:
        """The messages of one stream, until the daemon ends it; raises its error."""
        stream = self._channel.unary_stream(
            path,
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )(request)
        try:
            yield from stream
        except grpc.RpcError as raised:
            raise from_rpc(raised) from None
        finally:
            stream.cancel()

    def _send(self, call: Call) -> Any:
        tries = Tries(call, self._timeout, time.monotonic())
        joint = JOINTS.get(call.method.name)
        while True:
            left = tries.left(time.monotonic())
            try:
                return self._try(call, left) if joint is None else self._ride(joint, call, left)
            except FleetError as raised:
                error = raised
            self._sleep(tries.wait_after(error, time.monotonic()))

    def _ride(self, joint: Joint, call: Call, timeout: float) -> Any:
        key = joint.key(call.request)
        with self._lock:
            coalescer = self._coalescers.get(key)
            if coalescer is None:
                coalescer = self._coalescers[key] = CoalescerSync(joint, self._try)
            coalescer.riders += 1
        try:
            return coalescer.ride(call.request, timeout)
        finally:
            with self._lock:
                coalescer.riders -= 1
                if not coalescer.riders:
                    del self._coalescers[key]

    def _try(self, call: Call, timeout: float) -> Any:
        method = call.method
        send = self._callables.get(method.path)
        if send is None:
            send = self._callables[method.path] = self._channel.unary_unary(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        try:
            return send(call.request, timeout=timeout)
        except grpc.RpcError as raised:
            raise from_rpc(raised) from None
