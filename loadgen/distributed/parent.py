"""How a gevent process of ours hears from the process that started it, and answers (chaos.worker)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import gevent.socket


def orders() -> Iterator[dict[str, Any]]:
    """Yield each line of standard input as it comes, until its end; other greenlets go on meanwhile."""
    descriptor = sys.stdin.fileno()
    read = b""
    while True:
        gevent.socket.wait_read(descriptor)
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return
        *lines, read = (read + chunk).split(b"\n")
        yield from map(json.loads, lines)


def tell(state: str, message: str = "", **more: Any) -> None:
    """Send one line to whoever started this process."""
    with suppress(BrokenPipeError):  # it is gone; the records are what remains
        print(json.dumps({"state": state, "message": message, **more}), flush=True)  # noqa: T201 - the protocol
