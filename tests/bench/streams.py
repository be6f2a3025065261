"""
Idle streams in one process: `python streams.py daemon|bare ADDRESS COUNT A_CONNECTION OPENING`. Says `{"connected": COUNT, "seconds": …}`, ends
with stdin.

Either kind says hello, at most OPENING of them at once, and then a ping every 10 s, spread evenly; the bare server answers with what it got.
A_CONNECTION streams share a connection.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic
from typing import Any

import grpc
from echo import ATTEND

from fleet.v1.agent_pb2 import AgentSpec
from fleet.v1.dispatcher_pb2 import ClaimRequest, Hello, Ping
from fleetd_client.backoff import Backoff

CLAIM = "/fleet.v1.Dispatcher/Claim"
INTERVAL = 10.0
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


async def main(kind: str, address: str, count: int, a_connection: int, opening: int) -> None:
    path = CLAIM if kind == "daemon" else ATTEND
    room = asyncio.Semaphore(opening)
    channels = [
        grpc.aio.insecure_channel(address, options=OWN_CONNECTION) for _ in range(0, count, a_connection)
    ]

    async def connect(number: int) -> Any:
        async with room:
            spec = AgentSpec(agent_id=f"agent-{number}", max_concurrency=1)
            hello = ClaimRequest(hello=Hello(agent=spec, incarnation="bench", protocol_version=1))
            backoff = Backoff()
            while True:
                stream = channels[number // a_connection].stream_stream(path)()
                try:
                    await stream.write(hello.SerializeToString())
                    if await stream.read() is not grpc.aio.EOF:
                        return stream
                except grpc.aio.AioRpcError:
                    pass
                # Turned away: too many came at once.
                await asyncio.sleep(backoff.next())

    began = monotonic()
    streams = await asyncio.gather(*(connect(number) for number in range(count)))
    took = monotonic() - began
    readers = [asyncio.create_task(read(stream)) for stream in streams]
    pinger = asyncio.create_task(ping(streams))
    print(json.dumps({"connected": count, "seconds": took}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for task in (pinger, *readers):
        task.cancel()


async def read(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


async def ping(streams: list[Any]) -> None:
    began, sequence = monotonic(), 0
    while True:
        sequence += 1
        message = ClaimRequest(ping=Ping(sequence=sequence)).SerializeToString()
        for number, stream in enumerate(streams):
            due = began + (sequence - 1 + number / len(streams)) * INTERVAL
            if (early := due - monotonic()) > 0:
                await asyncio.sleep(early)
            await stream.write(message)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])))
