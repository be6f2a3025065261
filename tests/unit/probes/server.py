"""A real HTTP server on loopback that answers as a test says: in bytes, so that it can also answer garbage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

Answer = Callable[[bytes], Awaitable[bytes] | bytes]
"""Takes the request line, such as b"GET /health HTTP/1.1", returns all bytes of the answer."""


def http(status: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


class Server:
    """Where it listens, and what was asked. With `keep_open` a connection stays for the next request, as most servers have it."""

    def __init__(self, answer: Answer, *, keep_open: bool) -> None:
        self.answer = answer
        self.keep_open = keep_open
        self.connections = 0
        self.asked: list[bytes] = []
        self.heads: list[bytes] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                line, _, rest = head.partition(b"\r\n")
                self.asked.append(line)
                self.heads.append(rest)
                answer = self.answer(line)
                writer.write(answer if isinstance(answer, bytes) else await answer)
                await writer.drain()
                if not self.keep_open:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the prober went away; that is its right
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer, *, keep_open: bool = False, port: int = 0) -> AsyncGenerator[Server]:
    server = Server(answer, keep_open=keep_open)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", port)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


async def free_port() -> int:
    """Return a port nobody listens on."""
    listening = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    return port
