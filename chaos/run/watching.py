"""Looking at the cluster again and again while something else is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_INTERVAL_S = 0.1


@contextmanager
def watching(look: Callable[[], None], not_now: tuple[type[Exception], ...]) -> Iterator[None]:
    """Call `look` in a thread of its own until the block ends.

    Args:
        look: only watches.
        not_now: exceptions of `look` that mean that it saw nothing this time; any other one ends the
            watch, and is raised at the end of the block unless the block raised one itself.
    """
    over, broke = threading.Event(), list[Exception]()

    def watch() -> None:
        while not over.is_set():
            try:
                with suppress(*not_now):
                    look()
            except Exception as error:  # noqa: BLE001 - handed over to the block's thread
                broke.append(error)
                return
            over.wait(_INTERVAL_S)

    thread = threading.Thread(target=watch, name="watching", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if broke:
        raise broke[0]
