"""What an agent does with the instance its lease names: tries, reports, and does as it is told, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleetd.core.outcome import Advice, Failure
from fleetd.core.route import StepKind
from fleetd.core.steering import ReportLease
from fleetd.core.words import WordKind
from fleetd.errors import FleetError, Overloaded, Unavailable
from tests.simulation.network import call

if TYPE_CHECKING:
    from tests.simulation.process import Process, Work

DEADLINE = 4_000


class Tries:
    """The tries of one run. `words` is whether failures are told among the words of the session, else by calls of their own."""

    def __init__(self, process: Process, work: Work, instance: str, *, words: bool) -> None:
        self._process = process
        self._work = work
        self._world = process.world
        self._words = words
        self.instance = instance

    def over(self) -> None:
        """A try is over: go on as the instance was."""
        process, work = self._process, self._work
        if work.ended or work.ref not in process.works:
            return
        instances, random = self._world.instances, self._world.random
        assert instances is not None
        code = instances.ailment(self.instance)
        unruly = not self._world.calm and random.random() < instances.trouble.unruly
        if unruly and random.random() < 0.2:
            code = random.choice(("NO_AVAILABLE_INSTANCE", "PROVIDERS_EXHAUSTED", "CONTEXT_EXCEEDED", code))
        if not code:
            process.finish(work)
        elif not unruly:
            self._tell(code)
        elif random.random() < 0.6:
            process.say(work, WordKind.FAIL, code=code, message=f"at {self.instance}")
        else:
            process.complete(work)

    def _tell(self, code: str) -> None:
        random = self._world.random
        wait = random.choice((0, 3_000)) if code == "429" else 0
        named = self.instance if random.random() < 0.5 else ""
        if self._words:
            self._process.say(
                self._work,
                WordKind.INSTANCE_FAILED,
                code=code,
                message="no answer",
                instance=named,
                retry_after=wait,
            )
            return
        self._report(ReportLease(*self._work.ref, Failure(named, code, "no answer", wait)), code)

    def _report(self, command: ReportLease, code: str) -> None:
        process, ref = self._process, self._work.ref

        def heard(result: Any) -> None:
            if isinstance(result, Advice):
                self._world.checker.routes.advised(ref.task_id, ref.lease_epoch, result)
            elif isinstance(result, FleetError) and result.reason == "LEASE_LOST":
                self._world.checker.routes.refused(ref.task_id, ref.lease_epoch, process.agent.agent_id)

        def answered(result: Any) -> None:
            if self._work.ended or ref not in process.works:
                return
            if isinstance(result, Advice):
                self.advised(code, result)
            elif result.reason == "LEASE_LOST":
                process.drop(ref)
            elif isinstance(result, (Overloaded, Unavailable)):
                process.later(self._world.random.randrange(200, 2_000), lambda: self._report(command, code))
            else:
                process.say(self._work, WordKind.FAIL, code=code, message=result.message)

        call(
            self._world,
            process.name,
            f"report {code} of {self.instance or 'it'} for {ref.task_id}/{ref.lease_epoch}",
            lambda engine: engine.execute(command),
            lambda result: process.act(lambda: answered(result)),
            DEADLINE,
            heard,
        )

    def advised(self, code: str, advice: Advice | None) -> None:
        """Do as the daemon says; without advice the run fails."""
        process, work, random = self._process, self._work, self._world.random
        if work.ended or work.ref not in process.works:
            return
        step = advice.step if advice is not None else None
        process.note(f"is advised {step} for {work.ref.task_id}/{work.ref.lease_epoch}")
        if advice is None or step is None or step.kind is StepKind.PROCEED:
            process.say(work, WordKind.FAIL, code=code, message=f"at {self.instance}")
            return
        if step.kind in (StepKind.RETRY_SAME, StepKind.SWITCH):
            if advice.instance is not None:
                self.instance = advice.instance.id
            process.later(step.delay + random.randrange(20, 1_500), self.over)
            return
        process.say(work, WordKind.FAIL, code=step.code, message=step.reason)
