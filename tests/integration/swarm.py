"""Many agents in one process: `python swarm.py ADDRESS PREFIX COUNT`. Says `connected` when all are, ends with stdin, then prints what it ran."""

from __future__ import annotations

import asyncio
import json
import sys

import grpc

from fleet.v1 import dispatcher_pb2 as pb
from fleet.v1 import lease_pb2, task_pb2
from fleet.v1.agent_pb2 import AgentSpec
from fleet.v1.dispatcher_pb2_grpc import DispatcherStub


async def agent(stub: DispatcherStub, agent_id: str, ran: list[str], connected: asyncio.Semaphore) -> None:
    """Complete every task that comes, in two messages: start, then the result."""
    stream = stub.Claim()
    spec = AgentSpec(agent_id=agent_id, max_concurrency=2)
    hello = pb.Hello(agent=spec, incarnation="swarm", protocol_version=1)
    await stream.write(pb.ClaimRequest(hello=hello))
    while True:
        message = await stream.read()
        if message == grpc.aio.EOF:
            return
        if message.HasField("welcome"):
            connected.release()
        for lease in message.leases.leases:
            about = {"task_id": lease.task_id, "lease_epoch": lease.lease_epoch}
            start = lease_pb2.Report(start=lease_pb2.StartWord(), **about)
            await stream.write(pb.ClaimRequest(reports=pb.Reports(reports=[start])))
            ran.append(lease.task_id)
            output = task_pb2.Payload(text=agent_id)
            done = lease_pb2.Report(complete=lease_pb2.CompleteWord(output=output), **about)
            await stream.write(pb.ClaimRequest(reports=pb.Reports(reports=[done])))


async def main(address: str, prefix: str, count: int) -> None:
    ran: list[str] = []
    connected = asyncio.Semaphore(0)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = DispatcherStub(channel)
        agents = [asyncio.create_task(agent(stub, f"{prefix}-{n}", ran, connected)) for n in range(count)]
        for _ in range(count):
            await connected.acquire()
        print("connected", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for task in agents:
            task.cancel()
        await asyncio.gather(*agents, return_exceptions=True)
    print(json.dumps(ran))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
