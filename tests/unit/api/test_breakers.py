"""Breakers: seen, reset and forced by hand."""

from __future__ import annotations

import pytest

from fleet.v1 import instance_pb2
from fleetd.api.calls import Call
from fleetd.errors import NotFound
from tests.unit.api.port import Port
from tests.unit.api.routed import refused

PROVIDER, INSTANCE = instance_pb2.BREAKER_KIND_PROVIDER, instance_pb2.BREAKER_KIND_INSTANCE
HOST = instance_pb2.BREAKER_KIND_HOST
CLOSED, OPEN = instance_pb2.BREAKER_STATE_CLOSED, instance_pb2.BREAKER_STATE_OPEN
ONE, TWO = "ollama:one", "ollama:two"


@pytest.fixture
async def fleet(port):
    """A Router with two instances of one provider."""
    await port.instances(ONE, TWO)
    return port


async def listed(port, **fields):
    return [(one.kind, one.name, one.state) for one in (await port("ListBreakers", **fields)).breakers]


async def test_three_strikes_open_a_breaker_and_its_view_tells_all(fleet):
    """F3."""
    for number in range(2):
        await fleet.outcome(instance=ONE, code="CONN_REFUSED", message=f"port {number}")
    assert await listed(fleet) == []
    assert await listed(fleet, all=True) == [(INSTANCE, ONE, CLOSED)]
    await fleet.outcome(instance=ONE, code="CONN_REFUSED", message="port 2")
    (breaker,) = (await fleet("ListBreakers")).breakers
    assert (breaker.kind, breaker.name, breaker.state) == (INSTANCE, ONE, OPEN)
    assert (breaker.failure_count, breaker.last_error) == (3, "CONN_REFUSED: port 2")
    assert (breaker.forced, breaker.epoch) == (False, 1)
    now = fleet.clock.wall()
    assert breaker.opened_at.ToMilliseconds() == now
    assert breaker.retry_at.ToMilliseconds() == now + 300_000
    plan = (await fleet("RouteTask", title="work")).plan
    assert (plan.selected, [one.filter for one in plan.eliminated]) == (TWO, ["breaker"])


async def test_a_mistake_of_the_caller_counts_nowhere(fleet):
    """F3, F4."""
    for code in ("400", "422", "CANCELLED", "CONTEXT_EXCEEDED", "POLICY", "AGENT_ERROR"):
        for _ in range(3):
            await fleet.outcome(instance=ONE, code=code)
    assert await listed(fleet, all=True) == []


async def test_one_caller_alone_opens_no_breaker(fleet):
    """F3a: routes of one name are one caller's."""
    for _ in range(5):
        plan = (await fleet("RouteTask", title="work", task_id="poison", requirements={"model": ONE})).plan
        await fleet("RerouteTask", plan_id=plan.plan_id, error_code="CONN_REFUSED")
    assert await listed(fleet) == []


async def test_an_operator_opens_a_breaker_and_closes_it_again(fleet):
    """F3, F5."""
    call = Call(actor="ada")
    breaker = await fleet(
        "ForceBreaker", kind=PROVIDER, name="ollama", reason="moving", duration={"seconds": 60}, call=call
    )
    assert (breaker.state, breaker.forced, breaker.last_error) == (OPEN, True, "forced open: moving")
    assert breaker.retry_at.ToMilliseconds() == fleet.clock.wall() + 60_000
    plan = (await fleet("RouteTask", title="work")).plan
    assert (plan.selected, plan.retry_at) == ("", breaker.retry_at)
    answer = await fleet("ResetBreakers", kind=PROVIDER, name="ollama", reason="done", call=call)
    assert answer.reset == 1
    (breaker,) = (await fleet("ListBreakers", all=True)).breakers
    assert (breaker.state, breaker.forced, breaker.epoch) == (CLOSED, False, 2)
    assert not breaker.HasField("retry_at")
    assert (await fleet("RouteTask", title="work")).selected
    lines = (await fleet("ListAudits")).lines
    assert [(line.actor, line.action, line.target, line.reason) for line in lines[:2]] == [
        ("ada", "ResetBreakers", "provider:ollama", "done"),
        ("ada", "ForceBreaker", "provider:ollama", "moving"),
    ]


async def test_a_forced_breaker_stands_for_five_minutes_unless_told_otherwise(fleet):
    """F3."""
    breaker = await fleet("ForceBreaker", kind=INSTANCE, name=ONE)
    assert breaker.retry_at.ToMilliseconds() == fleet.clock.wall() + 300_000


@pytest.mark.parametrize(
    ("fields", "count", "left"),
    [
        ({}, 3, []),
        ({"kind": INSTANCE}, 2, [PROVIDER]),
        ({"kind": INSTANCE, "name": ONE}, 1, [PROVIDER, INSTANCE]),
        ({"name": "ollama"}, 1, [INSTANCE, INSTANCE]),
        ({"kind": PROVIDER, "name": ONE}, 0, [PROVIDER, INSTANCE, INSTANCE]),
    ],
)
async def test_one_breaker_all_of_a_kind_or_all_are_reset(fleet, fields, count, left):
    """F3."""
    for kind, name in ((PROVIDER, "ollama"), (INSTANCE, ONE), (INSTANCE, TWO)):
        await fleet("ForceBreaker", kind=kind, name=name)
    assert (await fleet("ResetBreakers", **fields)).reset == count
    assert [kind for kind, _, _ in await listed(fleet)] == left


async def test_breakers_are_listed_by_kind_and_name(fleet):
    """F3."""
    for kind, name in ((INSTANCE, TWO), (PROVIDER, "ollama"), (INSTANCE, ONE)):
        await fleet("ForceBreaker", kind=kind, name=name)
    every = [(PROVIDER, "ollama", OPEN), (INSTANCE, ONE, OPEN), (INSTANCE, TWO, OPEN)]
    assert await listed(fleet) == every
    assert await listed(fleet, kind=INSTANCE) == every[1:]
    assert await listed(fleet, name=ONE) == [every[1]]
    assert await listed(fleet, kind=PROVIDER, name=ONE) == []


async def test_a_breaker_of_nobody_is_told_with_the_nearest_name(fleet):
    """F3, S3."""
    with pytest.raises(NotFound, match="nearest name is ollama:one") as caught:
        await fleet("ForceBreaker", kind=INSTANCE, name="ollama:on")
    assert caught.value.reason == "INSTANCE_NOT_FOUND"
    with pytest.raises(NotFound) as caught:
        await fleet("ForceBreaker", kind=PROVIDER, name="nobody")
    assert caught.value.reason == "PROVIDER_NOT_FOUND"
    assert await refused(fleet, "ForceBreaker", kind=HOST, name="here") == ["kind"]


async def test_bad_fields_are_named(fleet):
    """S3."""
    paths = await refused(fleet, "ForceBreaker", name="", reason="x" * 1_001, duration={"nanos": 999_999_999})
    assert paths == ["kind", "name", "reason", "duration"]
    assert await refused(fleet, "ForceBreaker", kind=9, name="x" * 257) == ["kind", "name"]
    paths = await refused(
        fleet, "ForceBreaker", kind=INSTANCE, name=ONE, duration={"seconds": 30 * 86_400 + 1}
    )
    assert paths == ["duration"]
    paths = await refused(fleet, "ResetBreakers", kind=9, name="x" * 257, reason="x" * 1_001)
    assert paths == ["kind", "name", "reason"]
    assert await refused(fleet, "ListBreakers", kind=9, name="x" * 257) == ["kind", "name"]


async def test_breakers_survive_a_restart(tmp_path):
    """F3."""
    path = str(tmp_path / "fleetd.db")
    port = await Port(path=path).open()
    await port.instances(ONE, TWO)
    await port("ForceBreaker", kind=INSTANCE, name=ONE, reason="r", duration={"seconds": 3_600})
    before = await port("ListBreakers", all=True)
    await port.close()
    port = await Port(path=path).open()
    assert await port("ListBreakers", all=True) == before
    assert (await port("RouteTask", title="work")).selected == TWO
    await port.close()
