"""Sessions that keep a real server busy: they end when told, by themselves, and with their process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from fix_postgres import PlainPostgres

from chaos.clock import MonotonicClock
from chaos.db.sessions import Sessions
from chaos.db.spinning import Spinning
from chaos.errors import DatabaseError
from chaos.wait import wait_until

pytestmark = [pytest.mark.seconds(15)]

PATIENCE_S = 60.0
BUSY = "SELECT count(*) FROM generate_series(1, 1000)"
_CHILD = """
import json, sys
from chaos.db.sessions import Sessions
from chaos.model.access import DatabaseAccess
sessions = Sessions(DatabaseAccess.from_json(json.loads(sys.argv[1])))
sessions.spin(sys.argv[2], "cluster", sys.argv[3], sessions=2, for_s=600)
print("spinning", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def name(postgres: PlainPostgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """An `application_name` of the test's own; its sessions are gone afterwards."""
    own = f"spin-{abs(hash(request.node.nodeid)):x}"
    yield own
    wait_until(lambda: not alive(postgres, own), "no session to be left", timeout_s=PATIENCE_S)


def alive(postgres: PlainPostgres, name: str) -> list[tuple[object, ...]]:
    return postgres.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY pid", name
    )


def statements(postgres: PlainPostgres) -> int:
    """Return how many transactions the server has committed, told late by it."""
    row = postgres.execute("SELECT sum(xact_commit)::bigint FROM pg_stat_database")
    return int(str(row[0][0]))


def test_sessions_work_until_they_are_ended(postgres: PlainPostgres, name: str) -> None:
    sessions = Sessions(postgres.access())
    before = statements(postgres)
    sessions.spin(name, "cluster", BUSY, sessions=3, for_s=600)
    assert len(alive(postgres, name)) == 3
    wait_until(
        lambda: statements(postgres) > before + 100, "statements to run", timeout_s=PATIENCE_S
    )
    sessions.end_sessions(name)
    wait_until(lambda: not alive(postgres, name), "the sessions to end", timeout_s=PATIENCE_S)


def test_sessions_that_are_broken_are_opened_again(postgres: PlainPostgres, name: str) -> None:
    sessions = Sessions(postgres.access())
    sessions.spin(name, "cluster", BUSY, sessions=2, for_s=600)
    first = set(alive(postgres, name))
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", name
    )
    wait_until(
        lambda: len(set(alive(postgres, name)) - first) == 2,
        "other sessions instead",
        timeout_s=PATIENCE_S,
    )
    sessions.end_sessions(name)


def test_sessions_end_by_themselves_when_their_time_is_over(
    postgres: PlainPostgres, name: str
) -> None:
    Sessions(postgres.access()).spin(name, "cluster", BUSY, sessions=2, for_s=0.5)
    wait_until(lambda: not alive(postgres, name), "their time to be over", timeout_s=PATIENCE_S)


def test_sessions_end_with_their_process(postgres: PlainPostgres, name: str) -> None:
    access = json.dumps(postgres.access().as_json())
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, access, name, BUSY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"spinning\n"
        assert len(alive(postgres, name)) == 2
        child.kill()
    wait_until(lambda: not alive(postgres, name), "the sessions to end", timeout_s=PATIENCE_S)


def test_a_server_that_lets_not_all_in_is_told_and_has_none_left(
    postgres: PlainPostgres, name: str
) -> None:
    opened: list[psycopg.Connection] = []

    def connect() -> psycopg.Connection:
        if len(opened) == 2:
            raise psycopg.OperationalError("planted: too many clients already")
        parameters = postgres.access().parameters("cluster")
        opened.append(psycopg.connect(**parameters, application_name=name))
        return opened[-1]

    with pytest.raises(psycopg.OperationalError, match="planted"):
        Spinning(connect, BUSY, sessions=3, for_s=5, clock=MonotonicClock())
    assert all(connection.closed for connection in opened)


def test_an_endpoint_that_does_not_answer_is_named(postgres: PlainPostgres, name: str) -> None:
    access = postgres.access()
    nowhere = type(access)(**{**access.as_json(), "port": 1, "name_server": None})
    with pytest.raises(DatabaseError, match=r"endpoint cluster \(127.0.0.1:1\)"):
        Sessions(nowhere).spin(name, "cluster", BUSY, sessions=1, for_s=5)
