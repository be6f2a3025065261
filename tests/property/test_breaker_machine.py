"""Breakers against a naive model: whatever fails, hangs, comes late or restarts, they spare what is ill and give back what is well. F3."""

import itertools
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fleetd.core.breaker import WINDOW_KEPT, Breaker, BreakerKind, BreakerRules, BreakerState, Change
from fleetd.core.failover import Counts, fault, hits, next_step
from fleetd.core.instance import Instance, Kind, provider_of
from fleetd.core.route import StepKind
from fleetd.engine.half_open import Probes

RULES = BreakerRules()
START = 1_750_000_000_000
NAMES = ("openai", "ollama:llama")
STORED = ("kind", "name", "state", "failures", "opened_at", "retry_at", "last_error", "forced", "epoch")
COUNTED = ("CONN_REFUSED", "TIMEOUT", "503", "529", "429", "AUTH", "BILLING")
HARMLESS = (
    "BAD_REQUEST",
    "POLICY",
    "LOGIC_ERROR",
    "AGENT_ERROR",
    "CONTEXT_EXCEEDED",
    "CANCELLED",
    "BREAKER_OPEN",
    "?",
)
TIMES = (0, 1, 1_000, 30_000, 59_999, 60_000, 150_000, 299_999, 300_000, 1_800_000)

GAPS = (0, 59_999, 60_000)

names = st.sampled_from(NAMES)
sources = st.sampled_from(("", "task-1", "task-2"))


@dataclass(frozen=True)
class Flight:
    """A call under way: through which breaker, since which of its openings, and the probe it holds."""

    name: str
    source: str
    openings: int
    epoch: int
    probing: bool
    token: int | None


@dataclass
class Model:
    """
    What a breaker must be, told from its history alone: every outcome since it last opened or closed, and how often it did either.

    `history` holds (at, what, source), what being one of ok, strike, limited.
    """

    state: BreakerState = BreakerState.CLOSED
    retry_at: int = 0
    openings: int = 0
    history: list[tuple[int, str, str]] = field(default_factory=list)
    lost: int = 0

    def turn(self, state: BreakerState, retry_at: int = 0) -> None:
        self.state, self.retry_at = state, retry_at
        self.openings += 1
        self.history, self.lost = [], 0

    def must_open(self, now: int) -> bool:
        strikes = []
        for _, what, source in reversed(self.history):
            if what == "ok":
                break
            if what == "strike":
                strikes.append(source)
        struck = self.history[-1][1] == "strike"
        if struck and len(strikes) >= 3 and ("" in strikes or len(set(strikes)) > 1):
            return True
        recent = [(what, source) for at, what, source in self.history[self.lost :] if now - at < 60_000]
        calls = recent[-WINDOW_KEPT:]
        failed = [source for what, source in calls if what != "ok"]
        return len(calls) >= 10 and len(failed) * 2 > len(calls) and ("" in failed or len(set(failed)) > 1)


class BreakerMachine(RuleBasedStateMachine):
    """F3, F3a, F3b, F3c."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.breakers = {name: Breaker(BreakerKind.INSTANCE, name) for name in NAMES}
        self.models = {name: Model() for name in NAMES}
        self.probes = Probes()
        self.holders: dict[str, int] = {}
        self.flights: list[Flight] = []

    def told(self, name: str, change: Change | None) -> None:
        """Check what a breaker says of itself against its model."""
        breaker, model = self.breakers[name], self.models[name]
        expected = {BreakerState.OPEN: Change.OPENED, BreakerState.CLOSED: Change.CLOSED}
        assert change in (None, expected.get(model.state))
        assert (breaker.state, breaker.retry_at) == (model.state, model.retry_at)

    @rule(name=names, source=sources)
    def call(self, name, source):
        """Somebody wants to call; half-open, the holder of the probe alone may (F3b)."""
        breaker, model = self.breakers[name], self.models[name]
        passes = model.state is not BreakerState.OPEN or self.now >= model.retry_at
        assert breaker.admits(self.now) == passes
        if not passes:
            return
        probing, token = model.state is not BreakerState.CLOSED, None
        if probing:
            free = self.holders.get(name, 0) <= self.now
            token = self.probes.take(breaker.key, self.now, RULES)
            assert (token is not None) == free
            if token is None:
                return
            self.holders[name] = self.now + 60_000
        self.flights.append(Flight(name, source, model.openings, breaker.epoch, probing, token))

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), code=st.sampled_from(("", "", *COUNTED, *HARMLESS)), again=st.integers(1, 4))
    def outcome(self, data, code, again):
        """A call reports, now and then more than once."""
        flight = self.flights.pop(data.draw(st.integers(0, len(self.flights) - 1)))
        if flight.token is not None and self.probes.release(self.breakers[flight.name].key, flight.token):
            self.holders.pop(flight.name)
        for _ in range(again):
            self.report(flight, code)

    def report(self, flight: Flight, code: str) -> None:
        breaker, model, now = self.breakers[flight.name], self.models[flight.name], self.now
        counts = Counts.NOTHING if not code else fault(code).counts
        if code and counts is Counts.NOTHING:
            return
        late = flight.openings != model.openings or (
            model.state is BreakerState.OPEN and now < model.retry_at
        )
        asked = model.state is not BreakerState.CLOSED
        if not code:
            change = breaker.succeed(now, RULES, epoch=flight.epoch)
            what = "ok"
        else:
            change = breaker.fail(
                now,
                RULES,
                code,
                "",
                epoch=flight.epoch,
                ratio_only=counts is Counts.RATIO,
                open_for=RULES.auth_open_for if counts is Counts.OPEN_LONG else None,
                source=flight.source,
            )
            what = "limited" if counts is Counts.RATIO else "strike"
        if not late:
            model.history.append((now, what, flight.source))
            if not code and asked:
                model.turn(BreakerState.CLOSED)
            elif counts is Counts.OPEN_LONG:
                model.turn(BreakerState.OPEN, now + 1_800_000)
            elif code and (asked or model.must_open(now)):
                model.turn(BreakerState.OPEN, now + 300_000)
        self.told(flight.name, change)

    @precondition(lambda self: self.flights)
    @rule(data=st.data())
    def never_reports(self, data):
        """The caller is gone; its probe, if it held one, ends by itself (F3c)."""
        self.flights.pop(data.draw(st.integers(0, len(self.flights) - 1)))

    @rule(
        name=names,
        source=sources,
        codes=st.lists(st.sampled_from(("", "429", "429", "503")), min_size=9, max_size=12),
        gap=st.sampled_from(GAPS),
    )
    def traffic(self, name, source, codes, gap):
        """So many calls in a row that their ratio is known, the first of them `gap` ms before the others."""
        for number, code in enumerate(codes):
            breaker, model = self.breakers[name], self.models[name]
            if model.state is not BreakerState.CLOSED:
                return
            self.report(Flight(name, source, model.openings, breaker.epoch, probing=False, token=None), code)
            self.now += 0 if number else gap

    @rule(name=names)
    def probe_hangs(self, name):
        """As soon as it may, somebody asks whether it is well, and is never heard of again (F3c)."""
        self.now = max(self.now, self.models[name].retry_at)
        before = len(self.flights)
        self.call(name, "")
        del self.flights[before:]

    @rule(step=st.sampled_from(TIMES))
    def later(self, step):
        self.now += step

    @rule(name=names)
    def sweep(self, name):
        """The timer looks; that it may come late, or never, is part of the game."""
        model = self.models[name]
        due = model.state is BreakerState.OPEN and self.now >= model.retry_at
        assert self.breakers[name].due(self.now) is (Change.HALF_OPENED if due else None)
        if due:
            model.state = BreakerState.HALF_OPEN

    @rule(name=names, duration=st.sampled_from((1, 60_000, 300_000)))
    def force(self, name, duration):
        assert self.breakers[name].force(self.now, duration, "by hand") is Change.OPENED
        self.models[name].turn(BreakerState.OPEN, self.now + duration)

    @rule(name=names)
    def reset(self, name):
        model = self.models[name]
        change = self.breakers[name].reset(self.now)
        assert (change is Change.CLOSED) == (model.state is not BreakerState.CLOSED)
        if change is None:
            model.history, model.lost = [], 0
        else:
            model.turn(BreakerState.CLOSED)

    @rule()
    def restart(self):
        """Only what is stored comes back: the remaining time does, whose the strikes were and the window do not (F3)."""
        for name, breaker in self.breakers.items():
            again = Breaker(**{one: getattr(breaker, one) for one in STORED})
            assert again == breaker
            self.breakers[name] = again
            model = self.models[name]
            model.history = [(at, what, "") for at, what, _ in model.history]
            model.lost = len(model.history)
        self.probes, self.holders = Probes(), {}

    @invariant()
    def only_what_is_due_is_admitted(self):
        """F3: an open breaker keeps its time to the millisecond."""
        for name, breaker in self.breakers.items():
            self.told(name, None)
            if breaker.state is BreakerState.OPEN:
                assert breaker.admits(breaker.retry_at)
                assert not breaker.admits(breaker.retry_at - 1)

    @invariant()
    def one_probe_at_a_time(self):
        """F3b: the places that are held are those of the model, one for each breaker at most."""
        held = {(BreakerKind.INSTANCE, name): until for name, until in self.holders.items() if until > self.now}
        assert self.probes.held(self.now) == held

    @invariant()
    def recovery_is_always_reachable(self):
        """F3c: when the time of every breaker and probe is over, one success makes any of them well, whoever never reported."""
        held = self.probes.held(self.now)
        for breaker in self.breakers.values():
            well = breaker.copy()
            at = max(self.now, well.retry_at, held.get(well.key, 0))
            well.due(at)
            assert well.admits(at)
            if well.state is not BreakerState.CLOSED:
                assert all(until <= at for key, until in held.items() if key == well.key)
                assert well.succeed(at, RULES, epoch=well.epoch) is Change.CLOSED
            assert (well.state, well.failures if well.epoch > breaker.epoch else 0) == (
                BreakerState.CLOSED,
                0,
            )


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)

IDS = (
    "openai:a",
    "openai:b",
    "openai:c",
    "azure:a",
    "azure:b",
    "mistral",
    "ollama:a",
    "ollama:b",
    "ollama:c",
)


class Walk:
    """One task on its way over a fleet, as the engine will lead it: ladder, strikes, next instance, until its end."""

    def __init__(self, codes: dict[str, str], rules: BreakerRules) -> None:
        self.codes = codes
        self.rules = rules
        self.instances = {
            name: Instance(name, provider_of(name), Kind.LOCAL if name.startswith("ollama") else Kind.CLOUD)
            for name in codes
        }
        self.breakers: dict[tuple[BreakerKind, str], Breaker] = {}
        self.counted: set[str] = set()
        self.now = START
        self.opened: list[tuple[BreakerKind, str]] = []

    def breaker(self, kind: BreakerKind, name: str) -> Breaker:
        return self.breakers.setdefault((kind, name), Breaker(kind, name))

    def lone(self, instance: Instance) -> bool:
        return sum(other.provider_id == instance.provider_id for other in self.instances.values()) == 1

    def eligible(self, instance: Instance) -> bool:
        keys = ((BreakerKind.INSTANCE, instance.id), (BreakerKind.PROVIDER, instance.provider_id))
        return all(self.breaker(*key).admits(self.now) for key in keys)

    def run(self, source: str) -> StepKind:
        """Lead the task to its end."""
        tried: list[str] = []
        present, retries = next(iter(self.codes)), 0
        for _ in range(1 + 4 * len(self.codes)):
            instance, row = self.instances[present], fault(self.codes[present])
            for early in (True, False):
                fit = [name for name, one in self.instances.items() if self.eligible(one)]
                fresh = [name for name in fit if name != present and name not in tried]
                step = next_step(
                    row,
                    instance=instance,
                    retries=retries,
                    retry_after=0,
                    deadline=0,
                    now=self.now,
                    following=next(iter(fresh or fit), "") if not row.larger_ctx else "",
                    only_eligible=present in fit and not fresh,
                    draw=0.5,
                    jitter=0.0,
                    tried=tried,
                    broken=present not in fit,
                )
                if early and (step.kind is not StepKind.RETRY_SAME or self.rules.per_attempt):
                    self.strike(row, instance, source)
            self.now += step.delay
            if step.kind is StepKind.RETRY_SAME:
                retries += 1
            elif step.kind is StepKind.SWITCH:
                tried.append(present)
                present, retries = step.instance, 0
                assert present not in tried
            else:
                return step.kind
        raise AssertionError("the task never ends")

    def strike(self, row, instance: Instance, source: str) -> None:
        for hit in hits(row, instance, alone=self.lone(instance)):
            self.counted.add(instance.id)
            breaker = self.breaker(hit.kind, hit.name)
            change = breaker.fail(
                self.now,
                self.rules,
                row.code,
                "",
                epoch=breaker.epoch,
                ratio_only=hit.counts is Counts.RATIO,
                open_for=self.rules.auth_open_for if hit.counts is Counts.OPEN_LONG else None,
                source=source,
            )
            if change is Change.OPENED:
                self.opened.append((hit.kind, hit.name))


fleets = st.lists(st.sampled_from(IDS), min_size=1, unique=True)


def fleet_failing_with(codes):
    return fleets.flatmap(lambda ids: st.fixed_dictionaries({name: st.sampled_from(codes) for name in ids}))


@given(fleet_failing_with(HARMLESS), st.booleans())
def test_a_task_at_fault_itself_opens_no_breaker(codes, per_attempt):
    """F3a: MUST NOT; a bad request, a bad handler, a cancel or a context too long is no strike anywhere, however often."""
    walk = Walk(codes, BreakerRules(per_attempt=per_attempt))
    for number in range(12):
        walk.run(f"task-{number}")
    assert walk.opened == []
    assert all(breaker == Breaker(breaker.kind, breaker.name) for breaker in walk.breakers.values())


@given(fleet_failing_with((*COUNTED, *HARMLESS)), st.booleans())
def test_one_poisoned_task_opens_only_what_refused_its_account(codes, per_attempt):
    """F3a: MUST NOT open every breaker: four runs (three replays) over the whole fleet open at most the instances that said AUTH or BILLING."""
    walk = Walk(codes, BreakerRules(per_attempt=per_attempt))
    for _ in range(4):
        walk.run("poisoned")
        walk.now += 1_000
    instances = {name for kind, name in walk.opened if kind is BreakerKind.INSTANCE}
    assert instances <= {name for name in walk.counted if codes[name] in ("AUTH", "BILLING")}
    assert len(instances) <= len(walk.counted)
    for _, name in (one for one in walk.opened if one[0] is BreakerKind.PROVIDER):
        assert all(one in instances for one in codes if provider_of(one) == name), "it has no other instance"


@given(fleet_failing_with([code for code in COUNTED if code != "429"]), st.booleans())
def test_an_outage_opens_breakers_and_ends_in_waiting(codes, per_attempt):
    """F3, F6: when everything fails for everybody the breakers open, and a task that comes then waits BLOCKED."""
    walk = Walk(codes, BreakerRules(per_attempt=per_attempt))
    ends = []
    for number in itertools.count():
        ends.append(walk.run(f"task-{number}"))
        if not any(walk.eligible(one) for one in walk.instances.values()):
            break
        assert number < 40 * len(codes), "the outage is never noticed"
    assert ends[-1] is StepKind.BLOCK
    assert set(ends[:-1]) <= {StepKind.GIVE_UP}
