"""What leaves when its time has passed, and what makes room for it (D12)."""

import asyncio

from fleetd.core.audit import Audited, Nothing
from fleetd.core.event import EventFilter
from fleetd.core.words import WordKind
from fleetd.engine.retention import BATCH, RetentionOptions, keep_sweeping, sweep
from fleetd.store.base import CommitUnclear, Retention, StoreBroken, StoreFull, Trimmed
from fleetd.store.sqlite import SqliteStore
from tests.unit.engine.fleet import Fleet, QuietLog

DAY = 86_400_000
KINDS = ("tasks", "dead_letters", "events", "audits")
NEVER = dict.fromkeys(KINDS, 0)


async def an_act(fleet: Fleet, target: str = "task") -> None:
    await fleet.do(Audited(Nothing(), "op:kim", "CancelTask", target, "why"))


async def targets(fleet: Fleet) -> list[str]:
    return [line.target for line in reversed(await fleet.store.list_audits(0, 10_000, "", ""))]


async def test_acts_of_operators_are_kept_for_a_year(fleet):
    """D12, F5."""
    await an_act(fleet, "old")
    fleet.clock.advance(1)
    await an_act(fleet, "young")
    fleet.clock.advance(365 * DAY - 1)
    assert await sweep(fleet.engine, RetentionOptions()) == Trimmed()
    fleet.clock.advance(1)
    assert await sweep(fleet.engine, RetentionOptions()) == Trimmed(audits=1)
    assert await targets(fleet) == ["young"]


async def test_every_kind_is_kept_for_a_time_of_its_own():
    """D12: 0 keeps for ever."""
    fleet = await Fleet().open()
    agent = await fleet.agent()
    await fleet.submit()
    await agent.say(await agent.start(), WordKind.COMPLETE)
    await an_act(fleet, "old")
    await an_act(fleet, "young")
    events = len((await fleet.store.list_events(EventFilter(), 0, 100, 100)).events)
    fleet.clock.advance(1_000 * DAY)
    assert await sweep(fleet.engine, RetentionOptions(**NEVER)) == Trimmed()
    found = [await sweep(fleet.engine, RetentionOptions(**{**NEVER, kind: DAY})) for kind in KINDS]
    assert found == [Trimmed(tasks=1), Trimmed(), Trimmed(events=events), Trimmed(audits=1)]
    await fleet.close()


async def test_a_long_audit_log_leaves_in_small_batches(fleet):
    """D12."""
    for number in range(3 * BATCH + 2):
        fleet.engine.post(Audited(Nothing(), "op:kim", "CancelTask", str(number), ""))
    await fleet.settle()
    fleet.clock.advance(366 * DAY)
    assert await sweep(fleet.engine, RetentionOptions()) == Trimmed(audits=3 * BATCH + 1)
    assert await targets(fleet) == [str(3 * BATCH + 1)]


class Unwilling(SqliteStore):
    """Refuses to trim in every way it may, then does as it is told."""

    def __init__(self) -> None:
        super().__init__(":memory:", inline=True)
        self.refusals = [StoreFull("no room"), CommitUnclear("unclear"), StoreBroken("broken")]
        self.willing = asyncio.Event()

    async def trim(self, retention: Retention, limit: int) -> Trimmed:
        if self.refusals:
            raise self.refusals.pop()
        self.willing.set()
        return await super().trim(retention, limit)


async def test_a_store_that_refuses_is_asked_again():
    """D12, S7: whatever becomes of one sweep, the next one comes."""
    store = Unwilling()
    fleet = await Fleet(store=store).open()
    log = QuietLog()
    sweeping = asyncio.create_task(keep_sweeping(fleet.engine, RetentionOptions(interval=1), log))
    await asyncio.wait_for(store.willing.wait(), 30)
    sweeping.cancel()
    assert [fields["message"] for _, fields in log.warnings] == ["broken", "unclear", "no room"]
    await asyncio.gather(sweeping, return_exceptions=True)
    await fleet.close()
