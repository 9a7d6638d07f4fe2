"""What a reader does with what is streamed to it: replays it late, or not at all for a while.

All of it has arrived, so nothing is lost: whoever promotes a reader lets it catch up first.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chaos.testcluster.postgres.node import Node

_PERIOD_S = 0.5


class Replay:
    """The replay of one node, when it is disturbed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._delayed = False
        self._block: _Block | None = None

    @property
    def lags(self) -> bool:
        """Whether it is kept from having replayed what it has received."""
        return self._delayed or self._block is not None

    def delay(self, lag_s: float | None) -> None:
        """Replay every commit so long after it was made; None: at once."""
        self._delayed = lag_s is not None
        wanted = None if lag_s is None else f"{lag_s * 1000:.0f}ms"
        self._node.set({"recovery_min_apply_delay": wanted})

    def block(self, share: float) -> Callable[[], None]:
        """Replay nothing for a share of the time (0 to 1); return what ends that."""
        block = self._block = _Block(self._node, share)

        def ending() -> None:
            block.end()
            if self._block is block:
                self._block = None

        return ending

    def catch_up(self) -> None:
        """End, for good, whatever keeps it back."""
        if self._delayed:
            self.delay(None)
        block, self._block = self._block, None
        if block is not None:
            block.end()


class _Block:
    """A node's replay that stands still for a share of the time, until `end`."""

    def __init__(self, node: Node, share: float) -> None:
        self._node = node
        self._share = share
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"replay of {node.identifier}", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        self._node.ask("SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()")

    def _run(self) -> None:
        # Again in every period, because a restarted server knows nothing of it.
        while not self._over.is_set():
            self._node.ask("SELECT pg_wal_replay_pause() WHERE pg_is_in_recovery()")
            if self._over.wait(self._share * _PERIOD_S):
                return
            if self._share < 1:
                self._node.ask("SELECT pg_wal_replay_resume() WHERE pg_is_in_recovery()")
                self._over.wait((1 - self._share) * _PERIOD_S)
