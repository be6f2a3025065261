"""How single calls become one, and how its answer is told apart: the rules both clients share."""

from __future__ import annotations

import pytest

from fleetd_client import errors, task
from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.joint import JOINTS, Line, Waiting
from fleetd_client.routes import outcome, to_route

SUBMIT = JOINTS["SubmitTask"]
REPORT = JOINTS["ReportTasks"]


class Caller(Waiting):
    """Keeps its answer."""

    def __init__(self, joint, request):
        super().__init__(joint, request, end=60.0)
        self.answer = None

    def settle(self, answer):
        self.gone, self.answer = True, answer


@pytest.fixture
def line():
    return Line(SUBMIT)


def join(line, *requests):
    callers = [Caller(SUBMIT, request) for request in requests]
    for one in callers:
        line.add(one)
    return callers


def test_a_batch_ends_at_a_thousand_items(line):
    """S5, S7."""
    callers = join(line, *(task(str(number)) for number in range(2_500)))
    batches = [line.take() for _ in range(4)]
    assert [len(batch) for batch in batches] == [1_000, 1_000, 500, 0]
    assert [one for batch in batches for one in batch] == callers


def test_a_batch_ends_at_three_mebibytes_but_one_large_item_travels(line):
    """S5, S7."""
    join(line, *(task("t", input=bytes(1 << 20)) for _ in range(5)), task("t", input=bytes(4 << 20)))
    assert [len(line.take()) for _ in range(5)] == [2, 2, 1, 1, 0]


def test_one_alone_is_the_single_call_and_several_are_the_batch(line):
    """S5."""
    first, second, third = join(line, task("a"), task("b"), task("c"))
    assert line.call([first]).method is m.SUBMIT_TASK
    call = line.call([second, third])
    assert call.method is m.SUBMIT_TASKS
    assert [one.title for one in call.request.tasks] == ["b", "c"]
    assert call.request.return_tasks


def test_who_left_is_not_taken_along(line):
    """S5."""
    first, second, third = join(line, task("a"), task("b"), task("c"))
    first.gone = third.gone = True
    assert line.take() == [second]
    assert line.first() is None


def test_a_batch_refused_for_what_one_item_may_have_done_is_asked_one_by_one(line):
    """S5, S3: nobody gets an error that is another's."""
    callers = join(line, task("a"), task("b"))
    line.refuse(line.take(), errors.Internal("INTERNAL", "internal error"))
    late = join(line, task("c"), task("d"))
    assert [line.take() for _ in range(3)] == [callers[:1], callers[1:], late]
    line.refuse(callers[:1], errors.Internal("INTERNAL", "internal error"))
    assert isinstance(callers[0].answer, errors.Internal)
    assert callers[1].answer is None


@pytest.mark.parametrize(
    "error",
    [
        errors.Unavailable("UNAVAILABLE", "down"),
        errors.Overloaded("QUEUE_FULL", "full", retry_after=0.5),
        errors.Denied("DENIED", "no"),
    ],
)
def test_any_other_refusal_goes_to_each_as_an_error_of_its_own(line, error):
    """S5, S3."""
    callers = join(line, task("a"), task("b"))
    line.refuse(line.take(), error)
    assert callers[0].answer is not callers[1].answer
    for one in callers:
        assert type(one.answer) is type(error)
        assert vars(one.answer) == vars(error)
        assert str(one.answer) == str(error)


def test_an_answer_that_does_not_fit_the_batch_belongs_to_nobody(line):
    """S5."""
    callers = join(line, task("a"), task("b"))
    line.settle(line.take(), s.SubmitTasksResponse(items=[s.SubmitTasksItem(task=s.Task(id="?"))]))
    assert [line.take(), line.take()] == [callers[:1], callers[1:]]


def test_an_item_without_its_task_is_asked_alone(line):
    """S5: a daemon that knows no return_tasks, or has no room for it."""
    whole, bare = join(line, task("a"), task("b"))
    items = [s.SubmitTasksItem(task_id="1", task=s.Task(id="1")), s.SubmitTasksItem(task_id="2")]
    line.settle(line.take(), s.SubmitTasksResponse(items=items))
    assert whole.answer.task.id == "1"
    assert (line.take(), bare.alone) == ([bare], True)


def reports(count, agent_id="agent-1", incarnation="i"):
    words = [s.Report(task_id="t", lease_epoch=1, report_id=number) for number in range(count)]
    return s.ReportTasksRequest(agent_id=agent_id, incarnation=incarnation, reports=words)


def test_reports_of_one_agent_share_a_call_and_get_their_own_acknowledgements():
    """S5."""
    assert REPORT.key(reports(1)) == REPORT.key(reports(2))
    assert len({REPORT.key(reports(1, *who)) for who in (("a", "i"), ("a", "j"), ("b", "i"))}) == 3
    parts = [reports(2), reports(0), reports(3)]
    joined = REPORT.call(parts).request
    assert (joined.agent_id, joined.incarnation, len(joined.reports)) == ("agent-1", "i", 5)
    response = s.ReportTasksResponse(
        acks=[s.ReportAck(report_id=number) for number in range(5)],
        lease_ttl={"seconds": 30},
        orders=[s.Order(order_id="o")],
    )
    answers = list(REPORT.answers(parts, response))
    assert [[ack.report_id for ack in one.acks] for one in answers] == [[0, 1], [], [2, 3, 4]]
    assert all((one.lease_ttl.seconds, one.orders[0].order_id) == (30, "o") for one in answers)
    del response.acks[4]
    assert list(REPORT.answers(parts, response)) == []


def test_reports_are_counted_by_their_words():
    """S5, S7."""
    line = Line(REPORT)
    for _ in range(3):
        line.add(Caller(REPORT, reports(400)))
    assert [len(line.take()) for _ in range(2)] == [2, 1]


ROUTE = JOINTS["RouteTask"]
OUTCOME = JOINTS["ReportOutcome"]


def test_routes_and_outcomes_travel_together_and_each_gets_its_own_answer():
    """S5."""
    call = ROUTE.call([to_route("a"), to_route("b")])
    assert (call.method, [one.title for one in call.request.items]) == (m.ROUTE_TASKS, ["a", "b"])
    routed = s.RouteTaskResponse(selected="x:y")
    bad = s.RouteItemError(reason="FIELD_INVALID", message="must be positive", field="min_ctx")
    items = [s.RouteTasksItem(route=routed), s.RouteTasksItem(error=bad)]
    first, second = ROUTE.answers([None, None], s.RouteTasksResponse(items=items))
    assert first == routed
    assert second.fields == (("min_ctx", "must be positive"),)

    call = OUTCOME.call([outcome(plan_id="p"), outcome(plan_id="q", code="503")])
    assert (call.method, [one.code for one in call.request.items]) == (m.REPORT_OUTCOMES, ["", "503"])
    step = s.NextStep(kind=s.StepKind.STEP_KIND_RETRY_SAME)
    lost = s.RouteItemError(reason="PLAN_NOT_FOUND", message="no plan")
    items = [s.ReportOutcomesItem(next=step), s.ReportOutcomesItem(error=lost)]
    first, second = OUTCOME.answers([None, None], s.ReportOutcomesResponse(items=items))
    assert first.next == step
    assert isinstance(second, errors.NotFound)


def test_an_item_whose_error_only_its_own_call_can_tell_is_asked_alone():
    """S5, S3."""
    line = Line(ROUTE)
    callers = [Caller(ROUTE, to_route(title)) for title in "ab"]
    for one in callers:
        line.add(one)
    odd = s.RouteItemError(reason="SOMETHING_NEW", message="?")
    items = [s.RouteTasksItem(route=s.RouteTaskResponse(selected="x")), s.RouteTasksItem(error=odd)]
    line.settle(line.take(), s.RouteTasksResponse(items=items))
    assert callers[0].answer.selected == "x"
    assert (line.take(), callers[1].alone) == ([callers[1]], True)


def test_a_route_with_a_trace_travels_alone():
    """S5, S7: every instance is named in its answer."""
    line = Line(ROUTE)
    for one in (to_route("a"), to_route("b", trace=True), to_route("c", trace=True), to_route("d")):
        line.add(Caller(ROUTE, one))
    assert [[one.request.title for one in line.take()] for _ in range(4)] == [["a"], ["b"], ["c"], ["d"]]
