"""Tasks that nobody awaits: kept until they end, and their errors reach the loop's handler."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


def begin(work: Coroutine[None, None, None], kept: set[asyncio.Task[None]]) -> None:
    """Begin work that is in `kept` until it ends; the loop itself would let it be collected."""
    task = asyncio.create_task(work)
    kept.add(task)

    def ended(task: asyncio.Task[None]) -> None:
        kept.discard(task)
        if not task.cancelled():
            task.result()  # what a callback raises, the loop hands to its handler at once

    task.add_done_callback(ended)
