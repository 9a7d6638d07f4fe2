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
        _say({"state": "error", "message": str(error)})
        return 1
    return 0


async def _watch(config: ProbesConfig, access: DatabaseAccess, folder: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _on_input, stop)
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
        _say({"state": "ready"})
        await observer.run(stop)
    finally:
        await observer.close()


def _on_input(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)  # noqa: T201 - the contract with the runner


if __name__ == "__main__":
    sys.exit(main())
