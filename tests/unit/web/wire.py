"""The side port without a socket: the application over a real engine, called in its own loop."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from google.rpc import error_details_pb2

from fleetd.api.boundary import Boundary
from fleetd.core.issue import IssueRules
from fleetd.web.app import application
from fleetd.web.issues import IssueOptions
from fleetd.web.port import Port as WebPort
from fleetd.web.port import PortOptions
from tests.unit.api.port import Port

SECRET = b"between friends"
DELIVERIES = Path(__file__).parents[2] / "data" / "forgejo"
LARGEST = 8 << 20


class Log:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def note(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    info = warning = error = note


class Wire:
    """Calls paths, as curl would."""

    def __init__(
        self,
        port: Port,
        *,
        rules: IssueRules | None = None,
        secret: bytes = SECRET,
        options: PortOptions | None = None,
        largest: int = LARGEST,
        patience: int = 0,
    ) -> None:
        self.port = port
        self.log = Log()
        table = {method.full_name: method for method in port.methods.values()}
        self.web = WebPort(Boundary(port.engine, self.log), table, options)
        issues = IssueOptions(secret, rules or IssueRules(), patience=patience) if secret else None
        self.app = application(self.web, largest, issues)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://fleet.example:8080"
        )
        self._deliveries = 0

    async def close(self) -> None:
        await self.client.aclose()

    async def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """Post JSON; underscores in the names of headers stand for dashes."""
        content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(
            path, content=content, headers={"Content-Type": "application/json", **named}
        )

    async def call(self, method: str, body: Any = None, service: str = "Dispatcher", **headers: str) -> Any:
        """Call a method that must succeed; return its answer."""
        response = await self.post(f"/fleet.v1.{service}/{method}", body, **headers)
        assert response.status_code == 200, response.text
        return response.json()

    async def deliver(self, name: str, source: str = "forgejo", **changes: Any) -> httpx.Response:
        """Deliver a recorded payload; `delivery` names it, `headers` are added to or replace the usual ones."""
        event = "push" if name == "push" else name.partition("_")[0].replace("pull", "pull_request")
        payload = json.loads((DELIVERIES / f"{name}.json").read_text())
        for part, values in changes.pop("payload", {}).items():
            payload[part] = payload[part] | values if isinstance(payload.get(part), dict) else values
        body = changes.pop("body", json.dumps(payload).encode())
        self._deliveries += 1
        headers = {
            "Content-Type": "application/json",
            f"X-{source}-Event": event,
            f"X-{source}-Delivery": changes.pop("delivery", f"delivery-{self._deliveries}"),
            f"X-{source}-Signature": signature(body),
            **changes.pop("headers", {}),
        }
        assert not changes
        present = {name: value for name, value in headers.items() if value is not None}
        return await self.client.post(f"/webhooks/{source.lower()}", content=body, headers=present)

    async def tasks(self) -> list[Any]:
        """Return all tasks, oldest first."""
        return list(reversed((await self.port("ListTasks")).tasks))


def signature(body: bytes, secret: bytes = SECRET) -> str:
    return hmac.new(secret, body, hashlib.sha256).hexdigest()


def details(response: httpx.Response) -> dict[str, Any]:
    """Return the details of an error, decoded, by the name of their type."""
    found = {}
    for detail in response.json()["details"]:
        name = detail["type"].rpartition(".")[2]
        value = detail["value"]
        assert "=" not in value, "Connect leaves the padding out"
        data = base64.b64decode(value + "=" * (-len(value) % 4))
        found[name] = getattr(error_details_pb2, name).FromString(data)
    return found


def reason(response: httpx.Response) -> str:
    return details(response)["ErrorInfo"].reason


def bad_fields(response: httpx.Response) -> dict[str, str]:
    return {one.field: one.description for one in details(response)["BadRequest"].field_violations}


async def until(condition: Callable[[], Any]) -> None:
    """Let the loop turn until a condition holds."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came true")


async def opened(wire):
    """Deliver the issue that is opened; return its task."""
    response = await wire.deliver("issues_opened")
    assert response.status_code == 202, response.text
    return await wire.port("GetTask", task_id=response.json()["task_id"])


async def again(wire, task):
    return await wire.port("GetTask", task_id=task.id)


async def running(wire, task):
    """Let an agent begin the task; return its lease."""
    lease = await wire.port.claim("worker", capabilities=["code:rust", "review"])
    assert lease.task_id == task.id
    await wire.port.report(lease, "worker", start={})
    return lease


async def lineage(wire, task):
    return [
        (e.kind, e.from_task_id, e.detail) for e in (await wire.port("GetTaskLineage", task_id=task.id)).edges
    ]
