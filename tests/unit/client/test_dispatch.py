"""What the clients ask about dead letters, limits and explanations."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fleetd_client import InvalidArgument, agents, deadletters, queues, tasks
from fleetd_client import stubs as s


def asked(plan):
    """The first call of a plan."""
    return next(plan)


def answered(plan, response):
    """The result of a plan of one call."""
    next(plan)
    with pytest.raises(StopIteration) as done:
        plan.send(response)
    return done.value.value


def test_a_filter_of_dead_letters_travels_with_every_part():
    """F5."""
    request = asked(
        deadletters.dead_letter_page(
            "token", org_id="o", task_type="t", cause="poison", error_code="X", tag="g", after=1.0, before=2.0
        )
    ).request
    wanted = request.filter
    assert (wanted.org_id, wanted.task_type, wanted.reason) == ("o", "t", "POISON")
    assert (wanted.error_code, wanted.tag) == ("X", "g")
    assert (wanted.after.seconds, wanted.before.seconds) == (1, 2)
    assert (request.page_token, request.page_size) == ("token", 100)


@pytest.mark.parametrize("verb", [deadletters.replay_dead_letters, deadletters.discard_dead_letters])
def test_dead_letters_are_named_or_selected_and_the_call_may_take_its_time(verb):
    """F5: ids without any filter, so that the daemon does not see both."""
    call = asked(verb(["a", "b"], reason="r", max_per_second=2.0, patience=timedelta(minutes=1)))
    assert (list(call.request.ids), call.request.reason, call.request.max_per_second) == (
        ["a", "b"],
        "r",
        2.0,
    )
    assert not call.request.HasField("filter")
    assert call.extra == 60.0
    request = asked(verb(allow_all=True, dry_run=True)).request
    assert (request.allow_all, request.dry_run, list(request.ids)) == (True, True, [])
    assert asked(verb(tag="nightly")).request.filter.tag == "nightly"


def test_a_purge_counts_what_is_gone():
    """F5, D12."""
    request = asked(deadletters.purge_dead_letters(90, confirm=True)).request
    assert (request.older_than.seconds, request.confirm) == (90, True)
    assert answered(deadletters.purge_dead_letters(90), s.PurgeDeadLettersResponse(purged=3)) == 3


def test_only_the_limits_that_are_given_travel():
    """D10."""
    request = asked(queues.set_queue_limits("org", "acme", max_running=0)).request
    assert request.kind == s.QueueKind.QUEUE_KIND_ORG
    assert request.HasField("max_running")
    assert not request.HasField("weight")
    assert not request.HasField("max_pending")


def test_a_kind_is_named_as_people_write_it():
    """D10, S3."""
    for verb in (queues.pause_queue, queues.resume_queue):
        request = asked(verb("capability", "gpu", reason="why")).request
        assert (request.kind, request.name, request.reason) == (2, "gpu", "why")
    with pytest.raises(InvalidArgument, match="kind: one of ORG, CAPABILITY"):
        asked(queues.pause_queue("team", "acme"))
    assert asked(queues.queue_limits_page(None)).request.kind == 0


def test_pages_of_limits_and_of_the_audit_log_go_on_with_their_token():
    """D10, F5."""
    page = answered(
        queues.queue_limits_page(None),
        s.ListQueueLimitsResponse(limits=[s.QueueLimits(name="a")], next_page_token="t"),
    )
    assert ([one.name for one in page.items], page.following) == (["a"], "t")
    request = asked(queues.audit_page("t", action="CancelTask", target="x")).request
    assert (request.page_token, request.action, request.target) == ("t", "CancelTask", "x")
    assert answered(queues.audit_page("t"), s.ListAuditsResponse()).following is None


def test_an_explanation_and_a_drain_of_many_are_one_call_each():
    """D9, D2."""
    assert asked(tasks.explain("x")).request.task_id == "x"
    plan = agents.drain_agents("build-*", labels={"zone": "eu-*"}, deadline=5, reason="r", dry_run=True)
    request = asked(plan).request
    assert (request.id_pattern, dict(request.labels)) == ("build-*", {"zone": "eu-*"})
    assert (request.deadline.seconds, request.reason, request.dry_run) == (5, "r", True)
    found = answered(agents.drain_agents("*"), s.DrainAgentsResponse(agent_ids=["a"]))
    assert found == ["a"]
