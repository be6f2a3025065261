"""fleetctl's commands for routes, instances and breakers, against a server that plays the Router."""

from __future__ import annotations

import json

import pytest

from fleetd_client import stubs as s
from fleetd_client.cli import exit_codes
from fleetd_client.cli.needs import needs_of
from fleetd_client.cli.output import Column
from fleetd_client.cli.route_columns import ranked
from fleetd_client.cli.tables import fitted
from tests.unit.client_cli.router import plan, serving


@pytest.fixture
def router():
    with serving() as router:
        yield router


def rows(text):
    """The cells of each line, split at two spaces or more."""
    return [[cell for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def test_explain_shows_every_instance_with_its_score_or_what_removed_it(router):
    """R4: filter with observed and required, or the terms and their sum."""
    router.answers["RouteTask"] = s.RouteTaskResponse(selected="ollama:qwen2.5-coder", plan=plan())
    shown = router.run("route", "explain", "Fix the form", "--prefer", "local", "--min-ctx", "4096")
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert lines[0].split() == [
        "#",
        "INSTANCE",
        "TAGS",
        "CTX",
        "LATENCY",
        "PREFERENCE",
        "SUM",
        "SCORE",
        "FROM",
    ]
    assert [line.split()[:2] for line in lines[1:3]] == [
        ["1", "ollama:qwen2.5-coder"],
        ["2", "openai:gpt-4o-mini"],
    ]
    assert lines[3].split()[0] == "mistral:small"
    for line in lines[1:4]:
        numbers = [float(one) for one in line.split() if one[0] in "+-0" and "." in one]
        *terms, total, _score = numbers
        assert sum(terms) == pytest.approx(total, abs=1e-9), "what is shown adds up"
    assert [one.split() for one in lines[6:9]] == [
        ["anthropic:claude-sonnet-4-6", "breaker", "open,", "3", "failures", "closed"],
        ["xai:grok-4", "credentials", "env:XAI_API_KEY", "missing", "present"],
        ["vllm:tiny", "ctx", "2048", "4096"],
    ]
    assert "SUMMARY     3/6 instances: 1 ctx<4096, 1 breaker_open, 1 no_credentials" in shown.stdout
    (request,) = router.asked
    assert (request.trace, request.dry_run, request.title) == (True, True, "Fix the form")
    assert (list(request.requirements.prefer), request.requirements.min_ctx) == (["local"], 4096)


def test_the_chain_comes_first_in_its_order_and_the_others_by_score():
    """R4: an override, or DEGRADED after READY, puts a lower score first."""
    order = ["b", "d", "c", "a", "e"]
    found = s.RoutePlan(
        selected="b",
        fallback=["d"],
        trace=[
            s.CandidateTrace(instance=one, raw_score=raw)
            for one, raw in (("e", 0.1), ("a", 0.3), ("d", 0.2), ("c", 0.5), ("b", 0.0))
        ],
    )
    assert [(one.trace.instance, one.place) for one in ranked(found)] == list(
        zip(order, (1, 2, 0, 0, 0), strict=True)
    )


def test_explain_counts_what_its_trace_left_out(router):
    """R4: the trace is bounded, the counts are not."""
    whole = plan()
    del whole.trace[3:]
    router.answers["RouteTask"] = s.RouteTaskResponse(plan=whole)
    shown = router.run("route", "explain", "x")
    assert ["credentials", "1", "no_credentials"] in [
        [one.strip() for one in row] for row in rows(shown.stdout)
    ]
    assert "3 of 6 instances are shown" in shown.stderr


def test_explain_is_one_json_document_for_programs(router):
    """R4."""
    router.answers["RouteTask"] = s.RouteTaskResponse(selected="ollama:qwen2.5-coder", plan=plan())
    document = json.loads(router.run("route", "explain", "x", "-o", "json").stdout)
    assert document["selected"] == "ollama:qwen2.5-coder"
    assert {one["instance"] for one in document["plan"]["trace"]} >= {"vllm:tiny", "mistral:small"}
    assert document["plan"]["trace"][0] | {"terms": []} == {
        "instance": "vllm:tiny",
        "eliminatedBy": "ctx",
        "observed": "2048",
        "required": "4096",
        "terms": [],
        "rawScore": 0.0,
        "score": 0.0,
    }


def test_when_nothing_fits_the_summary_says_why(router):
    """R4, F6."""
    nothing = s.RoutePlan(considered=57, summary="0/57 instances: 57 lack tag vision")
    nothing.eliminated.add(filter="tags", count=57, detail="lack tag vision")
    router.answers["RouteTask"] = s.RouteTaskResponse(plan=nothing)
    shown = router.run("route", "explain", "--required", "vision")
    assert shown.exit_code == 0
    assert "SELECTED    -" in shown.stdout
    assert "0/57 instances: 57 lack tag vision" in shown.stdout


def test_plan_shows_the_present_version_and_all_that_were(router):
    """R10."""
    second = plan()
    second.version, second.cause = 2, "rerouted"
    router.answers["GetRoutePlan"] = s.GetRoutePlanResponse(plan=second, versions=[plan(), second])
    shown = router.run("route", "plan", "t-1")
    assert "version 2" in shown.stdout
    assert [line.split()[:2] for line in shown.stdout.splitlines()[-2:]] == [
        ["1", "routed"],
        ["2", "rerouted"],
    ]
    assert router.asked[0].task_id == "t-1"
    assert router.run("route", "plan").exit_code == exit_codes.USAGE


CATALOGUES = [
    ('{"providers": []}', s.CatalogueFormat.CATALOGUE_FORMAT_PROVIDERS),
    ('[{"name": "opus", "priority": 1}]', s.CatalogueFormat.CATALOGUE_FORMAT_FAILOVER),
    ('{"gpt-4o": {"litellm_provider": "openai"}}', s.CatalogueFormat.CATALOGUE_FORMAT_LITELLM),
]


@pytest.mark.parametrize(("text", "form"), CATALOGUES)
def test_check_tells_what_kind_of_file_it_is_and_loads_nothing(router, tmp_path, text, form):
    """R1, F1."""
    file = tmp_path / "instances.json"
    file.write_text(text)
    router.answers["ImportCatalogue"] = s.ImportCatalogueResponse(loaded=3)
    shown = router.run("route", "check", str(file))
    assert (shown.exit_code, shown.stdout) == (0, f"3 instances would load from {file}, 0 rows are bad\n")
    (request,) = router.asked
    assert (request.format, request.data, request.dry_run) == (form, text.encode(), True)


def test_check_names_every_bad_row_and_fails(router, tmp_path):
    """R1: a bad row is named with what would be right, whole."""
    file = tmp_path / "models.json"
    file.write_text("{}")
    words = "max_input_tokens: a number of tokens, not " + "prose " * 30
    problems = [
        s.CatalogueProblem(name="sample_spec", problem=words),
        s.CatalogueProblem(name="b", problem="p"),
    ]
    router.answers["ImportCatalogue"] = s.ImportCatalogueResponse(loaded=5, skipped=3, problems=problems)
    shown = router.run("route", "check", str(file))
    assert shown.exit_code == exit_codes.ERROR
    assert f"  sample_spec: {words}\n  b: p\n" in shown.stdout
    assert "the first 2 of 3 bad rows are shown" in shown.stderr
    loaded = router.run("instances", "import", str(file), "--format", "failover")
    assert loaded.exit_code == 0
    assert loaded.stdout.startswith(f"5 instances loaded from {file}, 3 rows skipped")
    assert router.asked[-1].format == s.CatalogueFormat.CATALOGUE_FORMAT_FAILOVER
    assert not router.asked[-1].dry_run


def test_an_import_of_nothing_but_bad_rows_fails(router, tmp_path):
    """R1."""
    file = tmp_path / "models.json"
    file.write_text("{}")
    router.answers["ImportCatalogue"] = s.ImportCatalogueResponse(skipped=1, problems=[{"name": "a"}])
    assert router.run("instances", "import", str(file)).exit_code == exit_codes.ERROR


@pytest.mark.parametrize(
    ("text", "words"), [("{", "no JSON"), ('"x"', "an object or a list, not str"), (None, "No such file")]
)
def test_a_file_that_cannot_be_a_catalogue_is_refused_without_a_call(router, tmp_path, text, words):
    """S3."""
    file = tmp_path / "f"
    if text is not None:
        file.write_text(text)
    shown = router.run("route", "check", str(file))
    assert shown.exit_code == exit_codes.USAGE
    assert words in " ".join(shown.stderr.replace("│", " ").split())
    assert router.asked == []


def test_a_file_too_large_for_one_call_is_refused_with_the_limit(router, tmp_path):
    """S7."""
    file = tmp_path / "f"
    file.write_bytes(b" " * (8 * 2**20))
    shown = router.run("route", "check", str(file), "--format", "litellm")
    assert shown.exit_code == exit_codes.USAGE
    assert "8.0 MiB" in shown.stderr


def test_an_override_needs_a_reason_and_shows_the_new_plan(router):
    """R8."""
    router.answers["OverrideRoute"] = plan()
    assert router.run("route", "override", "t", "a:b").exit_code == exit_codes.USAGE
    shown = router.run("route", "override", "t", "a:b", "--reason", "r", "--expires", "30m", "--force")
    assert "SELECTED    ollama:qwen2.5-coder" in shown.stdout
    (request,) = router.asked
    assert (request.task_id, request.instance, request.reason, request.force) == ("t", "a:b", "r", True)
    assert request.expires_after.seconds == 1_800


def test_stats_show_rates_and_providers(router):
    """R12: what is not known yet is a dash."""
    provider = s.ProviderAvailability(
        provider_id="ollama", instances=3, ready=2, ready_ratio_1h=0.98, ready_ratio_24h=-1
    )
    router.answers["GetRoutingStats"] = s.GetRoutingStatsResponse(
        routes=200,
        routed=199,
        success_rate=0.995,
        reroutes=3,
        failover_frequency=0.015,
        reroutes_by_reason={"TIMEOUT": 2, "CONN_REFUSED": 1},
        providers=[provider],
    )
    text = router.run("route", "stats").stdout
    assert "SUCCESS   99.5% of the routes" in text
    assert "REROUTED  3, 1 CONN_REFUSED, 2 TIMEOUT" in text
    assert text.splitlines()[-1].split() == ["ollama", "2/3", "98.0%", "-"]


def status(instance_id, state=s.InstanceState.INSTANCE_STATE_READY, **fields):
    return s.InstanceStatus(instance=s.Instance(id=instance_id), state=state, **fields)


def test_instances_are_listed_up_to_a_limit_and_told_why_they_get_no_work(router):
    """R1."""
    found = [status(f"a:{number}", credentials_present=False) for number in range(3)]
    router.answers["ListInstances"] = s.ListInstancesResponse(instances=found)
    shown = router.run("instances", "list", "--state", "ready", "--tag", "coding", "--limit", "2")
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["ID", "a:0", "a:1"]
    assert "no_credentials" in shown.stdout
    assert "there are more" in shown.stderr
    assert list(router.asked[0].states) == [s.InstanceState.INSTANCE_STATE_READY]


def test_instances_are_switched_and_removed(router):
    """R1."""
    router.answers["SetInstanceState"] = status("a:b", s.InstanceState.INSTANCE_STATE_STOPPED)
    shown = router.run("instances", "set-state", "a:b", "stopped", "--reason", "r")
    assert "STATE       STOPPED" in shown.stdout
    router.answers["RemoveInstance"] = s.RemoveInstanceResponse(registry_version=4)
    assert router.run("instances", "remove", "a:b").stdout == "a:b removed\n"
    assert json.loads(router.run("instances", "remove", "a:b", "-o", "json").stdout) == {
        "id": "a:b",
        "registryVersion": 4,
    }


def test_breakers_are_listed_reset_and_opened(router):
    """F3."""
    forced = s.Breaker(kind=1, name="openai", state=2, failure_count=3, forced=True, last_error="503: busy")
    router.answers |= {
        "ListBreakers": s.ListBreakersResponse(breakers=[forced]),
        "ResetBreakers": s.ResetBreakersResponse(reset=2),
        "ForceBreaker": forced,
    }
    shown = router.run("breakers", "list", "--kind", "provider")
    assert shown.stdout.splitlines()[1].split() == [
        "PROVIDER",
        "openai",
        "OPEN",
        "3",
        "by",
        "hand",
        "503:",
        "busy",
    ]
    assert router.run("breakers", "reset", "--kind", "provider", "--name", "openai").stdout == "2 reset\n"
    assert (router.asked[-1].kind, router.asked[-1].name) == (1, "openai")
    assert router.run("breakers", "reset", "--all").exit_code == 0
    assert router.run("breakers", "open", "provider", "openai", "--for", "30m").exit_code == 0
    assert router.asked[-1].duration.seconds == 1_800


@pytest.mark.parametrize("flags", [(), ("--all", "--kind", "host"), ("--all", "--name", "x")])
def test_a_reset_says_what_it_is_about(router, flags):
    """F3, S3."""
    assert router.run("breakers", "reset", *flags).exit_code == exit_codes.USAGE
    assert router.asked == []


def test_flags_of_needs_that_are_not_given_ask_for_nothing():
    """R2, R13: a task without them is not routed."""
    assert needs_of(None, None, None, None, None, "") == {}
    assert needs_of(["a"], ["local"], ["b"], 0, "fast", "m") == {
        "needs": ["a"],
        "prefer": ["local"],
        "required": ["b"],
        "min_ctx": 0,
        "latency_class": "fast",
        "model": "m",
    }


def column(header, *, free=False, least=12):
    return Column(header, lambda thing, now: "", free=free, least=least)


def test_a_table_fits_its_terminal_and_loses_no_column():
    """S2: free columns give way, the widest first, and keep some words; if that is not enough, lines wrap."""
    columns = [column("ID"), column("A", free=True), column("B", free=True, least=20)]
    assert fitted([10, 60, 40], columns, 200) == [10, 60, 40]
    assert fitted([10, 60, 40], columns, 100) == [10, 46, 40]
    assert fitted([10, 60, 40], columns, 90) == [10, 38, 38]
    assert fitted([10, 60, 40], columns, 40) == [10, 12, 20]
    assert fitted([10, 8, 40], columns, 20) == [10, 8, 20]
