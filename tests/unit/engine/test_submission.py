"""Taking tasks: T3, T4, M4."""

import pytest

from fleetd.core.submission import Submission, Submit, Taken
from fleetd.core.task import Mode, ModeSource, Payload, Priority, RetryPolicy, Spec, Status
from fleetd.core.words import WordKind
from fleetd.errors import AlreadyExists, InvalidArgument, NotFound


def item(number, **parts):
    return Submission(
        **{"id": f"item-{number}", "org_id": "default", "spec": Spec(f"work {number}"), **parts}
    )


def reasons(answers):
    return [getattr(answer, "reason", None) for answer in answers]


async def test_a_task_keeps_every_field_it_was_submitted_with(fleet):
    """T3."""
    wall = fleet.clock.wall()
    await fleet.agent("agent-9", "code", slots=1)
    parent = await fleet.submit(required_capabilities=("nobody",))
    spec = Spec("t", "d", {"m": "1"}, ("tag",), {"l": "2"}, ("code",), 7_000, 60_000, "00-trace")
    await fleet.do(
        Submit(
            (
                Submission(
                    id="full",
                    org_id="org",
                    spec=spec,
                    task_type="lint",
                    input=Payload(b"in", "text/plain"),
                    priority=Priority.URGENT,
                    mode=Mode.PULL,
                    max_attempts=7,
                    retry=RetryPolicy(5, 1.5, 6, 0.1),
                    run_at=wall + 1_000,
                    timeout=9_000,
                    deadline=wall + 70_000,
                    parent_task_id=parent.id,
                    external_ref="ref",
                    idempotency_key="key",
                    exclusive=True,
                    agent_id="agent-9",
                    body_hash=b"hash",
                ),
            )
        )
    )
    row = (await fleet.store.get_tasks(["full"], with_parts=True))["full"]
    task = row.task
    assert row.spec == spec
    assert row.parts.input == Payload(b"in", "text/plain")
    assert (task.org_id, task.task_type, task.priority, task.max_attempts) == (
        "org",
        "lint",
        Priority.URGENT,
        7,
    )
    assert (task.mode, task.mode_source) == (Mode.PULL, ModeSource.EXPLICIT)
    assert (task.retry, task.run_at, task.timeout) == (RetryPolicy(5, 1.5, 6, 0.1), wall + 1_000, 9_000)
    assert (task.deadline, task.start_by, task.created_at) == (wall + 70_000, wall + 60_000, wall)
    assert (task.parent_id, task.external_ref, task.idempotency_key) == (parent.id, "ref", "key")
    assert (task.exclusive, task.reserved_agent, task.body_hash) == (True, "agent-9", b"hash")
    assert (task.status, task.attempt, task.lease_epoch, task.version) == (Status.PENDING, 0, 0, 1)


async def test_the_same_key_and_body_return_the_first_task(fleet):
    """T4: also when it is over, and after a restart."""
    first = await fleet.submit(idempotency_key="k", body_hash=b"1")
    agent = await fleet.agent()
    await agent.say(await agent.start(), WordKind.COMPLETE)
    await fleet.restart()
    (again,) = await fleet.do(Submit((item(1, idempotency_key="k", body_hash=b"1"),)))
    assert (again.task.id, again.duplicate, again.spec.title) == (first.id, True, "work")
    assert again.task.status is Status.COMPLETED
    assert len(await fleet.rows()) == 1


async def test_the_same_key_with_another_body_is_refused(fleet):
    """T4: ALREADY_EXISTS, naming the first task."""
    first = await fleet.submit(idempotency_key="k", body_hash=b"1")
    (refusal,) = await fleet.do(Submit((item(1, idempotency_key="k", body_hash=b"2"),)))
    assert isinstance(refusal, AlreadyExists)
    assert (refusal.reason, refusal.metadata) == ("IDEMPOTENCY_KEY_REUSED", {"task_id": first.id})


async def test_keys_belong_to_their_org(fleet):
    """T4."""
    first = await fleet.submit(idempotency_key="k", body_hash=b"1")
    other = await fleet.submit(idempotency_key="k", body_hash=b"2", org_id="other")
    assert first.id != other.id


async def test_a_key_counts_within_one_batch_and_across_commands_of_one_transaction(fleet):
    """T4."""
    same = {"idempotency_key": "k", "body_hash": b"1"}
    (one, two), (three,) = await fleet.together(
        Submit((item(1, **same), item(2, **same))), Submit((item(3, **same),))
    )
    assert [answer.task.id for answer in (one, two, three)] == ["item-1"] * 3
    assert [answer.duplicate for answer in (one, two, three)] == [False, True, True]
    assert [answer.spec.title for answer in (one, two, three)] == ["work 1"] * 3


async def test_one_bad_item_never_sinks_the_others(fleet):
    """T4: each has its own answer, in order."""
    wall = fleet.clock.wall()
    await fleet.submit(external_ref="taken", idempotency_key="used", body_hash=b"1")
    answers = await fleet.do(
        Submit(
            (
                item(0),
                item(1, parent_task_id="nobody"),
                item(2, external_ref="taken"),
                item(3, idempotency_key="used", body_hash=b"2"),
                item(4, deadline=wall),
                item(5, deadline=wall + 5, run_at=wall + 5),
                item(6, agent_id="nobody"),
                item(7),
            )
        )
    )
    assert reasons(answers) == [
        None,
        "TASK_NOT_FOUND",
        "EXTERNAL_REF_IN_USE",
        "IDEMPOTENCY_KEY_REUSED",
        "FIELD_INVALID",
        "FIELD_INVALID",
        "AGENT_NOT_FOUND",
        None,
    ]
    assert [answers[n].fields[0][0] for n in (4, 5)] == ["deadline", "run_at"]
    assert {row.id for row in await fleet.rows()} == {"task-0001", "item-0", "item-7"}


async def test_refusals_are_of_the_kinds_callers_can_act_on(fleet):
    """T4, S3."""
    for parts, kind in (
        ({"parent_task_id": "x"}, NotFound),
        ({"agent_id": "x"}, NotFound),
        ({"deadline": 1}, InvalidArgument),
    ):
        with pytest.raises(kind):
            await fleet.submit(**parts)


async def test_an_external_ref_is_unique_among_tasks_that_are_not_over(fleet):
    """T3: per org, and free again once its task is terminal."""
    await fleet.submit(external_ref="issue-1")
    with pytest.raises(AlreadyExists):
        await fleet.submit(external_ref="issue-1")
    await fleet.submit(external_ref="issue-1", org_id="other")
    agent = await fleet.agent(slots=2)
    await agent.say(await agent.start(), WordKind.COMPLETE)
    again = await fleet.submit(external_ref="issue-1")
    assert again.external_ref == "issue-1"


async def test_an_external_ref_counts_within_one_transaction(fleet):
    """T3, T4."""
    (first, second), (third,) = await fleet.together(
        Submit((item(1, external_ref="r"), item(2, external_ref="r"))), Submit((item(3, external_ref="r"),))
    )
    assert isinstance(first, Taken)
    assert reasons([second, third]) == ["EXTERNAL_REF_IN_USE"] * 2


async def test_a_ref_that_becomes_free_in_the_transaction_may_be_taken_in_it(fleet):
    """T3."""
    task = await fleet.submit(external_ref="r")
    agent = await fleet.agent()
    offer = await agent.start()
    _, (answer,) = await fleet.together(
        agent.saying(offer, WordKind.COMPLETE), Submit((item(1, external_ref="r"),))
    )
    assert isinstance(answer, Taken)
    assert await fleet.status(task.id) is Status.COMPLETED


async def test_a_child_is_in_the_lineage_of_its_parent(fleet):
    """T3, T8: child_of, from both ends."""
    parent = await fleet.submit()
    child = await fleet.submit(parent_task_id=parent.id)
    for task_id in (parent.id, child.id):
        ((owner, edge),) = await fleet.store.lineage(task_id)
        assert (owner, edge.kind, edge.from_task_id) == (child.id, "child_of", parent.id)


async def test_a_parent_may_come_in_the_same_batch(fleet):
    """T4."""
    answers = await fleet.do(Submit((item(1), item(2, parent_task_id="item-1"))))
    assert reasons(answers) == [None, None]
