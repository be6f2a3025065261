"""Channels to the daemon: what an address may look like, and the arguments every channel is opened with."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio

from fleetd_client.errors import InvalidArgument

DEFAULT_ADDRESS = "127.0.0.1:50051"
# The daemon's limit of one message, both ways.
MESSAGE_LIMIT = 8 * 1024 * 1024

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MESSAGE_LIMIT),
    ("grpc.max_send_message_length", MESSAGE_LIMIT),
    # Finds a dead socket within 40 s. ping_timeout is the one grpc-core obeys; the documented name is kept equal.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # An agent waits long between words; grpc would stop its pings after two.
    ("grpc.http2.max_pings_without_data", 0),
    # Callers wait with a backoff of their own; the channel's must not outlast it.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Which calls may be repeated is the method table's business.
    ("grpc.enable_retries", 0),
)


def target(address: str) -> str:
    """What grpc dials for `host:port` or `unix:PATH`; anything else is InvalidArgument."""
    if address.startswith("unix:") and len(address) > len("unix:"):
        return address
    host, colon, port = address.rpartition(":")
    if colon and host and port.isdecimal() and 0 < int(port) < 65_536 and "/" not in host:
        return address
    raise InvalidArgument([("address", f"host:port or unix:PATH, not {address!r}")])


def open_channel(address: str) -> Any:
    """A grpc.aio channel of the running loop."""
    return grpc.aio.insecure_channel(target(address), options=OPTIONS)


def open_sync_channel(address: str) -> Any:
    return grpc.insecure_channel(target(address), options=OPTIONS)
