"""The paths of the port."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fleetd.api.calls import Call
from fleetd.api.errors import Code
from fleetd.web.aliases import Aliases
from fleetd.web.connect import Connect
from fleetd.web.errors import Refused
from fleetd.web.issues import IssueOptions, Issues
from fleetd.web.port import Port
from fleetd.web.probes import Probes
from fleetd.web.runtime import Runtime

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
"""Every path answers all of them itself, so that a wrong one is told in the same form as any other error."""


def application(
    port: Port, largest: int, issues: IssueOptions | None = None, chat: str = "chat"
) -> Starlette:
    """
    Return the application; `largest` bytes of an answer of a method; without `issues` there are no webhooks; `chat` names the rollout of the
    predecessor's runtime paths.
    """
    connect, probes = Connect(port, largest), Probes(port)

    async def unknown(request: Request) -> Response:
        async def work(_: Call) -> Response:
            raise Refused(
                404, Code.NOT_FOUND, "PATH_UNKNOWN", "there is no such path; docs/http.md lists them"
            )

        return await port.answer(request, "unknown", work)

    return Starlette(
        routes=[
            Route("/healthz", probes.alive, methods=["GET"]),
            Route("/readyz", probes.ready, methods=["GET"]),
            Route("/webhooks/{source:str}", Issues(port, issues).serve, methods=METHODS),
            *Aliases(port).routes(),
            *Runtime(port, chat).routes(),
            Route("/{service:str}/{method:str}", connect.serve, methods=METHODS),
            Route("/{path:path}", unknown, methods=METHODS),
        ]
    )
