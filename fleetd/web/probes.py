"""/healthz and /readyz: is the daemon alive, and does it take work?"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from fleetd.web.errors import json_response
from fleetd.web.port import Port

WHY = {
    "STARTING": "the daemon reads its store and its files, and takes no calls yet",
    "DRAINING": "the daemon is going down: it takes results and no new work",
}


class Probes:
    """Answers those who decide where calls go, and whether to start the daemon again."""

    def __init__(self, port: Port) -> None:
        self._port = port

    async def alive(self, request: Request) -> Response:
        """Answer 200 as long as the event loop turns."""
        return json_response({"status": "alive"})

    async def ready(self, request: Request) -> Response:
        """Answer 200 while work is taken, else 503 with the reason."""
        state = self._port.state
        if state == "SERVING":
            return json_response({"status": "serving"})
        return json_response({"status": state.lower(), "reason": WHY.get(state, "")}, 503)
