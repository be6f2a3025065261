"""Single probes against real servers on loopback that answer, hang, refuse, are slow, or answer garbage."""

import asyncio
import json

import pytest

from fleetd.clock import ManualClock, SystemClock
from fleetd.core.instance import Instance, ProbeKind
from fleetd.core.probing import Outcome, ProbeResult
from fleetd.probes.answer import BODY
from fleetd.probes.asker import Asker
from tests.unit.probes.server import free_port, http, serving

PATIENT = 10_000
"""Milliseconds no probe of these tests comes near, unless it hangs."""


async def ask(url: str, kind: ProbeKind = ProbeKind.HTTP, timeout: int = PATIENT, clock=None) -> ProbeResult:
    async with Asker(timeout, clock or SystemClock()) as asker:
        return await asker.ask(Instance("own:m", "own", probe=kind, probe_url=url))


async def answered(path: str, answer: bytes) -> ProbeResult:
    async with serving(lambda line: answer) as server:
        result = await ask(server.url + path)
        assert server.asked == [f"GET {path} HTTP/1.1".encode()]
    return result


MODELS = json.dumps({"object": "list", "data": [{"id": "qwen", "object": "model"}]}).encode()
TAGS = json.dumps({"models": [{"name": "qwen3:30b"}]}).encode()


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/health", http("200 OK", b'{"status":"ok"}')),
        ("/health", http("200 OK")),
        ("/health", http("200 OK", b"OK", "text/plain")),
        ("/v1/models", http("200 OK", MODELS)),
        ("/proxy/v1/models", http("200 OK", MODELS)),
        ("/v1/models?limit=1", http("200 OK", MODELS)),
        ("/v1/models", http("200 OK", MODELS[:-2] + b"," * 2 * BODY)),
        ("/api/tags", http("200 OK", TAGS)),
        ("/", http("204 No Content")),
        ("/status", http("200 OK", b"\xff\xfe")),
    ],
)
async def test_a_server_that_can_take_work_says_so(path, answer):
    """R1: HTTP probes of /health, /v1/models, /api/tags; of other paths every 2xx will do."""
    result = await answered(path, answer)
    assert result.outcome is Outcome.OK
    assert 0 <= result.latency < PATIENT


@pytest.mark.parametrize(
    ("path", "answer", "detail"),
    [
        (
            "/health",
            http("503 Service Unavailable", b'{"status":"loading model"}'),
            "HTTP 503, status loading model",
        ),
        (
            "/health",
            http(
                "503 Service Unavailable",
                b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}',
            ),
            "HTTP 503, status Loading model",
        ),
        ("/health", http("200 OK", b'{"status":"error"}'), "status error"),
        ("/health", http("200 OK", b"\xff\xfe\x00"), "the answer is no text"),
        ("/health", http("404 Not Found", b"<html>"), "HTTP 404"),
        ("/health", http("302 Found"), "HTTP 302"),
        (
            "/v1/models",
            http("401 Unauthorized", b'{"error":{"message":"no key"}}'),
            "HTTP 401, status no key",
        ),
        (
            "/v1/models",
            http("200 OK", b"<html>log in</html>"),
            'the answer is no JSON object with a list "data"',
        ),
        ("/v1/models", http("200 OK", b"[1, 2]"), 'the answer is no JSON object with a list "data"'),
        ("/v1/models", http("200 OK", b'{"data": {}}'), 'the answer is no JSON object with a list "data"'),
        ("/v1/models", http("200 OK", b"[" * 100_000), 'the answer is no JSON object with a list "data"'),
        ("/v1/models", http("200 OK", b"<" * 2 * BODY), 'the answer is no JSON object with a list "data"'),
        ("/v1/models", http("200 OK", MODELS[:-5]), 'the answer is no JSON object with a list "data"'),
        ("/api/tags", http("200 OK", MODELS), 'the answer is no JSON object with a list "models"'),
    ],
)
async def test_an_answer_that_does_not_mean_ready_is_a_failure(path, answer, detail):
    """R1: llama.cpp answers 503 while it loads a model; garbage is a failure."""
    assert await answered(path, answer) == ProbeResult(Outcome.FAILED, detail=detail)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x01\x02\x03" * 100,
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 abc\r\n\r\n",
    ],
)
async def test_bytes_that_are_no_http_are_a_failure(answer):
    """R1: a server that speaks something else, or hangs up in the middle."""
    result = await answered("/health", answer)
    assert result.outcome is Outcome.FAILED
    assert "Error" in result.detail


async def test_a_server_that_hangs_is_given_up_after_the_timeout():
    """R1: 1.5 s each; the timeout is for all of the probe, however little by little it comes."""
    never = asyncio.Event()

    async def hang(line: bytes) -> bytes:
        await never.wait()
        return b""

    async with serving(hang) as server:
        result = await ask(server.url + "/health", timeout=50)
        never.set()
    assert result == ProbeResult(Outcome.FAILED, detail="no answer within 50 ms")


async def test_an_answer_that_never_ends_is_given_up_after_the_timeout():
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1"
    async with serving(lambda line: half, keep_open=True) as server:
        result = await ask(f"{server.url}/health", timeout=50)
    assert result == ProbeResult(Outcome.FAILED, detail="no answer within 50 ms")


async def test_an_endless_answer_is_not_read_to_its_end():
    """S7: of an answer 256 KiB are read."""
    endless = b"HTTP/1.1 200 OK\r\n\r\n" + b'{"data": [' + b"1," * BODY
    async with serving(lambda line: endless, keep_open=True) as server:
        assert (await ask(server.url + "/v1/models")).outcome is Outcome.OK


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_port_nobody_listens_on_refuses(host):
    """R1: refused is told apart from failed, also when every address of a name refuses."""
    port = await free_port()
    refused = ProbeResult(Outcome.REFUSED, detail="connection refused")
    assert await ask(f"http://{host}:{port}/health") == refused
    assert await ask(f"{host}:{port}", ProbeKind.TCP) == refused


@pytest.mark.parametrize(("url", "kind"), [("http://a..b/health", ProbeKind.HTTP), ("a..b:80", ProbeKind.TCP), ("http://127.0.0.1:1\x00/", ProbeKind.HTTP)])  # fmt: skip
async def test_an_address_that_leads_nowhere_is_a_failure(url, kind):
    assert (await ask(url, kind)).outcome is Outcome.FAILED


async def test_a_tcp_probe_connects():
    """R1: TCP."""
    async with serving(lambda line: b"") as server:
        result = await ask(f"127.0.0.1:{server.port}", ProbeKind.TCP)
    assert result.outcome is Outcome.OK


async def test_the_latency_is_the_time_until_the_answer_is_there():
    clock = ManualClock()

    def slowly(line: bytes) -> bytes:
        clock.advance(1_234)
        return http("200 OK")

    async with serving(slowly) as server:
        assert await ask(server.url + "/health", clock=clock) == ProbeResult(Outcome.OK, 1_234.0)


async def test_every_probe_has_a_connection_of_its_own_and_asks_for_plain_bytes(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    answer = http("200 OK").replace(b"Connection: close\r\n", b"")
    async with serving(lambda line: answer, keep_open=True) as server:
        async with Asker(PATIENT, SystemClock()) as asker:
            instance = Instance("own:m", "own", probe=ProbeKind.HTTP, probe_url=server.url + "/health")
            assert [(await asker.ask(instance)).outcome for _ in range(2)] == [Outcome.OK] * 2
        assert (len(server.asked), server.connections) == (2, 2)
        assert b"Accept-Encoding: identity" in server.heads[0]
