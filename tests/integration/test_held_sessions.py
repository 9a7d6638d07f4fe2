"""Sessions that faults hold, on a real server: how many it lets in, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psutil
import psycopg
import pytest
from fix_postgres import SETTINGS, PlainPostgres

from chaos.clock import MonotonicClock
from chaos.db.sessions import Sessions
from chaos.errors import DatabaseError
from chaos.wait import wait_until

PATIENCE_S = 60.0
NAME = "gameday-held"
ALL = int(SETTINGS["max_connections"])


def of(postgres: PlainPostgres) -> Sessions:
    """Those of one process; the server is an instance, too."""
    access = postgres.access()
    return Sessions(replace(access, endpoints={**access.endpoints, "i1": "127.0.0.1"}))


def await_none(sessions: Sessions) -> None:
    """Wait until the server has ended them: it is told to, and does it when it comes to it."""
    wait_until(
        lambda: sessions.held(NAME) == 0,
        "the sessions to end",
        timeout_s=PATIENCE_S,
        errors=(DatabaseError,),
    )


@pytest.fixture
def sessions(postgres: PlainPostgres) -> Iterator[Sessions]:
    held = of(postgres)
    yield held
    wait_until(
        lambda: held.end_sessions(NAME) is None,  # type: ignore[func-returns-value]
        "the sessions to end",
        timeout_s=PATIENCE_S,
        errors=(DatabaseError,),
    )


def test_all_that_the_server_lets_in_are_held_and_it_tells_that_it_is_full(
    sessions: Sessions,
) -> None:
    """Also who holds them cannot connect any more, and can end them all the same."""
    opened = sessions.hold(NAME, "i1", (), sessions=10 * ALL)
    assert ALL // 2 < opened <= ALL
    for ask in (lambda: sessions.query("i1", "SELECT 1"), lambda: sessions.identify("i1")):
        with pytest.raises(DatabaseError) as refused:
            ask()
        assert refused.value.sqlstate == "53300"
    assert sessions.held(NAME) == opened
    sessions.drop(NAME, 3)
    wait_until(
        lambda: sessions.query("i1", "SELECT 1") == [(1,)],
        "a connection to be free",
        timeout_s=PATIENCE_S,
        errors=(DatabaseError,),
    )
    assert sessions.held(NAME) == opened - 3


def test_who_is_there_only_for_a_moment_leaves_no_place_free(postgres: PlainPostgres) -> None:
    """The session of a service that looks at its server, or one that is about to be refused."""
    passing = psycopg.connect(
        host="127.0.0.1", port=postgres.port, user="gameday", dbname="postgres"
    )

    class Clock(MonotonicClock):
        def sleep(self, duration_s: float) -> None:
            if not passing.closed:
                assert duration_s > 0
                backend = passing.info.backend_pid
                passing.close()
                wait_until(
                    lambda: not psutil.pid_exists(backend),
                    "its place to be free",
                    timeout_s=PATIENCE_S,
                )
            super().sleep(duration_s)

    access = postgres.access()
    endpoints = {**access.endpoints, "i1": "127.0.0.1"}
    held = Sessions(replace(access, endpoints=endpoints), Clock())
    opened = held.hold(NAME, "i1", (), sessions=10 * ALL)
    assert passing.closed, "it was refused while that was there"
    with pytest.raises(DatabaseError) as refused:
        held.query("i1", "SELECT 1")
    assert refused.value.sqlstate == "53300"
    assert held.held(NAME) == opened
    held.drop(NAME, opened)
    await_none(held)


def test_another_process_ends_those_that_were_left(
    sessions: Sessions, postgres: PlainPostgres
) -> None:
    sessions.hold(NAME, "i1", (), sessions=3)
    later = of(postgres)
    assert later.held(NAME) == 3
    assert later.held("gameday-another") == 0
    later.end_sessions(NAME)
    await_none(later)


def test_statements_are_held_in_a_transaction(sessions: Sessions, postgres: PlainPostgres) -> None:
    postgres.execute("CREATE TABLE IF NOT EXISTS held (id int)")
    sessions.hold(NAME, "i1", ("LOCK TABLE held IN ACCESS EXCLUSIVE MODE",))
    needing = "DO $$ BEGIN LOCK TABLE held IN ACCESS SHARE MODE NOWAIT; END $$"
    with pytest.raises(DatabaseError) as refused:
        sessions.query("i1", needing)
    assert refused.value.sqlstate == "55P03"
    sessions.end_sessions(NAME)
    await_none(sessions)
    assert sessions.query("i1", needing) == []
    postgres.execute("DROP TABLE held")


def test_statements_are_timed_each_in_a_transaction_of_its_own(sessions: Sessions) -> None:
    felt = sessions.round_trips("i1", "SELECT pg_current_xact_id()", 4)
    assert len(felt.statements_s) == 4
    assert min(felt.statements_s) > 0
    assert min(felt.statements_s) <= felt.median_s <= max(felt.statements_s)
    assert felt.sent_again >= 0
    with pytest.raises(DatabaseError) as refused:
        sessions.round_trips("i1", "SELECT nonsense", 2)
    assert refused.value.sqlstate == "42703"


def test_a_wrong_statement_is_an_error_and_ends_with_the_rest(sessions: Sessions) -> None:
    with pytest.raises(DatabaseError, match="endpoint i1"):
        sessions.hold(NAME, "i1", ("SELECT nonsense",), sessions=2)
    assert sessions.held(NAME) > 0
    sessions.end_sessions(NAME)
    await_none(sessions)


def test_who_holds_sessions_asks_only_where_they_are(postgres: PlainPostgres) -> None:
    """An instance that a fault took away meanwhile has none, and must not be waited for."""
    access = postgres.access()
    gone = {"i1": "127.0.0.1", "i2": "gone.invalid"}
    sessions = Sessions(replace(access, endpoints={**access.endpoints, **gone}))
    sessions.hold(NAME, "i1", ())
    sessions.end_sessions(NAME)
    await_none(sessions)
    with pytest.raises(DatabaseError, match=r"endpoint i2 \(gone.invalid"):
        sessions.held("gameday-of-another-process")
