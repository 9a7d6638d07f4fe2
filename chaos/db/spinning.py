"""Sessions that keep a server's processors busy: short statements, one after the other.

They end when they are told to, when their time is over, and with this process: a server notices at
the end of the statement at hand that its client has gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing

import psycopg

from chaos.clock import NS, Clock

_RETRY_S = 0.5
_JOIN_S = 15.0


class Spinning:
    """Some sessions at work, each in a thread of its own; one that breaks is opened again."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection],
        statement: str,
        *,
        sessions: int,
        for_s: float,
        clock: Clock,
    ) -> None:
        """Open the sessions and begin.

        Raises:
            psycopg.Error: one could not be opened; none is left.
        """
        self._connect = connect
        self._statement = statement.encode()
        self._clock = clock
        self._until_ns = clock.now_ns() + int(for_s * NS)
        self._end = threading.Event()
        with ExitStack() as opening:
            opened = [opening.enter_context(closing(connect())) for _ in range(sessions)]
            opening.pop_all()
        self._threads = [
            threading.Thread(target=self._spin, args=(connection,), name="load", daemon=True)
            for connection in opened
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """End them, each after its statement at hand."""
        self._end.set()
        for thread in self._threads:
            thread.join(_JOIN_S)

    def _spin(self, connection: psycopg.Connection | None) -> None:
        while self._goes_on():
            try:
                connection = connection or self._connect()
                while self._goes_on():
                    connection.execute(self._statement)
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                connection = None
                self._end.wait(_RETRY_S)
        if connection is not None:
            connection.close()

    def _goes_on(self) -> bool:
        return not self._end.is_set() and self._clock.now_ns() < self._until_ns
