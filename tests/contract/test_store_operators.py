"""What operators leave in a store: rules for orgs and capabilities, and lines of the audit log."""

from __future__ import annotations

import pytest

from fleetd.core.audit import AuditLine
from fleetd.core.event import EventFilter
from fleetd.core.ledger import Audit, Changes
from fleetd.core.limits import FREE, GateKey, GateRule
from fleetd.store.base import Write
from tests.contract.place import a_new, a_task, all_events, an_event, write

ORG, CODE = GateKey("org", "o"), GateKey("capability", "code")


def an_audit(n: int, action: str = "DrainAgent", target: str = "agent/a") -> Audit:
    return Audit(1_000 + n, "op:kim", action, target, f"reason {n}")


def line(number: int, audit: Audit) -> AuditLine:
    return AuditLine(number, *audit)


async def test_rules_are_kept_and_replaced(store):
    """D10, D3: limits, weights and pauses survive a restart"""
    rule = GateRule(weight=2.5, max_running=3, max_pending=4, paused=True, reason="why: ünïcode")
    plain = {name for name in GateRule.__slots__ if getattr(rule, name) == getattr(FREE, name)}
    assert not plain, "every field must differ from its default, or this test does not look at it"
    await write(store, rules={ORG: rule, CODE: FREE, GateKey("org", "code"): FREE})

    assert (await store.snapshot(0)).rules == {ORG: rule, CODE: FREE, GateKey("org", "code"): FREE}

    await write(store, rules={CODE: GateRule(max_running=1)})
    rules = (await store.snapshot(0)).rules
    assert (rules[CODE], rules[ORG]) == (GateRule(max_running=1), rule)
    assert type(rules[ORG].paused) is bool


async def test_rules_are_there_after_a_restart(durable_place):
    """D10"""
    store = await durable_place.open()
    await write(store, rules={ORG: GateRule(paused=True)}, audits=[an_audit(1)])
    await store.close()

    again = await durable_place.open()

    assert (await again.snapshot(0)).rules == {ORG: GateRule(paused=True)}
    assert await again.list_audits(0, 10, "", "") == [line(1, an_audit(1))]


AUDITS = [
    an_audit(1),
    an_audit(2, target="agent/b"),
    an_audit(3, action="PauseQueue", target="org/o"),
    an_audit(4, action="PauseQueue"),
    an_audit(5),
]


@pytest.mark.parametrize(
    ("action", "target", "found"),
    [
        ("", "", [5, 4, 3, 2, 1]),
        ("PauseQueue", "", [4, 3]),
        ("", "agent/a", [5, 4, 1]),
        ("PauseQueue", "agent/a", [4]),
        ("DrainAgent", "agent/a", [5, 1]),
        ("Nothing", "", []),
        ("", "agent", []),
    ],
)
async def test_the_audit_log_is_read_newest_first(store, action, target, found):
    """F5: what operators did is found by action and target, whatever the size of the pages"""
    for audit in AUDITS:
        await write(store, audits=[audit])
    expected = [line(number, AUDITS[number - 1]) for number in found]

    assert await store.list_audits(0, 10, action, target) == expected
    for limit in (1, 2):
        pages, before = [], 0
        while page := await store.list_audits(before, limit, action, target):
            assert len(page) <= limit
            pages += page
            before = page[-1].id
        assert pages == expected


async def test_an_act_that_cannot_be_written_leaves_no_line(store):
    """F5: a line of the audit log and its act live or die together"""
    await write(store, audits=[an_audit(1)], new_tasks=[a_new(a_task(1))])

    with pytest.raises(Exception, match="UNIQUE"):
        await write(store, audits=[an_audit(2)], new_tasks=[a_new(a_task(1))], events=[an_event(ref=1)])

    assert await store.list_audits(0, 10, "", "") == [line(1, an_audit(1))]
    assert await all_events(store, EventFilter()) == []


async def test_lines_of_the_audit_log_keep_their_order_within_a_write(store):
    """F5"""

    def script():
        yield Write(Changes(audits=[an_audit(1), an_audit(2)]))
        yield Write(Changes(audits=[an_audit(3)]))

    await store.transact(script)

    assert await store.list_audits(0, 10, "", "") == [line(n, an_audit(n)) for n in (3, 2, 1)]
