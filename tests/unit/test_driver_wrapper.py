"""The AWS wrapper's driver: what its errors mean, and connections that it exchanges below its users.

The wrapper is a stand-in that exchanges on demand; its errors are the real ones.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from aws_advanced_python_wrapper import errors as wrapper_errors

from chaos.clock import NS
from chaos.model.access import DatabaseAccess
from chaos.model.gone import GONE_BY_NAME
from chaos.model.history import OperationLog, load_operations
from chaos.model.operation import ConnectionEvent, OperationWriter, Role
from loadgen.arms import find
from loadgen.drivers import aws_wrapper
from loadgen.drivers.aws_wrapper import AwsWrapperDriver, Holder
from loadgen.drivers.base import Statement
from loadgen.drivers.way import Way
from loadgen.seats import Identity, Seats

IDLE = psycopg.pq.TransactionStatus.IDLE


class Clock:
    """A clock that is a second later whenever it is asked."""

    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        self.ns += NS
        return self.ns

    def sleep(self, duration_s: float) -> None:
        raise AssertionError(f"asked to wait {duration_s} s")


class Below:
    """A connection below the wrapper; a broken one cannot say where it leads to."""

    def __init__(self, pid: int, *, broken: bool = False) -> None:
        self.pid, self.broken, self.closed = pid, broken, False
        self.pgconn = SimpleNamespace(transaction_status=IDLE)


class Wrapper:
    """The wrapper's connection."""

    def __init__(self, below: Below) -> None:
        self.target_connection = below
        self.exchanged_for: Below | None = None

    def cursor(self) -> Wrapper:
        return self

    def execute(self, *_: object) -> None:
        if self.exchanged_for is not None:
            self.target_connection = self.exchanged_for
            raise wrapper_errors.FailoverSuccessError("it failed over")

    def close(self) -> None:
        self.target_connection.closed = True


class Rig:
    """One user of the driver, the wrappers it has been given, and what is on record."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.clock, self.opened = folder, Clock(), list[Wrapper]()
        self.operations = OperationWriter(folder, "aws-wrapper")
        access = DatabaseAccess(
            endpoints={"cluster": "c.example"}, port=5432, user="u", password="p", database="d"
        )
        way = Way(
            arm=find("aws-wrapper"),
            access=access,
            endpoint="cluster",
            run="run",
            seats=Seats(self.operations, self.clock),
        )
        monkeypatch.setattr(aws_wrapper.AwsWrapperConnection, "connect", self._connect)
        monkeypatch.setattr(aws_wrapper, "identify", _identify)
        self.user: Holder = AwsWrapperDriver(way).for_user()

    def _connect(self, *_: object, **__: object) -> Wrapper:
        self.opened.append(Wrapper(Below(100 + len(self.opened))))
        return self.opened[-1]

    def log(self) -> OperationLog:
        self.operations.flush()
        return load_operations(self.folder, "aws-wrapper")

    def events(self) -> list[tuple[ConnectionEvent, int]]:
        return [(ConnectionEvent(c["event"]), c["backend_pid"]) for c in self.log().connections]


def _identify(below: Any) -> Identity:
    if below.broken:
        raise psycopg.OperationalError("server closed the connection unexpectedly")
    return Identity(instance="i1", backend_pid=below.pid, role=Role.WRITER, address="127.0.0.1")


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(tmp_path, monkeypatch)


def test_an_exchanged_connection_began_no_later_than_the_operation_that_it_was_exchanged_in(
    rig: Rig,
) -> None:
    rig.user.session().close()
    before_ns = rig.clock.ns
    session = rig.user.session()
    asked_ns = rig.clock.ns
    rig.opened[0].exchanged_for = Below(7)
    rig.clock.ns += 30 * NS  # what the failover takes
    with pytest.raises(wrapper_errors.FailoverSuccessError):
        session.execute(Statement("SELECT 1"), {})
    session.close()
    old, left, new = rig.log().connections
    assert (ConnectionEvent(left["event"]), left["backend_pid"]) == (ConnectionEvent.CLOSED, 100)
    assert left["began_ns"] == old["at_ns"]
    assert (ConnectionEvent(new["event"]), new["backend_pid"]) == (ConnectionEvent.OPENED, 7)
    assert before_ns < new["began_ns"] <= asked_ns
    assert new["at_ns"] > asked_ns + 30 * NS
    assert rig.user.session().seat.backend_pid == 7


@pytest.mark.parametrize("found", ["when it is taken", "when it is given back"])
def test_a_user_goes_on_when_an_exchanged_connection_does_not_say_where_it_leads(
    rig: Rig, found: str
) -> None:
    session = rig.user.session()
    if found == "when it is taken":
        session.close()
        take = rig.user.session
    else:
        take = session.close  # type: ignore[assignment]
    rig.opened[0].target_connection = broken = Below(8, broken=True)
    with pytest.raises(psycopg.OperationalError):
        take()
    assert broken.closed
    assert rig.user.session().seat.backend_pid == 101, "another one was opened"
    kinds = ConnectionEvent
    assert rig.events() == [
        (kinds.OPENED, 100), (kinds.CLOSED, 100), (kinds.FAILED, 0), (kinds.OPENED, 101),
    ]  # fmt: skip


def test_a_user_goes_on_after_a_connection_that_could_not_be_identified_or_closed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(_wrapper: Wrapper) -> None:
        raise wrapper_errors.AwsWrapperError("no such connection")

    with monkeypatch.context() as broken:
        broken.setattr(Wrapper, "close", cannot)
        broken.setattr(Below, "broken", property(lambda _: True, lambda *_: None), raising=False)
        with pytest.raises(psycopg.OperationalError):
            rig.user.session()
    assert rig.user.session().seat.backend_pid == 101


def refused() -> psycopg.OperationalError:
    return psycopg.OperationalError("connection failed: Connection refused")


def caused(cause: psycopg.Error) -> BaseException:
    error = wrapper_errors.AwsWrapperError("the host list could not be asked for")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "name", "sqlstate", "operational", "lost"),
    [
        (
            wrapper_errors.AwsWrapperError("no host list", refused()),
            "----- ConnectionRefused", None, True, True,
        ),
        (caused(refused()), "----- ConnectionRefused", None, True, True),
        (
            wrapper_errors.AwsWrapperError(
                "outer", wrapper_errors.AwsWrapperError("inner", refused())
            ),
            "----- ConnectionRefused", None, True, True,
        ),
        (
            wrapper_errors.AwsConnectError("cannot", psycopg.errors.AdminShutdown("ended")),
            "57P01 AdminShutdown", "57P01", True, True,
        ),
        (
            caused(psycopg.errors.ReadOnlySqlTransaction("read only")),
            "25006 ReadOnlySqlTransaction", "25006", False, False,
        ),
        (
            wrapper_errors.AwsWrapperError("its own"),
            "----- AwsWrapperError", None, False, False,
        ),
        (
            wrapper_errors.FailoverSuccessError("moved"),
            "----- FailoverSuccessError", None, True, True,
        ),
    ],
    ids=["wrapped", "caused", "twice", "shutdown", "read only", "its own", "failover"],
)  # fmt: skip
def test_an_error_of_the_wrapper_means_what_the_one_in_it_means(
    rig: Rig,
    error: BaseException,
    name: str,
    sqlstate: str | None,
    operational: bool,  # noqa: FBT001 - a column of the table
    lost: bool,  # noqa: FBT001 - a column of the table
) -> None:
    trouble = rig.user.trouble(error)
    assert (trouble.error, trouble.sqlstate) == (name, sqlstate)
    assert (trouble.operational, trouble.lost) == (operational, lost)


def test_what_the_wrapper_says_after_a_failover_is_known_as_the_end_of_a_connection(
    rig: Rig,
) -> None:
    for error in (
        wrapper_errors.FailoverSuccessError,
        wrapper_errors.TransactionResolutionUnknownError,
        wrapper_errors.FailoverFailedError,
    ):
        assert rig.user.trouble(error("moved")).error in GONE_BY_NAME
