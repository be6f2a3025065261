"""The error table, row by row against the specification, against the page for users, and what it makes of breakers and tasks. F3, F4, T2."""

from pathlib import Path

import pytest

from fleetd.core.breaker import BreakerKind, BreakerRules
from fleetd.core.failover import FAULTS, Attribution, Counts, Fault, fault, hits, is_instance_fault, verdict
from fleetd.core.instance import Instance, Kind

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"

# code: same instance again, another instance, counts for the breaker, whose fault
F4 = {
    "CONN_REFUSED": ("alone", "yes", Counts.STRIKE, Attribution.INSTANCE),
    "PROCESS_EXITED": ("alone", "yes", Counts.STRIKE, Attribution.INSTANCE),
    "FINGERPRINT_MISMATCH": ("alone", "yes", Counts.STRIKE, Attribution.INSTANCE),
    "TIMEOUT": ("ladder", "yes", Counts.STRIKE, Attribution.INSTANCE),
    "500": ("ladder", "yes", Counts.STRIKE, Attribution.INSTANCE),
    "502": ("ladder", "yes", Counts.STRIKE, Attribution.INSTANCE),
    "503": ("ladder", "yes", Counts.STRIKE, Attribution.INSTANCE),
    "504": ("ladder", "yes", Counts.STRIKE, Attribution.INSTANCE),
    "529": ("ladder", "yes", Counts.STRIKE, Attribution.PROVIDER),
    "429": ("ladder", "yes", Counts.RATIO, Attribution.PROVIDER),
    "AUTH": ("no", "yes", Counts.OPEN_LONG, Attribution.PROVIDER),
    "BILLING": ("no", "yes", Counts.OPEN_LONG, Attribution.PROVIDER),
    "INSTANCE_NOT_READY": ("alone", "yes", Counts.NOTHING, Attribution.INSTANCE),
    "BREAKER_OPEN": ("no", "yes", Counts.NOTHING, Attribution.INSTANCE),
    "NO_AVAILABLE_INSTANCE": ("no", "yes", Counts.NOTHING, Attribution.INSTANCE),
    "CONTEXT_EXCEEDED": ("no", "larger", Counts.NOTHING, Attribution.CALLER),
    "BAD_REQUEST": ("no", "no", Counts.NOTHING, Attribution.CALLER),
    "CANCELLED": ("no", "no", Counts.NOTHING, Attribution.CALLER),
    "POLICY": ("no", "no", Counts.NOTHING, Attribution.REQUEST),
    "LOGIC_ERROR": ("no", "no", Counts.NOTHING, Attribution.REQUEST),
    "AGENT_ERROR": ("no", "no", Counts.NOTHING, Attribution.AGENT),
    "AGENT_LOST": ("no", "no", Counts.NOTHING, Attribution.AGENT),
    "LEASE_EXPIRED": ("no", "no", Counts.NOTHING, Attribution.AGENT),
    "RUN_TIMEOUT": ("no", "no", Counts.NOTHING, Attribution.AGENT),
    "HOST_UNREACHABLE": ("no", "no", Counts.STRIKE, Attribution.HOST),
    "PROVIDERS_EXHAUSTED": ("no", "no", Counts.NOTHING, Attribution.PROVIDER),
    "TASK_TIMEOUT": ("no", "no", Counts.NOTHING, Attribution.REQUEST),
}
FAILED = {"CONTEXT_EXCEEDED", "BAD_REQUEST", "CANCELLED", "POLICY", "LOGIC_ERROR"}
PROVIDER_WIDE = {"529", "429", "AUTH", "BILLING"}
AGENTS = {"AGENT_ERROR", "AGENT_LOST", "LEASE_EXPIRED", "RUN_TIMEOUT"}
LIMITS = {"PROVIDERS_EXHAUSTED", "TASK_TIMEOUT"}


def again(row: Fault) -> str:
    return "ladder" if row.retry_same else "alone" if row.retry_alone else "no"


def another(row: Fault) -> str:
    return "larger" if row.larger_ctx else "yes" if row.next_instance else "no"


def test_the_table_has_the_rows_of_the_specification():
    """F4: no more and no less."""
    assert sorted(FAULTS) == sorted(F4)


@pytest.mark.parametrize("code", F4)
def test_each_row_says_what_the_specification_says(code):
    """F4: retry same / next instance / counts, and whose fault it is."""
    row = fault(code)
    assert (again(row), another(row), row.counts, row.attribution) == F4[code]
    assert row.code == code
    assert row.final == (code if code in FAILED else "")
    assert row.provider_wide == (code in PROVIDER_WIDE)
    assert row.limit == (code in LIMITS)


@pytest.mark.parametrize("code", F4)
def test_a_run_that_failed_with_a_code_is_retried_or_final_by_it_alone(code):
    """F4, T2: retryable ones are retried while attempts last, the others FAILED; only agents' own failures count among an agent's."""
    assert verdict(code) == (code not in FAILED, code in AGENTS)


@pytest.mark.parametrize("code", ["", "WHATEVER", "timeout", "418", "5xx"])
def test_unknown_codes_are_the_agents(code):
    """F4: any unknown code; none is guessed."""
    assert fault(code) is fault("AGENT_ERROR")
    assert verdict(code) == (True, True)


def test_a_larger_context_makes_a_context_that_was_exceeded_retryable():
    """F4: only larger ctx, else FAILED."""
    assert verdict("CONTEXT_EXCEEDED", larger_ctx=True) == (True, False)
    assert [verdict(code, larger_ctx=True).retryable for code in sorted(FAILED - {"CONTEXT_EXCEEDED"})] == [
        False
    ] * 4


def test_errors_of_instances_and_their_providers_are_told_from_all_others():
    """F4, R7: attribution."""
    instance = {code for code, row in F4.items() if row[3] in (Attribution.INSTANCE, Attribution.PROVIDER)}
    assert {code for code in [*F4, "WHATEVER"] if is_instance_fault(code)} == instance
    assert {"TIMEOUT", "AUTH", "NO_AVAILABLE_INSTANCE"} <= instance


def struck(code, instance, *, alone=False):
    """Return what counts for which breaker."""
    return {(hit.kind, hit.name): hit.counts for hit in hits(fault(code), instance, alone=alone)}


LOCAL = Instance("ollama:llama", "ollama", Kind.LOCAL)
CLOUD = Instance("openai:gpt-4o", "openai")
BARE = Instance("openai", "openai")


@pytest.mark.parametrize(
    "code", ["CONN_REFUSED", "PROCESS_EXITED", "FINGERPRINT_MISMATCH", "TIMEOUT", "500", "502", "503", "504"]
)
def test_an_instances_failure_is_a_strike_for_it_and_for_the_service_it_is_part_of(code):
    """F3, F4: the provider of local instances has others that are well."""
    own = (BreakerKind.INSTANCE, "ollama:llama")
    assert struck(code, LOCAL) == {own: Counts.STRIKE}
    assert struck(code, LOCAL, alone=True) == {
        own: Counts.STRIKE,
        (BreakerKind.PROVIDER, "ollama"): Counts.STRIKE,
    }
    both = {
        (BreakerKind.INSTANCE, "openai:gpt-4o"): Counts.STRIKE,
        (BreakerKind.PROVIDER, "openai"): Counts.STRIKE,
    }
    assert struck(code, CLOUD) == struck(code, CLOUD, alone=True) == both


@pytest.mark.parametrize(("code", "counts"), [("529", Counts.STRIKE), ("429", Counts.RATIO)])
def test_a_provider_wide_failure_counts_for_the_provider(code, counts):
    """F3, F4: wherever it runs."""
    assert struck(code, LOCAL) == {
        (BreakerKind.INSTANCE, "ollama:llama"): counts,
        (BreakerKind.PROVIDER, "ollama"): counts,
    }


@pytest.mark.parametrize("code", ["AUTH", "BILLING"])
def test_a_bad_account_opens_the_instance_and_strikes_a_provider_with_others(code):
    """F4, F3a: one caller with a bad key does not close a whole provider to everybody."""
    own = (BreakerKind.INSTANCE, "openai:gpt-4o")
    provider = (BreakerKind.PROVIDER, "openai")
    assert struck(code, CLOUD) == {own: Counts.OPEN_LONG, provider: Counts.STRIKE}
    assert struck(code, CLOUD, alone=True) == {own: Counts.OPEN_LONG, provider: Counts.OPEN_LONG}
    assert struck(code, BARE, alone=True) == {
        (BreakerKind.INSTANCE, "openai"): Counts.OPEN_LONG,
        provider: Counts.OPEN_LONG,
    }


@pytest.mark.parametrize(
    "code", [code for code, row in F4.items() if row[2] is Counts.NOTHING] + ["HOST_UNREACHABLE", "?"]
)
@pytest.mark.parametrize("instance", [LOCAL, CLOUD, BARE])
@pytest.mark.parametrize("alone", [False, True])
def test_what_is_not_the_instances_fault_counts_nowhere(code, instance, alone):
    """F3, F3a: a caller's mistake (bad request, cancelled, context too long) never counts."""
    assert struck(code, instance, alone=alone) == {}


def as_on_the_page(row: Fault) -> tuple[str, ...]:
    """Return the columns of the page that the table decides, all but the meaning."""
    minutes = BreakerRules().auth_open_for // 60_000
    counts = {
        Counts.NOTHING: "no",
        Counts.STRIKE: "strike, for the host" if row.attribution is Attribution.HOST else "strike",
        Counts.RATIO: "ratio only",
        Counts.OPEN_LONG: f"opens for {minutes} min",
    }[row.counts]
    if row.larger_ctx:
        fate = "FAILED, unless an instance with a larger context is eligible"
    elif row.code == "CANCELLED":
        fate = "FAILED; CANCELLED when a cancel was asked for"
    elif row.code == "NO_AVAILABLE_INSTANCE":
        fate = "BLOCKED"
    elif row.final:
        fate = "FAILED"
    else:
        fate = "DEAD_LETTER" if row.limit else "retried, then DEAD_LETTER"
    return (
        row.code,
        {"ladder": "ladder", "alone": "ladder, when alone", "no": "no"}[again(row)],
        {"larger": "with a larger context", "yes": "yes", "no": "no"}[another(row)]
        + (", other providers first" if row.provider_wide else ""),
        counts,
        row.attribution.name.lower(),
        fate,
    )


def test_the_page_for_users_tells_the_table():
    """F4: docs/errors.md, in the table's order, each with a meaning."""
    lines = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    rows = [tuple(cell.strip() for cell in line) for line in lines[1:]]
    assert [row[:1] + row[2:] for row in rows] == [as_on_the_page(row) for row in FAULTS.values()]
    assert all(row[1] for row in rows)


def test_the_page_for_users_tells_the_thresholds():
    """F2, F3: its numbers are the defaults."""
    text = " ".join(PAGE.read_text().split())
    rules, instance = BreakerRules(), Instance("a", "a")
    for sentence in (
        f"up to `max_retries` ({instance.max_retries}) retries",
        f"opens for {rules.open_for // 60_000} minutes after {rules.strikes} strikes in a row",
        f"more than {rules.window_ratio:.0%} of at least {rules.window_calls} calls within {rules.window // 1_000} seconds".replace(
            "%", " %"
        ),
        f"free again after {rules.probe_lease // 1_000} seconds",
    ):
        assert sentence in text
