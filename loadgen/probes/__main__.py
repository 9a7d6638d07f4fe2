"""The probes process (chaos/worker.py): configuration on standard input, records in a folder."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaos.errors import GamedayError
from chaos.model.access import DatabaseAccess
from chaos.worker import tell
from loadgen.probes.config import ProbesConfig
from loadgen.probes.observer import Observer

NICENESS = -10
"""Added where that is allowed (as root). On the servers' own machine the process must not wait behind
those whose return it times: that made answers up to 8 ms late."""


def main() -> int:
    """Watch until standard input ends; return the exit status."""
    with suppress(PermissionError):
        os.nice(NICENESS)
    fields: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    config = ProbesConfig(**fields["config"])
    access = DatabaseAccess.from_json(fields["access"])
    try:
        asyncio.run(_watch(config, access, Path(fields["folder"])))
    except (GamedayError, OSError) as error:
        tell("error", str(error))
        return 1
    except Exception as error:
        tell("error", f"defect: {error!r}")
        raise  # its traceback belongs into the log
    return 0


async def _watch(config: ProbesConfig, access: DatabaseAccess, folder: Path) -> None:
    stop = asyncio.Event()
    orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _Input(stop, orders).read)
    observer = Observer(config, access, folder)
    try:
        opening = asyncio.create_task(observer.open())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([opening, stopping], return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            opening.cancel()
            return
        stopping.cancel()
        opening.result()
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        observer.start()
        tell("ready")
        watching = asyncio.create_task(observer.run(stop))
        obeying = asyncio.create_task(_obey(observer, orders))
        done, _ = await asyncio.wait([watching, obeying], return_when=asyncio.FIRST_COMPLETED)
        obeying.cancel()
        for task in done:
            task.result()
    finally:
        await observer.close()


async def _obey(observer: Observer, orders: asyncio.Queue[dict[str, Any]]) -> None:
    while True:
        order = await orders.get()
        if order["order"] == "pause":
            await observer.pause()
            tell("paused")
        else:
            observer.resume(order["at_ns"])
            tell("running")


class _Input:
    """Standard input: orders, one a line; its end stops the process."""

    def __init__(self, stop: asyncio.Event, orders: asyncio.Queue[dict[str, Any]]) -> None:
        self._stop = stop
        self._orders = orders
        self._read = b""

    def read(self) -> None:
        chunk = os.read(sys.stdin.fileno(), 4096)
        if not chunk:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._stop.set()
        *lines, self._read = (self._read + chunk).split(b"\n")
        for line in lines:
            self._orders.put_nowait(json.loads(line))


if __name__ == "__main__":
    sys.exit(main())
