"""The runtime paths of the predecessor's chat switch, over methods that answer what the test says (spec G4, G5)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fleet.v1 import rollout_pb2, router_pb2
from fleetd.api.table import OPERATORS, READERS, ROUTER, Method
from fleetd.errors import InvalidArgument, NotFound
from fleetd.web.app import application
from tests.unit.web.wire import bad_fields, details, reason

BASE = "/api/v1/runtime"
CALM = {"success": True, "data": {"fallbackEnabled": False, "fallbackReason": ""}}
WORDS = "error rate too high: 55.00% (threshold: 50.00%)"
FALLEN = {"success": True, "data": {"fallbackEnabled": True, "fallbackReason": WORDS}}


class Switch:
    """Stands for the methods of one rollout: keeps what was asked, and answers `state` and `metrics`, or raises `refusal`."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.state = rollout_pb2.FallbackState(rollout="chat")
        self.metrics = rollout_pb2.RolloutMetrics(rollout="chat")
        self.refusal: Exception | None = None

    def methods(self) -> dict[str, Method]:
        """Return the methods by their full names."""
        rows = [
            ("GetRollout", router_pb2.GetRolloutResponse, READERS, self._shown),
            ("GetRolloutMetrics", router_pb2.GetRolloutMetricsResponse, READERS, self._measured),
            ("ResetFallback", rollout_pb2.FallbackState, OPERATORS, self._changed),
            ("ForceFallback", rollout_pb2.FallbackState, OPERATORS, self._changed),
        ]
        made = [
            Method(ROUTER, name, getattr(router_pb2, f"{name}Request"), answer, serve, roles, False, 64 << 10)
            for name, answer, roles, serve in rows
        ]
        return {method.full_name: method for method in made}

    def _take(self, request: Any) -> None:
        self.asked.append(request)
        if self.refusal is not None:
            raise self.refusal

    async def _shown(self, request: Any, call: Any) -> Any:
        self._take(request)
        return router_pb2.GetRolloutResponse(fallback=self.state)

    async def _measured(self, request: Any, call: Any) -> Any:
        self._take(request)
        self.metrics.fallback.CopyFrom(self.state)
        return router_pb2.GetRolloutMetricsResponse(metrics=self.metrics)

    async def _changed(self, request: Any, call: Any) -> Any:
        self._take(request)
        return self.state


@pytest.fixture
def switch() -> Switch:
    return Switch()


@pytest.fixture
async def wire(wires, switch):
    """The port with the switch among its methods, called from this machine."""
    made = await wires()
    made.web.methods |= switch.methods()
    made.web._by_name |= {method.name: method for method in switch.methods().values()}
    await made.client.aclose()
    made.client = client(made)
    return made


def client(wire, peer: str | None = "127.0.0.1", host: str = "127.0.0.1:8080") -> httpx.AsyncClient:
    """Return a client whose connection comes from `peer`; None = over a unix socket."""

    async def app(scope, receive, send):
        address = None if peer is None else (peer, 40_000)
        await wire.app({**scope, "client": address}, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}")


async def got(wire, path: str) -> Any:
    response = await wire.client.get(f"{BASE}{path}")
    assert response.status_code == 200, response.text
    return response.json()


async def posted(wire, path: str, body: Any = None) -> Any:
    response = await wire.post(f"{BASE}{path}", body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_g5_metrics_are_those_of_the_predecessors_sample_key_for_key(wire, switch):
    """And numbers are written as that language writes them: whole ones without a point."""
    for mode, fields in (
        (
            switch.metrics.old_mode,
            {"total": 100, "success": 98, "error": 2, "error_rate": 0.02},
        ),
        (
            switch.metrics.new_mode,
            {
                "total": 50,
                "success": 48,
                "error": 2,
                "timeout": 1,
                "error_rate": 0.04,
                "timeout_rate": 0.02,
                "p95_latency": {"seconds": 9},
            },
        ),
    ):
        mode.MergeFrom(rollout_pb2.ModeMetrics(**fields))
    switch.metrics.old_mode.avg_latency.FromMilliseconds(1_500)
    switch.metrics.new_mode.avg_latency.FromMicroseconds(2_000_500)
    response = await wire.client.get(f"{BASE}/metrics")
    assert response.text == (
        '{"success":true,"data":{'
        '"direct":{"total":100,"success":98,"error":2,"timeout":0,"avgLatencyMs":1500,"errorRate":0.02,"timeoutRate":0},'
        '"runtime":{"total":50,"success":48,"error":2,"timeout":1,"avgLatencyMs":2000.5,"errorRate":0.04,"timeoutRate":0.02},'
        '"fallbackEnabled":false,"fallbackReason":""}}'
    )
    assert switch.asked == [router_pb2.GetRolloutMetricsRequest(rollout="chat")]


@pytest.mark.parametrize("org", ["org-uuid-1", "team/one:2@x"])
async def test_g5_metrics_of_one_org(wire, switch, org):
    assert (await got(wire, f"/metrics/{org}"))["data"]["direct"]["total"] == 0
    assert switch.asked == [router_pb2.GetRolloutMetricsRequest(rollout="chat", org_id=org)]


async def test_g4_the_state_of_the_fallback_and_its_reason(wire, switch):
    assert await got(wire, "/fallback/status") == CALM
    switch.state.MergeFrom(rollout_pb2.FallbackState(fallback=True, reason=WORDS))
    assert await got(wire, "/fallback/status") == FALLEN
    assert (await got(wire, "/metrics"))["data"].items() >= FALLEN["data"].items()
    switch.state.forced.MergeFrom(rollout_pb2.ForcedFallback(on=True, reason="maintenance"))
    assert (await got(wire, "/fallback/status"))["data"]["fallbackReason"] == "maintenance"
    switch.state.MergeFrom(rollout_pb2.FallbackState(phase="ROLLOUT_PHASE_FALLBACK"))
    switch.state.forced.on = switch.state.fallback = False
    assert await got(wire, "/fallback/status") == CALM
    assert switch.asked[0] == router_pb2.GetRolloutRequest(name="chat")


@pytest.mark.parametrize(
    ("body", "reason_said"),
    [(None, f"POST {BASE}/fallback/reset"), ({"reason": "mended"}, "mended"), ({"reason": None}, None)],
)
async def test_g4_a_reset_needs_no_body_and_answers_with_the_state(wire, switch, body, reason_said):
    assert await posted(wire, "/fallback/reset", body) == CALM
    (asked,) = switch.asked
    expected = reason_said or f"POST {BASE}/fallback/reset"
    assert asked == router_pb2.ResetFallbackRequest(rollout="chat", reason=expected)


async def test_g4_curl_without_a_body_resets(wire, switch):
    response = await wire.client.post(f"{BASE}/fallback/reset")
    assert (response.status_code, len(switch.asked)) == (200, 1)


async def test_g4_a_fallback_is_forced_on_or_off_with_a_reason_and_for_a_time(wire, switch):
    switch.state.MergeFrom(rollout_pb2.FallbackState(fallback=True, reason=WORDS))
    assert await posted(wire, "/fallback/force") == FALLEN
    await posted(wire, "/fallback/force", {"enabled": True, "reason": "incident 7", "durationMs": 1_500})
    await posted(wire, "/fallback/force", {"enabled": False, "durationMs": 2_592_000_000})
    kind = router_pb2.ForceFallbackRequest
    default = f"POST {BASE}/fallback/force"
    second, third = kind(rollout="chat", reason="incident 7"), kind(rollout="chat", reason=default, off=True)
    second.duration.FromMilliseconds(1_500)
    third.duration.FromSeconds(2_592_000)
    assert switch.asked == [kind(rollout="chat", reason=default), second, third]


@pytest.mark.parametrize(
    ("path", "body", "bad"),
    [
        ("/fallback/reset", {"enabled": True}, {"enabled"}),
        ("/fallback/reset", {"reason": 5}, {"reason"}),
        ("/fallback/force", {"colour": 1, "duration": 5}, {"colour", "duration"}),
        (
            "/fallback/force",
            {"enabled": "yes", "reason": [], "durationMs": "5"},
            {"enabled", "reason", "durationMs"},
        ),
        ("/fallback/force", {"durationMs": 999}, {"durationMs"}),
        ("/fallback/force", {"durationMs": 1_000.5}, {"durationMs"}),
        ("/fallback/force", {"durationMs": True}, {"durationMs"}),
        ("/fallback/force?enabled=false", {}, {"enabled"}),
    ],
)
async def test_g4_bad_and_unknown_fields_are_named_and_nothing_is_done(wire, switch, path, body, bad):
    response = await wire.post(f"{BASE}{path}", body)
    assert response.status_code == 400
    assert bad_fields(response).keys() == bad
    assert switch.asked == []


async def test_g5_queries_have_no_fields(wire, switch):
    response = await wire.client.get(f"{BASE}/metrics?orgs=true")
    assert bad_fields(response) == {"orgs": "is no field of this path, which takes none"}


async def test_g4_what_a_method_refuses_is_told(wire, switch):
    switch.refusal = NotFound("ROLLOUT_NOT_FOUND", "there is no rollout 'chat'")
    response = await wire.client.get(f"{BASE}/fallback/status")
    assert (response.status_code, reason(response)) == (404, "ROLLOUT_NOT_FOUND")
    switch.refusal = InvalidArgument([("reason", "must have at most 1,000 characters")])
    assert bad_fields(await wire.post(f"{BASE}/fallback/reset")).keys() == {"reason"}


PATHS = [
    ("GET", "/metrics"),
    ("GET", "/metrics/org"),
    ("GET", "/fallback/status"),
    ("POST", "/fallback/reset"),
    ("POST", "/fallback/force"),
]


@pytest.mark.parametrize(("verb", "path"), PATHS)
@pytest.mark.parametrize("peer", ["10.0.0.7", "192.0.2.1", "2001:db8::1", "::ffff:10.0.0.7", "proxy"])
async def test_s6_callers_of_other_machines_are_refused_whatever_the_port_listens_on(
    wire, switch, verb, path, peer
):
    async with client(wire, peer) as other:
        response = await other.request(verb, f"{BASE}{path}")
    assert (response.status_code, reason(response)) == (403, "LOOPBACK_ONLY")
    assert details(response).keys() == {"ErrorInfo"}
    assert switch.asked == []


@pytest.mark.parametrize(("verb", "path"), PATHS)
async def test_s6_a_page_whose_name_has_come_to_lead_here_is_refused(wire, switch, verb, path):
    """DNS rebinding: for the browser it is of the same origin."""
    async with client(wire, host="evil.example:8080") as page:
        response = await page.request(verb, f"{BASE}{path}", headers={"Origin": "http://evil.example:8080"})
    assert (response.status_code, reason(response)) == (403, "LOOPBACK_ONLY")
    assert switch.asked == []


@pytest.mark.parametrize(
    ("peer", "host"),
    [
        ("127.0.0.1", "localhost:8080"),
        ("127.8.8.8", "LOCALHOST"),
        ("::1", "[::1]:8080"),
        ("::ffff:127.0.0.1", "127.0.0.1"),
        (None, "fleetd"),
    ],
)
async def test_s6_callers_of_this_machine_are_answered(wire, switch, peer, host):
    """Over a unix socket whatever host they name: no page can ask it."""
    async with client(wire, peer, host) as here:
        assert (await here.get(f"{BASE}/fallback/status")).json() == CALM


async def test_s6_hosts_that_are_no_names_are_refused(wire):
    for host in ("[::1", "localhost.evil.example", "127.0.0.1.evil.example", "0", "user@", "x:y:z"):
        response = await wire.client.get(f"{BASE}/metrics", headers={"Host": host})
        assert (response.status_code, reason(response)) == (403, "LOOPBACK_ONLY"), host


async def test_g4_another_rollout_can_be_shown(wire, switch):
    """`rollouts.chat` names it."""
    app = application(wire.web, 1 << 20, chat="search")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as here:
        assert (await here.get(f"{BASE}/metrics")).status_code == 200
    assert switch.asked == [router_pb2.GetRolloutMetricsRequest(rollout="search")]


async def test_s4_another_verb_is_an_unknown_path(wire, switch):
    response = await wire.client.get(f"{BASE}/fallback/reset")
    assert (response.status_code, reason(response)) == (404, "PATH_UNKNOWN")
    assert switch.asked == []
