"""What the tests of routes share: three instances, and a request that tries them in their order."""

from __future__ import annotations

from typing import Any

import pytest

from fleetd.errors import InvalidArgument
from tests.unit.api.port import Port

LOCAL: dict[str, Any] = {"id": "ollama:qwen3-coder", "tags": ["coding"], "ctx": 32_768, "max_retries": 1}
SECOND: dict[str, Any] = {"id": "vllm:qwen3", "tags": ["coding"], "ctx": 16_384, "priority": 200}
CLOUD: dict[str, Any] = {"id": "openai:gpt-4o", "ctx": 128_000}
CODING = {"needs": ["coding"], "prefer": ["local"]}


async def routed(port: Port, **fields: Any) -> Any:
    """Ask for a route."""
    return await port("RouteTask", **{"title": "fix the parser", "requirements": CODING, **fields})


async def refused(port: Port, method: str, /, **fields: Any) -> list[str]:
    """Return the paths of the fields that are refused."""
    with pytest.raises(InvalidArgument) as caught:
        await port(method, **fields)
    return [path for path, _ in caught.value.fields]
