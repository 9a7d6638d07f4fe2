"""One client of `throughput.py` in a process of its own: `python bare_clients.py VARIANT < settings`.

Each variant keeps `users` greenlets busy with the same insert, and does nothing that its name does
not say. Standard input holds the settings as JSON; the figures go to standard output as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import gevent
import locust  # patches the process: before any driver
import psycopg
import sqlalchemy
from locust import User, task
from locust.env import Environment
from sqlalchemy.orm import Session

ARM = "bench"
SQL = "INSERT INTO {table} (arm, write_id, attempt, keyed) VALUES (%s, %s, 1, false)"
NAMED = "INSERT INTO {table} (arm, write_id, attempt, keyed) VALUES (:arm, :write_id, 1, false)"
Operate = Callable[[], None]
Maker = Callable[[], Operate]
"""Makes, for one user, what carries out one operation."""


class Variants:
    """The clients, by name; write ids are shared, as in one process of traffic."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._parameters: dict[str, Any] = settings["parameters"]
        self._users: int = settings["users"]
        self._sql = SQL.format(table=settings["table"])
        self._named = sqlalchemy.text(NAMED.format(table=settings["table"]))
        self._ids = count(settings["first_id"])

    def psycopg_loop(self) -> Maker:
        """A connection for each user, autocommit."""

        def make() -> Operate:
            execute = psycopg.connect(**self._parameters, autocommit=True).execute
            sql, ids = self._sql, self._ids
            return lambda: execute(sql, (ARM, next(ids)))  # type: ignore[return-value,func-returns-value]

        return make

    def psycopg_commit(self) -> Maker:
        """A connection for each user; a transaction and a commit for each insert."""

        def make() -> Operate:
            connection = psycopg.connect(**self._parameters)
            sql, ids = self._sql, self._ids

            def operate() -> None:
                connection.execute(sql, (ARM, next(ids)))
                connection.commit()

            return operate

        return make

    def psycopg_connect(self) -> Maker:
        """A connection for each operation."""

        def operate() -> None:
            with psycopg.connect(**self._parameters) as connection:
                connection.execute(self._sql, (ARM, next(self._ids)))

        return lambda: operate

    def sqlalchemy_loop(self) -> Maker:
        """A pool, from which each operation takes a connection."""
        engine = self._engine()

        def operate() -> None:
            with engine.connect() as connection:
                connection.execute(self._named, {"arm": ARM, "write_id": next(self._ids)})
                connection.commit()

        return lambda: operate

    def session(self) -> Maker:
        """A pool, and a session (SQLAlchemy's) for each operation."""
        engine = self._engine()

        def operate() -> None:
            with Session(engine) as session:
                session.execute(self._named, {"arm": ARM, "write_id": next(self._ids)})
                session.commit()

        return lambda: operate

    def _engine(self) -> sqlalchemy.Engine:
        given = {k: v for k, v in self._parameters.items() if k != "dbname"}
        url = sqlalchemy.URL.create("postgresql+psycopg", database=self._parameters["dbname"])
        return sqlalchemy.create_engine(
            url, connect_args=given, pool_size=self._users, max_overflow=0
        )


def in_greenlets(make: Maker, users: int, done: list[int]) -> None:
    """Loop without Locust."""

    def loop() -> None:
        operate = make()
        while True:
            operate()
            done[0] += 1

    for _ in range(users):
        gevent.spawn(loop).link_exception(_give_up)


def in_locust(make: Maker, users: int, done: list[int], *, event: bool) -> None:
    """Loop as Locust's users; with `event` each operation is told to `events.request`, as is usual."""

    class Bare(User):
        wait_time = locust.constant(0)

        def on_start(self) -> None:
            self.operate = make()

        @task
        def work(self) -> None:
            if not event:
                self.operate()
                done[0] += 1
                return
            began = time.perf_counter()
            error: Exception | None = None
            try:
                self.operate()
            except (psycopg.Error, sqlalchemy.exc.SQLAlchemyError) as failed:
                error = failed
            self.environment.events.request.fire(
                request_type="SQL",
                name="insert",
                response_time=(time.perf_counter() - began) * 1000,
                response_length=0,
                exception=error,
                context={},
            )
            done[0] += 1

    environment = Environment(user_classes=[Bare])
    environment.create_local_runner().start(users, spawn_rate=users)


def _give_up(died: gevent.Greenlet) -> None:
    raise SystemExit(f"a client failed: {died.exception!r}")


def measured(name: str, settings: dict[str, Any]) -> dict[str, float]:
    """Run one variant for a while, and return what it did after its first tenth."""
    variants, users, done = Variants(settings), settings["users"], [0]
    makers = {
        "psycopg": (variants.psycopg_loop, None),
        "psycopg-commit": (variants.psycopg_commit, None),
        "sqlalchemy": (variants.sqlalchemy_loop, None),
        "locust-psycopg": (variants.psycopg_loop, False),
        "locust-psycopg-commit": (variants.psycopg_commit, False),
        "locust-session-event": (variants.session, True),
        "locust-connect-event": (variants.psycopg_connect, True),
    }
    maker, event = makers[name]
    if event is None:
        in_greenlets(maker(), users, done)
    else:
        in_locust(maker(), users, done, event=event)
    gevent.sleep(max(0.5, settings["round_s"] / 10))
    before, cpu, began = done[0], time.process_time(), time.monotonic()
    gevent.sleep(settings["round_s"])
    return {
        "operations": done[0] - before,
        "cpu_s": time.process_time() - cpu,
        "elapsed_s": time.monotonic() - began,
    }


if __name__ == "__main__":
    figures = measured(sys.argv[1], json.load(sys.stdin))
    print(json.dumps(figures), flush=True)
