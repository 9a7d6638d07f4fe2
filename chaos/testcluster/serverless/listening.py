"""Connections that wait to be accepted, seen from outside the listening process.

The kernel completes a TCP handshake although the server that listens is stopped, and queues the
connection. So whoever connects to a paused instance waits and is served once it runs again.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection
from pathlib import Path

_TABLE = Path("/proc/net/tcp")
_LISTEN = "0A"


def addresses_called(addresses: Collection[tuple[str, int]]) -> set[str]:
    """Return those IPv4 addresses at whose port connections wait in a listening socket's queue."""
    wanted = {_key(address, port): address for address, port in addresses}
    if not wanted:
        return set()
    return {
        wanted[fields[1]]
        for line in _TABLE.read_text().splitlines()[1:]
        # Of a listening socket the receive queue's length is the number of waiting connections.
        if (fields := line.split())[1] in wanted
        and fields[3] == _LISTEN
        and int(fields[4].partition(":")[2], 16) > 0
    }


def _key(address: str, port: int) -> str:
    """Return an address and port as the kernel's table writes them."""
    (number,) = struct.unpack("=I", socket.inet_aton(address))
    return f"{number:08X}:{port:04X}"
