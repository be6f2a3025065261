"""Addresses of instances: whether they can be used, and whether they lead out of the house."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from fleetd.core.text import is_word, shown

CHARS = 2_048
"""Of one URL at most."""
PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/32", "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::/128", "::1/128", "fc00::/7",
        "fe80::/10",
    )
)  # fmt: skip


def url_problem(value: object) -> str:
    """Return what would be right for an http or https URL; empty when it is good. A password in it is not repeated."""
    if not isinstance(value, str):
        return f"must be a URL, not {shown(value)}"
    if len(value) > CHARS:
        return f"must have at most {CHARS:,} characters, not {len(value):,}"
    if not is_word(value):
        return "must be a URL without blanks or control characters"
    parts = _split(value)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        return f"must be a URL such as http://127.0.0.1:8080/v1, not {hidden(value)}"
    if parts.username is not None:
        return "must hold no user or password: name the secret in credential"
    return ""


def is_host_and_port(target: str) -> bool:
    """Tell whether a text is host:port or [IPv6]:port."""
    parts = _split(f"//{target}") if is_word(target) and len(target) <= CHARS else None
    return bool(parts and parts.netloc == target and parts.hostname and parts.port and parts.username is None)


def is_private(url: str) -> bool:
    """Tell whether a good URL leads to this machine or into a private network. Names other than localhost may mean anything."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in PRIVATE)


def hidden(url: str) -> str:
    """Return a bad URL for an error message, without what stands before an @."""
    return shown(f"…@{url.rpartition('@')[2]}" if "@" in url else url)


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL; None when it has none, or a port that is none."""
    try:
        parts = urlsplit(url)
        usable = parts.port != 0
    except ValueError:
        return None
    return parts if usable else None
