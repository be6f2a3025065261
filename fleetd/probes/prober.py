"""
Probes of all instances in the background (spec R1): nothing waits for them, their results are reported as conditions.

Every instance has its own rhythm, the interval with jitter, so that thousands of them are not asked in the same moment. A round, once a second,
looks at the present instances and starts what is due; at most `concurrency` probes run at once, never two of one instance.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from fleetd.clock import Clock
from fleetd.core.instance import Condition, Instance, InstanceState, ProbeKind
from fleetd.core.probing import Outcome, ProbeResult, ProbeRules, Record, judge
from fleetd.engine.log import Log
from fleetd.probes.asker import Asker

ROUND = 1_000
"""Milliseconds between two looks at the instances: a new one waits no longer for its first probe."""

Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """`interval` between probes of one instance and `timeout` of one probe in milliseconds; `jitter` is a share of the interval, either way."""

    interval: int = 10_000
    jitter: float = 0.2
    timeout: int = 1_500
    concurrency: int = 64
    rules: ProbeRules = field(default_factory=ProbeRules)


async def keep_probing(
    options: ProbeOptions,
    *,
    targets: Callable[[], Sequence[Instance]],
    condition: Callable[[str], Condition | None],
    report: Callable[[str, Condition], object],
    credentials: Callable[[str], bool],
    clock: Clock,
    log: Log,
) -> None:
    """Probe until cancelled; the arguments are those of Prober."""
    async with Asker(options.timeout, clock) as asker:
        prober = Prober(
            options,
            ask=asker.ask,
            targets=targets,
            condition=condition,
            report=report,
            credentials=credentials,
            clock=clock,
            log=log,
        )
        await prober.run()


class Prober:
    """Keeps the conditions of instances fresh."""

    def __init__(
        self,
        options: ProbeOptions,
        *,
        ask: Callable[[Instance], Awaitable[ProbeResult]],
        targets: Callable[[], Sequence[Instance]],
        condition: Callable[[str], Condition | None],
        report: Callable[[str, Condition], object],
        credentials: Callable[[str], bool],
        clock: Clock,
        log: Log,
        sleep: Sleep = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        """
        Make a prober.

        Args:
            options: rhythm and rules.
            ask: makes one probe; see Asker.
            targets: the present instances; those without a probe get only their credentials looked at.
            condition: how an instance is now; None when there is no such instance any more.
            report: takes a condition that changed; must not block.
            credentials: tells whether the credential of that name ("env:NAME", "file:PATH") is there.
            clock: for the rhythm, latencies, and `since` of conditions.
            log: told of defects only; what is wrong with an instance stands in its condition.
            sleep: waits between rounds, in seconds.
            random: for the jitter.
        """
        self._options = options
        self._ask = ask
        self._read_targets = targets
        self._condition = condition
        self._report = report
        self._credentials = credentials
        self._clock = clock
        self._log = log
        self._sleep = sleep
        self._random = random or Random()  # noqa: S311 - jitter, nothing secret
        self._targets: dict[str, Instance] = {}
        self._due: dict[str, float] = {}
        self._records: dict[str, Record] = {}
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._running: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look at the instances every second until cancelled; then no probe is left."""
        try:
            while True:
                try:
                    self.round()
                except Exception as error:  # noqa: BLE001 - said in full; the next round may fare better
                    self._log.error("probe_round_failed", exc_info=error)
                await self._sleep(ROUND / 1_000)
        finally:
            self._waiting.clear()
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def round(self) -> None:
        """Find out what is due, and start as much of it as may run; the rest starts as probes end."""
        now = self._clock.now()
        self._follow({each.id: each for each in self._read_targets() if each.enabled})
        for instance_id in self._targets:
            if self._due.get(instance_id, now) > now or instance_id in self._running:
                continue
            spread = self._options.jitter * (2 * self._random.random() - 1)
            self._due[instance_id] = now + self._options.interval * (1 + spread)
            self._waiting[instance_id] = None
        self._fill()

    async def idle(self) -> None:
        """Wait until no probe is under way."""
        while self._running:
            await asyncio.wait(self._running.values())

    def _fill(self) -> None:
        # Thousands of tasks made in one go would hold up the loop, and with it routes.
        while self._waiting and len(self._running) < self._options.concurrency:
            instance_id, _ = self._waiting.popitem(last=False)
            try:
                self._begin(instance_id)
            except Exception as error:  # noqa: BLE001 - said in full; the other probes go on
                self._log.error("probe_not_begun", instance=instance_id, exc_info=error)

    def _begin(self, instance_id: str) -> None:
        instance = self._targets.get(instance_id)
        condition = self._with_credentials(instance) if instance else None
        if instance and condition and instance.probe is not ProbeKind.NONE and not _is_held(condition):
            self._running[instance_id] = asyncio.create_task(self._probe(instance))

    def _follow(self, targets: dict[str, Instance]) -> None:
        """Forget what is gone; begin anew with what is asked elsewhere than before."""
        for instance_id, before in self._targets.items():
            after = targets.get(instance_id)
            if after is None or _asked(after) != _asked(before):
                self._due.pop(instance_id, None)
                self._records.pop(instance_id, None)
        self._targets = targets

    def _with_credentials(self, instance: Instance) -> Condition | None:
        """Return the condition with the truth about the instance's credential, which may come and go like a mounted file."""
        condition = self._condition(instance.id)
        if condition is None:
            return None
        present = not instance.credential or self._credentials(instance.credential)
        if present is condition.credentials:
            return condition
        changed = replace(condition, credentials=present)
        self._report(instance.id, changed)
        return changed

    async def _probe(self, instance: Instance) -> None:
        try:
            self._take(instance, await self._asked(instance))
        except Exception as error:  # noqa: BLE001 - said in full; the other probes go on
            self._log.error("probe_not_reported", instance=instance.id, exc_info=error)
        finally:
            del self._running[instance.id]
            self._fill()

    async def _asked(self, instance: Instance) -> ProbeResult:
        try:
            return await self._ask(instance)
        except Exception as error:  # noqa: BLE001 - whatever a server does to the client, its instance is not well
            self._log.error("probe_broke", instance=instance.id, exc_info=error)
            return ProbeResult(Outcome.FAILED, detail=f"the probe broke: {type(error).__name__}")

    def _take(self, instance: Instance, result: ProbeResult) -> None:
        """Report what the probe changed, unless it was asked where the instance no longer is."""
        present = self._targets.get(instance.id)
        condition = self._condition(instance.id)
        if condition is None or present is None or _asked(present) != _asked(instance):
            return
        record = self._records.get(instance.id, Record())
        after, record = judge(condition, record, result, self._options.rules, self._clock.wall())
        self._records[instance.id] = record
        if after != condition:
            self._report(instance.id, after)


def _asked(instance: Instance) -> tuple[ProbeKind, str]:
    return instance.probe, instance.probe_url


def _is_held(condition: Condition) -> bool:
    return condition.held or condition.state is InstanceState.STOPPED
