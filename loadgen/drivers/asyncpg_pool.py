"""asyncpg's pool. Its event loop runs in a thread; users are threads that wait for its answers.

An attempt's deadline is kept by the loop, which ends the connection of one that is over: asyncpg
would first ask the server to cancel, and wait for a server that may be silent.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import asyncpg

from chaos.model.gone import GONE_BY_STATE
from loadgen.drivers.base import NOWHERE, Rows, Seat, Statement, Trouble
from loadgen.drivers.psycopg_errors import first_line
from loadgen.drivers.statements import Numbered
from loadgen.drivers.way import Way
from loadgen.outcome import POOL_TIMEOUT, DeadlineExceeded, name_of_error
from loadgen.seats import Identity
from loadgen.tables import IDENTITY, IDENTITY_BY_ADDRESS

# The pool's attempts to open connections in the background fail where nobody asks how they went;
# they are recorded as failed connections.
logging.getLogger("asyncio").setLevel(logging.CRITICAL)

_CLOSE_S_MAX = 2.0
_GIVE_BACK_S_MIN = 0.1
"""How long giving a connection back may take where an attempt used up its deadline."""
_RETRIED_CLASSES = ("08", "40", "53", "55", "57")
"""Classes that psycopg calls OperationalError; asyncpg has no such name."""
T = TypeVar("T")


class PoolWaitExceeded(Exception):  # noqa: N818 - it is recorded by the name that all pools share
    """No connection of the pool was free in time."""


class Seated(asyncpg.Connection):  # type: ignore[misc]
    """A connection that knows where it sits."""

    seat: Seat = NOWHERE

    @property
    def itself(self) -> Seated:
        """This, not what the pool hands out, which knows nothing any more once it has broken."""
        return self


class AsyncpgDriver:
    """A pool for one endpoint and the loop it lives in."""

    errors: tuple[type[BaseException], ...] = (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,  # TimeoutError among them
        PoolWaitExceeded,
        DeadlineExceeded,
    )

    def __init__(self, way: Way) -> None:
        """Start the loop; nothing is opened."""
        self._way = way
        self._settings = dict(way.arm.pool)
        self.acquire_s_max: float | None = self._settings.pop("acquire_timeout", None)
        self.deadline_s = way.arm.deadline_s
        self.statements: dict[Statement, Numbered] = {}
        self.loop = asyncio.new_event_loop()
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()
        threading.Thread(target=self.loop.run_forever, name="asyncpg", daemon=True).start()

    def session(self) -> AsyncpgSession:
        """Wait for a connection."""
        session = AsyncpgSession(self)
        session.acquire()
        return session

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry work out in the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    async def pool(self) -> asyncpg.Pool:
        """Return the pool, opened; one that could not be opened is made anew next time."""
        async with self._opening:
            if self._pool is None:
                pool = asyncpg.create_pool(
                    connect=self._connect, connection_class=Seated, **self._settings
                )
                await pool
                self._pool = pool
            return self._pool

    def trouble(self, error: BaseException) -> Trouble:
        """Say what an error of asyncpg, its pool or the network means."""
        message, type_name = str(error), type(error).__name__
        sqlstate = getattr(error, "sqlstate", None)
        told = first_line(message, type_name)
        if isinstance(error, PoolWaitExceeded):
            return Trouble(error=POOL_TIMEOUT, message=told, gave_up=True)
        lost = isinstance(error, (OSError, asyncpg.InterfaceError)) or bool(
            sqlstate and sqlstate.startswith(GONE_BY_STATE)
        )
        return Trouble(
            error=name_of_error(sqlstate, type_name, message),
            message=told,
            sqlstate=sqlstate,
            operational=lost or bool(sqlstate and sqlstate.startswith(_RETRIED_CLASSES)),
            lost=lost,
        )

    def close(self) -> None:
        """Close the pool's connections, at once where that takes too long."""
        self.call(self._close())

    async def _close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S_MAX):
                await pool.close()
        except self.errors:
            pool.terminate()

    async def _connect(self, *_pool: Any, **settings: Any) -> Seated:
        way = self._way
        began_ns = way.seats.now()
        connection: Seated | None = None
        try:
            connection = await asyncpg.connect(
                _address(way),
                server_settings={"application_name": way.session_name, **way.arm.session},
                **{**way.arm.connection_through(way.endpoint), **settings},
            )
            identity = await _identify(connection)
        except BaseException as error:
            way.seats.failed(began_ns, way.endpoint, error)
            if connection is not None:
                connection.terminate()
            raise
        connection.seat = seat = way.seats.opened(began_ns, way.endpoint, identity)
        connection.add_termination_listener(lambda _: way.seats.closed(way.endpoint, seat))
        return connection


class AsyncpgSession:
    """One connection of the pool, in a transaction from its first statement on."""

    def __init__(self, driver: AsyncpgDriver) -> None:
        self._driver = driver
        self._pool: asyncpg.Pool | None = None
        self._connection: Any = None
        self._below: Seated | None = None
        self._transaction: Any = None
        self._until_s: float | None = None
        if driver.deadline_s is not None:
            self._until_s = driver.loop.time() + driver.deadline_s
        self.seat: Seat = NOWHERE

    def acquire(self) -> None:
        """Wait for a connection."""
        self._driver.call(self._in_time(self._acquire()))

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Rows:
        """Run a statement."""
        compiled = self._driver.statements.get(statement)
        if compiled is None:
            compiled = self._driver.statements[statement] = Numbered.of(statement.sql)
        arguments = compiled.arguments(parameters)
        return self._driver.call(
            self._in_time(self._execute(compiled.sql, arguments, rows=statement.rows))
        )

    def commit(self) -> None:
        """Commit."""
        self._driver.call(self._in_time(self._commit()))

    def close(self) -> None:
        """Give it back, rolled back unless committed."""
        self._driver.call(self._release())

    async def _in_time(self, work: Coroutine[Any, Any, T], least_s: float = 0.0) -> T:
        until_s = self._until_s
        if until_s is not None:
            until_s = max(until_s, self._driver.loop.time() + least_s)
        try:
            async with asyncio.timeout_at(until_s) as limit:
                return await work
        except TimeoutError:
            if not limit.expired():
                raise
            if self._below is not None:
                self._below.terminate()
            raise DeadlineExceeded(f"no answer within {self._driver.deadline_s:g} s") from None

    async def _acquire(self) -> None:
        self._pool = pool = await self._driver.pool()
        limit_s = self._driver.acquire_s_max
        try:
            async with asyncio.timeout(limit_s) as limit:
                self._connection = connection = await pool.acquire()
        except TimeoutError:
            if not limit.expired():
                raise
            raise PoolWaitExceeded(f"no connection was free within {limit_s:g} s") from None
        self._below, self.seat = connection.itself, connection.seat

    async def _execute(self, sql: str, arguments: list[Any], *, rows: bool) -> Rows:
        connection = self._connection
        if self._transaction is None:
            self._transaction = connection.transaction()
            await self._transaction.start()
        if rows:
            found: Rows = await connection.fetch(sql, *arguments)
            return found
        await connection.execute(sql, *arguments)
        return ()

    async def _commit(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            await transaction.commit()

    async def _release(self) -> None:
        connection, pool, below = self._connection, self._pool, self._below
        if below is None or pool is None:
            return
        transaction, self._transaction = self._transaction, None
        try:
            if transaction is not None and not below.is_closed():
                await self._in_time(transaction.rollback(), _GIVE_BACK_S_MIN)
        finally:
            # A round trip, which resets the session.
            await self._in_time(pool.release(connection), _GIVE_BACK_S_MIN)


def _address(way: Way) -> str:
    """Return a URL, the one form in which asyncpg takes libpq's TLS parameters."""
    access = way.access
    user, password = quote(access.user, safe=""), quote(access.password, safe="")
    options = {name: value for name, value in access.options.items() if name.startswith("ssl")}
    query = f"?{urlencode(options)}" if options else ""
    database = quote(access.database, safe="")
    return f"postgresql://{user}:{password}@{way.host}:{access.port}/{database}{query}"


async def _identify(connection: Seated) -> Identity:
    try:
        row = await connection.fetchrow(IDENTITY)
    except asyncpg.UndefinedFunctionError:
        row = await connection.fetchrow(IDENTITY_BY_ADDRESS)
    transport = connection._transport  # noqa: SLF001 - nothing else tells the address
    address = transport.get_extra_info("peername") if transport is not None else None
    return Identity.of(row, str(address[0]) if address else "")
