"""Why a task is not running: reason codes with numbers, and one sentence (spec D9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fleetd.core.limits import Gate
from fleetd.core.modes import serves
from fleetd.core.task import Mode, ModeSource, Order, Status, Task


class Reason(NamedTuple):
    """One reason: a stable code, what people read, and the numbers it rests on."""

    code: str
    text: str
    numbers: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class AgentView:
    """What matters of one agent that has the capabilities a task needs."""

    agent_id: str
    connected: bool
    draining: bool
    stopped: bool
    error: bool
    held: int
    ceiling: int


@dataclass(frozen=True, slots=True)
class HostPlace:
    """
    What matters of one kind of agent on one host that has the capabilities a task needs. `state` is that of the host, or DISABLED; `why` it is in it;
    `working`: it takes tasks as long as it has a free slot.
    """

    host_id: str
    state: str
    why: str
    working: bool
    held: int
    slots: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    What the engine knows around a waiting task. Times in epoch ms, 0 = unset; `lacking` are capabilities that nobody has who may run it; `retry_at` is when
    a BLOCKED one is looked at although nothing changes. `able` and `places` are the agents and hosts that could run it, of `agents` and `hosts` in all;
    `undecided_for` is how long a task waits for a host, ms.
    """

    now: int
    serving: bool
    gates: tuple[Gate, ...]
    able: tuple[AgentView, ...]
    lacking: tuple[str, ...]
    agents: int
    ahead: int
    lane_count: int
    better_lanes: int
    unable_since: int
    retry_at: int = 0
    places: tuple[HostPlace, ...] = ()
    hosts: int = 0
    undecided_for: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """The reasons, the weightiest first, one sentence, and since when no agent could serve the task (0 = some can)."""

    sentence: str
    reasons: list[Reason] = field(default_factory=list)
    unschedulable_since: int = 0


def explain(task: Task, around: Surroundings) -> Explanation:
    """Tell why a task is not running, or that it is."""
    if task.terminal:
        reason = Reason(
            "FINISHED", f"it is {task.status.name}" + (f" ({task.error_code})" if task.error_code else "")
        )
        return _said([reason])
    if task.status is Status.RUNNING:
        return _said([_running(task)])
    if task.status is Status.ASSIGNED:
        text = f"it was offered to {task.agent_id}, which has not said that it started"
        return _said([Reason("OFFERED", text, {"lease_epoch": task.lease_epoch})])
    if task.status is Status.BLOCKED:
        return _said([_blocked(task, around)])
    reasons = [*_delayed(task, around), *_gates(around), *_takers(task, around), *_order(around)]
    if not around.serving:
        reasons.insert(0, Reason("DAEMON_DRAINING", "the daemon is stopping and gives no work"))
    if not reasons:
        reasons.append(Reason("NEXT", "it is next in line"))
    lost = not any(agent.connected for agent in around.able) and not any(p.working for p in around.places)
    since = max(task.queued_at, around.unable_since) if lost else 0
    return _said(reasons, since)


def _said(reasons: list[Reason], since: int = 0) -> Explanation:
    sentence = "; ".join(reason.text for reason in reasons)
    return Explanation(sentence[:1].upper() + sentence[1:] + ".", reasons, since)


def _running(task: Task) -> Reason:
    if task.order is Order.NONE:
        return Reason("RUNNING", f"it runs on {task.agent_id}", {"attempt": task.attempt})
    what = {Order.CANCEL: "cancelled", Order.TIMEOUT: "timed out", Order.RELEASE: "to be handed back"}
    text = f"it runs on {task.agent_id}, which was told that it is {what.get(task.order, 'over')}"
    return Reason("STOPPING", text, {"attempt": task.attempt})


def _blocked(task: Task, around: Surroundings) -> Reason:
    """Tell what keeps every instance from it, and when that may have passed by itself; it is looked at whenever something changes, too."""
    text = "no model instance can serve it at present"
    route = task.route
    if route is not None and route.summary:
        text += f": {route.summary}"
    at = around.retry_at or (route.retry_at if route is not None else 0)
    wait = at - around.now
    if wait <= 0:
        return Reason("BLOCKED", text)
    return Reason(
        "BLOCKED", f"{text}; it is looked at again in {_span(wait)}", {"retry_at": at, "milliseconds": wait}
    )


def _delayed(task: Task, around: Surroundings) -> list[Reason]:
    if task.run_at <= around.now:
        return []
    wait = task.run_at - around.now
    numbers = {"run_at": task.run_at, "milliseconds": wait, "attempt": task.attempt}
    if task.attempt:
        text = f"attempt {task.attempt} of {task.max_attempts} failed ({task.error_code}); the next is due in {_span(wait)}"
        return [Reason("RETRY_BACKOFF", text, {**numbers, "max_attempts": task.max_attempts})]
    return [Reason("DELAYED", f"it is delayed for another {_span(wait)}", numbers)]


def _gates(around: Surroundings) -> list[Reason]:
    reasons = []
    for gate in around.gates:
        kind, name = gate.key
        if gate.rule.paused:
            why = f": {gate.rule.reason}" if gate.rule.reason else ""
            reasons.append(Reason(f"{kind.upper()}_PAUSED", f"{kind} {name} is paused{why}"))
        elif gate.shut:
            numbers = {"running": gate.running, "limit": gate.rule.max_running}
            text = f"{kind} {name} runs {gate.running} of at most {_number(gate.rule.max_running, 'task')}"
            reasons.append(Reason(f"{kind.upper()}_LIMIT", text, numbers))
    return reasons


def _takers(task: Task, around: Surroundings) -> list[Reason]:
    """Tell what keeps those from it who may run it; nothing when one of them has a free slot."""
    mode = task.mode if task.mode_source is ModeSource.EXPLICIT else Mode.UNDECIDED
    free = any(agent.ceiling > agent.held for agent in around.able)
    free = free or any(place.working and place.slots > place.held for place in around.places)
    if task.reserved_agent and not free:
        return [Reason("RESERVED", f"it is reserved for {task.reserved_agent}, which has no free slot")]
    if not serves(mode, host=False):
        return _hosts(around)
    agents = _agents(around)
    if not agents or not around.places:
        return agents
    hosts = _waits(task, around) if task.mode is Mode.UNDECIDED else _hosts(around)
    return [*agents, *hosts] if hosts else []


def _agents(around: Surroundings) -> list[Reason]:
    """Tell what keeps the agents from it; nothing when one of them has a free slot."""
    able = around.able
    if not able:
        numbers = {"agents": around.agents, "able": 0}
        if around.lacking:
            text = f"no registered agent has {', '.join(around.lacking)}"
        else:
            text = (
                "no registered agent has all its capabilities" if around.agents else "no agent is registered"
            )
        return [Reason("NO_CAPABLE_AGENT", text, numbers)]
    online = [agent for agent in able if agent.connected]
    numbers = {"able": len(able), "connected": len(online)}
    if not online:
        text = f"none of the {len(able)} able agents is connected"
        if len(able) == 1:
            text = "the only able agent is not connected"
        return [Reason("AGENTS_OFFLINE", text, numbers)]
    working = [a for a in online if not (a.draining or a.stopped or a.error)]
    if not working:
        text = f"all {len(online)} able agents that are connected are draining, stopped or in error"
        if len(online) == 1:
            text = "the only able agent that is connected is draining, stopped or in error"
        return [Reason("AGENTS_UNAVAILABLE", text, numbers)]
    held, slots = sum(a.held for a in working), sum(max(a.held, a.ceiling) for a in working)
    if not slots:
        text = f"none of the {len(working)} able agents asks for work"
        if len(working) == 1:
            text = "the only able agent asks for no work"
        return [Reason("NO_DEMAND", text, numbers)]
    if held >= slots:
        whose = "only able agent" if len(working) == 1 else f"{len(working)} able agents"
        which = "the only slot" if slots == 1 else f"all {slots} slots"
        text = f"{which} of the {whose} {'is' if slots == 1 else 'are'} taken"
        return [Reason("NO_FREE_SLOT", text, {**numbers, "slots": slots, "held": held})]
    return []


def _hosts(around: Surroundings) -> list[Reason]:
    """Tell what keeps the hosts from it; nothing when one of them has a free slot."""
    places = around.places
    if not places:
        text = "no host has all its capabilities" if around.hosts else "no host is configured"
        if around.lacking and around.hosts:
            text = f"no host has {', '.join(around.lacking)}"
        return [Reason("NO_CAPABLE_HOST", text, {"hosts": around.hosts, "able": 0})]
    working = [place for place in places if place.working]
    able = len({place.host_id for place in places})
    numbers = {"able": able, "online": len({place.host_id for place in working})}
    if not working:
        return [Reason("HOSTS_OFFLINE", _absent(places), numbers)]
    held, slots = sum(p.held for p in working), sum(p.slots for p in working)
    if held < slots:
        return []
    which = "the only slot" if slots == 1 else f"all {slots} slots"
    whose = "only able host" if numbers["online"] == 1 else f"{numbers['online']} able hosts"
    text = f"{which} of the {whose} {'is' if slots == 1 else 'are'} taken"
    return [Reason("NO_FREE_SLOT", text, {**numbers, "slots": slots, "held": held})]


def _waits(task: Task, around: Surroundings) -> list[Reason]:
    """Tell how long a task that nobody has decided waits for hosts that could run it; nothing when one of them has a free slot."""
    if not _hosts(around):
        return []
    places = around.places
    left = max(0, task.queued_at + around.undecided_for - around.now)
    able = len({place.host_id for place in places})
    numbers = {"able": able, "milliseconds": left}
    if not any(place.working for place in places):
        text = f"it waits for a host: {_absent(places)}"
    else:
        whose = f"host {places[0].host_id}" if able == 1 else f"one of the {able} able hosts"
        when = f"in {_span(left)}" if left else "at the next look"
        text = f"it waits for a free slot of {whose}, and is left to agents {when}"
    return [Reason("WAITS_FOR_HOST", text, numbers)]


def _absent(places: tuple[HostPlace, ...]) -> str:
    """Return what is the matter with hosts none of which takes work."""
    first = places[0]
    able = len({place.host_id for place in places})
    if able > 1:
        return f"none of the {able} able hosts is online"
    why = f": {first.why}" if first.why else ""
    said = first.state if first.state != "ONLINE" else "ONLINE and takes no work"
    return f"the only able host, {first.host_id}, is {said}{why}"


def _order(around: Surroundings) -> list[Reason]:
    if not around.ahead and not around.better_lanes:
        return []
    numbers = {"ahead": around.ahead, "in_lane": around.lane_count, "better_lanes": around.better_lanes}
    texts = []
    if around.ahead:
        verb = "is" if around.ahead == 1 else "are"
        texts.append(f"{_number(around.ahead, 'task')} of the same kind {verb} ahead of it")
    if around.better_lanes:
        verb = "goes" if around.better_lanes == 1 else "go"
        texts.append(f"{_number(around.better_lanes, 'other kind')} of tasks {verb} first")
    return [Reason("BEHIND", ", and ".join(texts), numbers)]


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _span(milliseconds: int) -> str:
    seconds = milliseconds / 1_000
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
