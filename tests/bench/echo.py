"""
The bare server: grpc.aio with the daemon's channel arguments and nothing behind it. `python echo.py` prints its address and ends with stdin.

`Call` answers a unary call with what it got, `Talk` a stream message by message; `Attend` does so with one reader and one writer task,
the least a session with an agent needs.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import grpc

from fleetd.rpc.server import channel_arguments

SERVICE = "bench.Echo"
CALL, TALK, ATTEND = f"/{SERVICE}/Call", f"/{SERVICE}/Talk", f"/{SERVICE}/Attend"
MESSAGE_LIMIT = 8 << 20
MESSAGE = b"x" * 200


async def call(data: bytes, context: Any) -> bytes:
    return data


async def talk(_requests: Any, context: Any) -> None:
    while (data := await context.read()) is not grpc.aio.EOF:
        await context.write(data)


async def attend(_requests: Any, context: Any) -> None:
    outbox: asyncio.Queue[bytes] = asyncio.Queue()

    async def read() -> None:
        while (data := await context.read()) is not grpc.aio.EOF:
            outbox.put_nowait(data)

    async def write() -> None:
        while True:
            await context.write(await outbox.get())

    tasks = {asyncio.create_task(read()), asyncio.create_task(write())}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def serve() -> None:
    server = grpc.aio.server(options=channel_arguments(MESSAGE_LIMIT))
    handlers = {
        "Call": grpc.unary_unary_rpc_method_handler(call),
        "Talk": grpc.stream_stream_rpc_method_handler(talk),
        "Attend": grpc.stream_stream_rpc_method_handler(attend),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(serve())
