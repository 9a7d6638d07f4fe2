"""One libpq connection on the event loop whose every wait can be ended at once.

Cancelling a task that waits in psycopg's own connection makes it first ask the server to cancel,
for seconds, of a server that is gone. Here whoever has enough calls `drop`: the socket closes, and
what waited gets `WireError`. An idle connection is watched, so that one which the server closed is
known to be closed before its next use.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import psycopg
from psycopg import conninfo, pq
from psycopg.pq.abc import PGconn, PGresult

from loadgen.probes.failures import name_of_connect_error, name_of_state

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_LOST = "----- ConnectionLost"


class WireError(Exception):
    """The connection or statement failed; `error` is `SQLSTATE Name`, `-----` where none came."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Wire:
    """A connection that is closed, connecting, idle or asking; used by one task at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pgconn: PGconn | None = None
        self._fd = -1
        self._waiting: asyncio.Future[None] | None = None
        self._why_closed = _LOST
        self.address = ""
        self.connecting = False
        self.reached = False
        """The host accepted the connection: its kernel lives, whatever its server does."""

    @property
    def open(self) -> bool:
        """Tell whether a statement may be sent."""
        return self._pgconn is not None and not self.connecting

    @property
    def backend_pid(self) -> int:
        """The server process, 0 while not connected."""
        return self._pgconn.backend_pid if self._pgconn is not None and self.open else 0

    async def connect(self, parameters: Mapping[str, Any], address: str) -> None:
        """Connect to `address`; `parameters` are libpq's.

        Raises:
            WireError: refused, not authenticated, or dropped meanwhile.
        """
        text = conninfo.make_conninfo(**parameters, hostaddr=address)
        pgconn = pq.PGconn.connect_start(text.encode())
        self._pgconn, self.address, self.connecting, self.reached = pgconn, address, True, False
        writing = True
        while True:
            if pgconn.status == pq.ConnStatus.BAD:
                self._fail(name_of_connect_error(pgconn.get_error_message()))
            await self._until_ready(writing=writing)
            state = pgconn.connect_poll()
            if state == pq.PollingStatus.OK:
                break
            if state == pq.PollingStatus.FAILED:
                self._fail(name_of_connect_error(pgconn.get_error_message()))
            writing = state == pq.PollingStatus.WRITING
            self.reached = self.reached or not writing
        pgconn.nonblocking = 1
        self.connecting = False
        self._watch_idle()

    async def ask(self, statement: bytes, values: Sequence[bytes]) -> list[bytes | None]:
        """Run one statement by itself and return its only row, in text format.

        Raises:
            WireError: the server refused it, the connection broke, or it was dropped meanwhile.
        """
        pgconn = self._pgconn
        if pgconn is None:  # It broke, or was dropped, between the decision to ask and now.
            raise WireError(self._why_closed)
        self._unwatch()
        try:
            pgconn.send_query_params(statement, values)
            while pgconn.flush():
                await self._until_ready(writing=True)
            row, failed = await self._results(pgconn)
        except psycopg.OperationalError:
            # The server's last word may have arrived together with the end of the connection.
            self._fail(_drain(pgconn) or _LOST)
        if pgconn.status == pq.ConnStatus.BAD:
            self._fail(failed or _LOST)
        self._watch_idle()
        if failed or row is None:
            raise WireError(failed or "----- NoRow")
        return row

    def drop(self, error: str) -> None:
        """Close at once, without asking the server; whatever waits on it fails with `error`."""
        self._unwatch()
        pgconn, self._pgconn = self._pgconn, None
        if pgconn is None:
            return
        self._why_closed = error
        if self.connecting and self.reached:
            with suppress(psycopg.OperationalError):  # libpq has closed the socket already.
                _reset_on_close(pgconn.socket)
        self.connecting = False
        pgconn.finish()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _results(self, pgconn: PGconn) -> tuple[list[bytes | None] | None, str]:
        row: list[bytes | None] | None = None
        failed = ""
        while True:
            while pgconn.is_busy():
                await self._until_ready(writing=False)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                return row, failed
            if result.status == pq.ExecStatus.TUPLES_OK and result.ntuples:
                row = [result.get_value(0, column) for column in range(result.nfields)]
            failed = failed or _error_of(result)

    def _fail(self, error: str) -> NoReturn:
        self.drop(error)
        raise WireError(error)

    async def _until_ready(self, *, writing: bool) -> None:
        assert self._pgconn is not None
        # libpq may close the socket and open another, so it is looked up for every wait.
        try:
            self._fd = self._pgconn.socket
        except psycopg.OperationalError:
            self._fail(_LOST)
        waiting = self._waiting = self._loop.create_future()
        add = self._loop.add_writer if writing else self._loop.add_reader
        add(self._fd, _set, waiting)
        try:
            await waiting
        finally:
            self._waiting = None
            self._unwatch()
        if self._pgconn is None:
            raise WireError(self._why_closed)

    def _watch_idle(self) -> None:
        if self._pgconn is not None:
            self._fd = self._pgconn.socket
            self._loop.add_reader(self._fd, self._on_idle_input)

    def _unwatch(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = -1

    def _on_idle_input(self) -> None:
        assert self._pgconn is not None
        try:
            self._pgconn.consume_input()
        except psycopg.OperationalError:
            self.drop(_LOST)


def _error_of(result: PGresult) -> str:
    if result.status != pq.ExecStatus.FATAL_ERROR:
        return ""
    state = result.error_field(pq.DiagnosticField.SQLSTATE)
    return name_of_state(state.decode()) if state else _LOST


def _drain(pgconn: PGconn) -> str:
    while (result := pgconn.get_result()) is not None:
        if error := _error_of(result):
            return error
    return ""


def _set(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _reset_on_close(descriptor: int) -> None:
    # A frozen server finds every abandoned attempt in its queue when it thaws. A reset tells it
    # that nobody waits for the answer, which spares it the authentication.
    with socket.socket(fileno=os.dup(descriptor)) as duplicate:
        duplicate.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
