"""A real gRPC server that plays the daemon for fleetctl: it answers each method with what it is given, and keeps what it is asked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from typer.testing import CliRunner

from fleetd_client import methods as m
from fleetd_client import stubs as s
from fleetd_client.cli.fleetctl import app

SERVICES = ("Router", "Dispatcher")


class Router:
    """`answers` by method, those of a stream as a list; `asked` are the requests, in order."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[Any] = []
        self.answers: dict[str, Any] = {}

    def run(self, *arguments: str, stdin: str | None = None) -> Any:
        """One call of fleetctl: exit code, stdout, stderr."""
        return CliRunner().invoke(
            app,
            [*arguments, "--server", self.address],
            input=stdin,
            env=os.environ | {"COLUMNS": "100"},
        )

    def take(self, name: str, request: Any, context: grpc.ServicerContext) -> Any:
        self.asked.append(request)
        if name not in self.answers:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, name)
        return self.answers[name]


@contextmanager
def serving() -> Iterator[Router]:
    router = Router()
    server = grpc.server(ThreadPoolExecutor(2))
    for service in SERVICES:
        handlers = {
            one.name: grpc.unary_unary_rpc_method_handler(
                lambda request, context, name=one.name: router.take(name, request, context),
                one.request.FromString,
                one.response.SerializeToString,
            )
            for one in m.METHODS
            if one.service == service
        }
        if service == "Dispatcher":
            handlers["WatchTask"] = grpc.unary_stream_rpc_method_handler(
                lambda request, context: iter(router.take("WatchTask", request, context)),
                s.WatchTaskRequest.FromString,
                s.WatchTaskResponse.SerializeToString,
            )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(f"fleet.v1.{service}", handlers),)
        )
    router.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield router
    server.stop(None).wait()


def scored(instance: str, score: float, raw: float, **terms: tuple[float, str]) -> s.CandidateTrace:
    return s.CandidateTrace(
        instance=instance,
        terms=[s.ScoreTerm(name=name, value=value, detail=detail) for name, (value, detail) in terms.items()],
        raw_score=raw,
        score=score,
    )


def removed(instance: str, by: str, observed: str, required: str) -> s.CandidateTrace:
    return s.CandidateTrace(instance=instance, eliminated_by=by, observed=observed, required=required)


def plan() -> s.RoutePlan:
    """A plan with three eligible instances, one of them not in the chain, and three removed ones."""
    found = s.RoutePlan(
        plan_id="01JZX3V7Q8M4T2N6B9C5D1E0FH",
        version=1,
        selected="ollama:qwen2.5-coder",
        fallback=["openai:gpt-4o-mini"],
        scores={"ollama:qwen2.5-coder": 0.92, "openai:gpt-4o-mini": 0.66},
        reasons=["READY", "tags_match=coding,frontend", "ctx>=4096", "local_preferred"],
        requirements=s.RouteRequirements(needs=["coding", "frontend"], prefer=["local"], min_ctx=4096),
        router_version="v1",
        registry_version=17,
        considered=6,
        cause="routed",
        summary="3/6 instances: 1 ctx<4096, 1 breaker_open, 1 no_credentials",
        eliminated=[
            s.Elimination(filter="ctx", count=1, detail="ctx<4096"),
            s.Elimination(filter="breaker", count=1, detail="breaker_open"),
            s.Elimination(filter="credentials", count=1, detail="no_credentials"),
        ],
        trace=[
            removed("vllm:tiny", "ctx", "2048", "4096"),
            scored(
                "openai:gpt-4o-mini",
                0.66,
                0.325,
                tags=(0.2, "coding"),
                ctx=(0.1, "128000"),
                latency=(0.045, "275 ms"),
                preference=(-0.02, "cloud"),
            ),
            removed("anthropic:claude-sonnet-4-6", "breaker", "open, 3 failures", "closed"),
            scored(
                "ollama:qwen2.5-coder",
                0.92,
                0.65,
                tags=(0.4, "coding,frontend"),
                ctx=(0.1, "32768"),
                latency=(0.1, "18 ms"),
                preference=(0.05, "local"),
            ),
            scored(
                "mistral:small", 0.4, 0.0, tags=(0.0, ""), ctx=(0.02, "unknown"), preference=(-0.02, "cloud")
            ),
            removed("xai:grok-4", "credentials", "env:XAI_API_KEY missing", "present"),
        ],
    )
    found.made_at.GetCurrentTime()
    return found
