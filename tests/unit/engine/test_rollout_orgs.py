"""Orgs of a rollout that stand somewhere of their own: no more of them than memory is meant for (spec G5, S7)."""

import pytest

from fleetd.core.fallback import Forced, Phase
from fleetd.core.rolling import ORG_STATES, ForceFallback
from fleetd.errors import Overloaded
from tests.unit.engine.rollouts import CHAT, NEW, decide, phase, put, reset, tell


@pytest.fixture
async def crowded(fleet):
    """As many orgs as there may be are forced, all but one."""
    await put(fleet, per_org=True)
    forced = Forced(True, "a drill")
    commands = [ForceFallback(("chat", f"org-{number}"), forced) for number in range(ORG_STATES - 1)]
    assert not [answer for answer in await fleet.together(*commands) if isinstance(answer, Exception)]
    return fleet


def scopes(fleet) -> int:
    return sum(bool(org) for _, org in fleet.engine.rollout_book.present.states)


async def test_an_org_too_many_is_refused_or_counted_with_all_others_alone(crowded):
    """G5, S7."""
    await tell(crowded, 10, "AGENT_ERROR", org_id="last")
    assert (phase(crowded, "last"), scopes(crowded)) == (Phase.FALLBACK, ORG_STATES)
    await reset(crowded)
    await tell(crowded, 40, org_id="well")
    await tell(crowded, 10, "AGENT_ERROR", org_id="one-more")
    assert (phase(crowded, "one-more"), scopes(crowded)) == (Phase.NORMAL, ORG_STATES)
    with pytest.raises(Overloaded) as caught:
        await crowded.do(ForceFallback(("chat", "one-more"), Forced(True, "a drill")))
    assert caught.value.reason == "ORG_STATES_LIMIT"
    await reset(crowded, "one-more")
    assert scopes(crowded) == ORG_STATES
    await crowded.do(ForceFallback(CHAT, Forced(True, "all of them")))
    assert decide(crowded, "one-more").mode != NEW


async def test_orgs_that_are_back_to_normal_make_room(crowded):
    """G5."""
    await reset(crowded, "org-7")
    await tell(crowded, 40, org_id="well")
    await tell(crowded, 10, "AGENT_ERROR", org_id="last")
    await tell(crowded, 10, "AGENT_ERROR", org_id="one-more")
    assert [phase(crowded, org) for org in ("last", "one-more")] == [Phase.FALLBACK, Phase.FALLBACK]
    assert ("chat", "org-7") not in crowded.engine.rollout_book.present.states
    assert scopes(crowded) == ORG_STATES
    stored = await crowded.store.snapshot(0)
    assert stored.rollout_states == crowded.engine.rollout_book.present.states
