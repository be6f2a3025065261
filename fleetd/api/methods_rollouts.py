"""Router: gradual rollout between two modes (spec G1 to G7)."""

from __future__ import annotations

from fleet.v1 import rollout_pb2
from fleet.v1 import router_pb2 as pb
from fleetd.api.calls import Call
from fleetd.api.convert_decisions import (
    Outcome,
    check_mode,
    comparison_out,
    decision_into,
    figures_into,
    state_into,
    use_in,
)
from fleetd.api.convert_rollouts import rollout_in, rollout_into
from fleetd.api.convert_times import milliseconds
from fleetd.api.ids import NewId
from fleetd.api.limits import DAY, SECOND, Limits
from fleetd.api.methods_tasks import REASON
from fleetd.api.pages import fitting, make_token, page_size, read_number, read_token
from fleetd.api.validate import WORD, Fields
from fleetd.core.audit import Audited
from fleetd.core.fallback import Fallback, Forced, Phase, decayed
from fleetd.core.rolling import ForceFallback, PutRollout, RemoveRollout, ResetFallback, own_holds
from fleetd.core.rollout import Rollout, Sample
from fleetd.core.rolloutbook import Scope
from fleetd.engine.engine import Engine
from fleetd.errors import InvalidArgument

LONGEST_FORCE = 30 * DAY
EXAMINED = 10_000
"""Comparisons one page may look at."""
LIST = b"rollouts"
"""What tokens of the list of rollouts are bound to."""
MOST_VERSION = (1 << 63) - 1


class RolloutMethods:
    """Definitions, decisions, fallback and figures of rollouts."""

    def __init__(self, engine: Engine, limits: Limits, new_id: NewId) -> None:
        self._engine = engine
        self._book = engine.rollout_book
        self._limits = limits
        self._new_id = new_id

    async def put_rollout(self, request: pb.PutRolloutRequest, call: Call) -> rollout_pb2.Rollout:
        fields = Fields()
        version = fields.number("expected_version", request.expected_version, 0, MOST_VERSION)
        fields.check()
        try:
            rollout = rollout_in(request.rollout)
        except InvalidArgument as error:
            raise InvalidArgument([(f"rollout.{path}", right) for path, right in error.fields]) from None
        act = PutRollout(rollout, version)
        made: Rollout = await self._engine.execute(Audited(act, call.actor, "PutRollout", rollout.name))
        return _rollout_out(made)

    async def get_rollout(self, request: pb.GetRolloutRequest, call: Call) -> pb.GetRolloutResponse:
        fields = Fields()
        name = fields.name("name", request.name, required=True)
        fields.check()
        return self._shown(self._book.find_present(name))

    async def list_rollouts(self, request: pb.ListRolloutsRequest, call: Call) -> pb.ListRolloutsResponse:
        fields = Fields()
        limit = page_size(request.page_size, 100, self._limits.page, fields)
        after = read_token(request.page_token, LIST, fields)
        fields.check()
        names = [name for name in self._book.present.names() if name > after]
        shown = (self._shown(self._book.find_present(name)) for name in names[:limit])
        rollouts = fitting(shown, self._limits.delivery)
        more = len(rollouts) < len(names)
        return pb.ListRolloutsResponse(
            rollouts=rollouts,
            next_page_token=make_token(rollouts[-1].rollout.name, LIST) if more else "",
        )

    async def remove_rollout(self, request: pb.RemoveRolloutRequest, call: Call) -> pb.RemoveRolloutResponse:
        fields = Fields()
        name = fields.name("name", request.name, required=True)
        reason = fields.text("reason", request.reason, REASON)
        fields.check()
        await self._engine.execute(Audited(RemoveRollout(name), call.actor, "RemoveRollout", name, reason))
        return pb.RemoveRolloutResponse()

    async def decide_mode(self, request: pb.DecideModeRequest, call: Call) -> rollout_pb2.ModeDecision:
        fields = Fields()
        use = use_in(request.use, "use", fields)
        fields.check()
        decision_id = "" if request.dry_run else self._new_id()
        decision = self._engine.rollouts.decide(*use, decision_id, dry_run=request.dry_run)
        message = rollout_pb2.ModeDecision()
        decision_into(message, decision, decision_id)
        return message

    async def force_fallback(self, request: pb.ForceFallbackRequest, call: Call) -> rollout_pb2.FallbackState:
        fields = Fields()
        scope = _scope(request.rollout, request.org_id, fields)
        reason = fields.text("reason", request.reason, REASON, required=True)
        until = 0
        if request.HasField("duration"):
            until = self._engine.clock.wall() + milliseconds(
                request.duration, "duration", fields, SECOND, LONGEST_FORCE
            )
        fields.check()
        act = ForceFallback(scope, Forced(not request.off, reason, call.actor, until))
        done = await self._engine.execute(
            Audited(act, call.actor, "ForceFallback", ":".join(filter(None, scope)), reason)
        )
        return self._state(scope, done)

    async def reset_fallback(self, request: pb.ResetFallbackRequest, call: Call) -> rollout_pb2.FallbackState:
        fields = Fields()
        scope = _scope(request.rollout, request.org_id, fields)
        reason = fields.text("reason", request.reason, REASON, required=True)
        fields.check()
        act = ResetFallback(scope, reason)
        done = await self._engine.execute(
            Audited(act, call.actor, "ResetFallback", ":".join(filter(None, scope)), reason)
        )
        return self._state(scope, done)

    async def get_rollout_metrics(
        self, request: pb.GetRolloutMetricsRequest, call: Call
    ) -> pb.GetRolloutMetricsResponse:
        fields = Fields()
        name, org_id = _scope(request.rollout, request.org_id, fields)
        if request.orgs and org_id:
            fields.refuse("orgs", "must not be given together with org_id")
        fields.check()
        response = pb.GetRolloutMetricsResponse()
        self._figures_into(response.metrics, name, org_id)
        if request.orgs:
            for each in self._engine.rollouts.orgs(name):
                self._figures_into(response.orgs.add(), name, each)
        return response

    async def list_comparisons(
        self, request: pb.ListComparisonsRequest, call: Call
    ) -> pb.ListComparisonsResponse:
        fields = Fields()
        rollout = fields.name("rollout", request.rollout)
        found = fields.text("id", request.id, WORD)
        limit = page_size(request.page_size, 100, self._limits.page, fields)
        mark = f"{rollout}\n{found}\n{request.different}".encode()
        before = read_number(request.page_token, mark, fields)
        fields.check()
        page = await self._engine.store.list_comparisons(
            rollout, found, before, limit, EXAMINED, different=request.different
        )
        following = page.next_before
        return pb.ListComparisonsResponse(
            comparisons=[comparison_out(each) for each in page.comparisons],
            next_page_token=make_token(str(following), mark) if following else "",
        )

    def _shown(self, rollout: Rollout) -> pb.GetRolloutResponse:
        response = pb.GetRolloutResponse(rollout=_rollout_out(rollout))
        self._state_into(response.fallback, (rollout.name, ""))
        states = self._book.present.states
        orgs = (
            scope for scope, state in states.items() if scope[0] == rollout.name and _stands_out(scope, state)
        )
        for scope in sorted(orgs):
            self._state_into(response.orgs.add(), scope)
        return response

    def _figures_into(self, message: rollout_pb2.RolloutMetrics, name: str, org_id: str) -> None:
        figures_into(message, self._engine.rollouts.figures(name, org_id))
        state = self._book.present.state
        own = not org_id or own_holds(state((name, org_id)), state((name, "")))
        self._state_into(message.fallback, (name, org_id if own else ""))

    def _state(self, scope: Scope, state: Fallback) -> rollout_pb2.FallbackState:
        message = rollout_pb2.FallbackState()
        rules = self._book.find_present(scope[0]).fallback
        state_into(message, scope, state, _dwell(state, decayed(state, rules, self._engine.clock.wall())))
        return message

    def _state_into(self, message: rollout_pb2.FallbackState, scope: Scope) -> None:
        message.CopyFrom(self._state(scope, self._book.present.state(scope)))


def reported(outcome: Outcome, code: str, latency: int, engine: Engine) -> Sample:
    """
    Return the sample of an outcome that stands alone. Raises NotFound ROLLOUT_NOT_FOUND, InvalidArgument for a mode that is none of the rollout's or has no shadows, or an
    epoch that has not begun: it would count in every later one, whatever is reset (G4b).
    """
    rollout = engine.rollout_book.find_present(outcome.rollout)
    newest = engine.rollout_book.present.epoch(rollout.name)
    if outcome.epoch > newest:
        right = f"must be as the decision said: the newest is {newest}, not {outcome.epoch}"
        raise InvalidArgument([("rollout.epoch", right)])
    check_mode(outcome.mode, (rollout.old.name, rollout.new.name), "rollout.mode")
    if outcome.shadow and outcome.mode != rollout.new.name:
        raise InvalidArgument(
            [("rollout.mode", f"must be {rollout.new.name} with shadow: the old mode has none")]
        )
    return Sample(rollout.name, outcome.org_id, outcome.mode, outcome.epoch, code, latency, outcome.shadow)


def _rollout_out(rollout: Rollout) -> rollout_pb2.Rollout:
    message = rollout_pb2.Rollout()
    rollout_into(message, rollout)
    return message


def _scope(rollout: str, org_id: str, fields: Fields) -> Scope:
    return fields.name("rollout", rollout, required=True), fields.name("org_id", org_id)


def _dwell(state: Fallback, following: int) -> int:
    return following if state.phase is Phase.NORMAL else state.dwell


def _stands_out(scope: Scope, state: Fallback) -> bool:
    return bool(scope[1]) and (state.phase is not Phase.NORMAL or state.forced is not None)
