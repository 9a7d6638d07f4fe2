"""Faults inside the database: what they ask of it, and how their effect is seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fix_rds import FakeRds, topology
from pydantic import ValidationError

from chaos.errors import DatabaseError, GuardRefused
from chaos.faults.base import Before, Fault
from chaos.faults.block_with_lock import BlockWithLock
from chaos.faults.disk_congestion import DiskCongestion
from chaos.faults.disk_failure import DiskFailure
from chaos.faults.exhaust_connections import ExhaustConnections
from chaos.faults.long_transaction import LongTransaction
from chaos.faults.replica_lag import ReplicaLag
from chaos.run.session import look_before

VOLUME = {"aurora_show_volume_status": [(96, 45)]}


def before_of(fault: Fault, rds: FakeRds) -> Before:
    return look_before(fault, rds.context, None, "key")


def statements(rds: FakeRds) -> list[tuple[str, str]]:
    """The endpoints and statements that were sent in sessions of their own."""
    return [argument for call, argument in rds.calls if call == "query"]


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (
            ReplicaLag(percent=50, for_s=20),
            ["aurora_inject_replica_failure(50.0, 20, 'i2')"],
        ),
        (
            ReplicaLag(target="all readers"),
            [f"aurora_inject_replica_failure(100.0, 15, 'i{n}')" for n in (2, 3)],
        ),
        (
            DiskCongestion(index=3, minimum_ms=1, maximum_ms=2.5, for_s=9),
            ["aurora_inject_disk_congestion(100.0, 3, True, 9, 1.0, 2.5)"],
        ),
        (
            DiskFailure(percent=25, index=44, is_disk=False),
            ["aurora_inject_disk_failure(25.0, 44, False, 15)"],
        ),
    ],
    ids=["one reader", "all readers", "congestion", "failure"],
)
def test_aurora_is_asked_by_its_own_functions_on_the_writer(
    fault: Fault, sent: list[str], rds: FakeRds
) -> None:
    rds.replies = dict(VOLUME)
    before = before_of(fault, rds)
    rds.calls.clear()
    fault.inject(rds.context, before)
    assert statements(rds) == [("i1", f"SELECT pg_catalog.{call}") for call in sent]
    assert fault.undo(before) == ()
    assert "ends by itself" in fault.undoes


def test_a_reader_lags_by_what_the_writer_says_of_it(rds: FakeRds) -> None:
    fault = ReplicaLag(target="all readers", lag_ms_min=200)
    before = before_of(fault, rds)
    for lags, behind in (((0.4, None), False), ((900, 20), False), ((900, 200), True)):
        rds.replies["aurora_replica_status"] = [
            ("i1", None),
            *zip(("i2", "i3"), lags, strict=True),
        ]
        assert (fault.took_effect(rds.context, before) == "i2, i3") is behind
    assert not fault.is_recovered(rds.context, before)
    with pytest.raises(GuardRefused, match="i2 is 900 ms behind already"):
        before_of(fault, rds)
    rds.replies.clear()
    assert fault.is_recovered(rds.context, before)


@pytest.mark.parametrize(
    ("fault", "late_s"),
    [
        (DiskCongestion(minimum_ms=20, maximum_ms=100), 0.032),
        (DiskCongestion(minimum_ms=20, maximum_ms=100, percent=50), 0.017),
        (DiskFailure(late_ms_min=20), 0.0215),
    ],
    ids=["all", "a half", "failure"],
)
def test_a_disk_s_fault_shows_in_commits(fault: Fault, late_s: float, rds: FakeRds) -> None:
    rds.replies = dict(VOLUME)
    before = before_of(fault, rds)
    assert fault.took_effect(rds.context, before) is None
    assert fault.is_recovered(rds.context, before)
    rds.trip_s = late_s
    assert fault.took_effect(rds.context, before) == "i1"
    assert not fault.is_recovered(rds.context, before)
    rds.trip_s = late_s - 0.002
    assert fault.took_effect(rds.context, before) is None


def test_connections_are_taken_until_one_is_refused(rds: FakeRds) -> None:
    fault = ExhaustConnections(sessions_max=300)
    rds.replies["max_connections"] = [(190,)]
    before = before_of(fault, rds)
    (record,) = fault.undo(before)
    fault.inject(rds.context, before)
    assert rds.sessions == {"key": 300}
    assert fault.took_effect(rds.context, before) is None
    rds.replies["max_connections"] = DatabaseError("planted", sqlstate="53300")
    assert fault.took_effect(rds.context, before) == "i1"
    record.send(rds)
    assert record.look(rds).state == "right"
    rds.replies["max_connections"] = [(190,)]
    assert fault.is_recovered(rds.context, before)


def test_another_refusal_than_too_many_is_no_effect(rds: FakeRds) -> None:
    fault = ExhaustConnections()
    rds.replies["max_connections"] = [(190,)]
    before = before_of(fault, rds)
    rds.replies["max_connections"] = DatabaseError("planted", sqlstate="28P01")
    with pytest.raises(DatabaseError, match="planted"):
        fault.took_effect(rds.context, before)


@pytest.mark.parametrize(("leave", "free"), [(0, 0), (5, 5), (5, -3)])
def test_what_is_exhausted_already_cannot_be(rds: FakeRds, leave: int, free: int) -> None:
    rds.replies["max_connections"] = [(free,)]
    with pytest.raises(GuardRefused, match=f"has {max(0, free)} free connections already"):
        before_of(ExhaustConnections(leave=leave), rds)
    assert rds.sessions == {}


def test_some_connections_are_left_where_wanted(rds: FakeRds) -> None:
    fault = ExhaustConnections(target="i2", leave=5, sessions_max=100)
    rds.replies["max_connections"] = [(190,)]
    before = before_of(fault, rds)
    fault.inject(rds.context, before)
    assert rds.sessions == {"key": 95}
    for free, effect in ((6, None), (5, "i2"), (0, "i2")):
        rds.replies["max_connections"] = [(free,)]
        assert fault.took_effect(rds.context, before) == effect
        assert fault.is_recovered(rds.context, before) is (effect is None)


@pytest.mark.parametrize(
    ("lock", "taken", "needed"),
    [
        ("access-exclusive", "LOCK TABLE shop.orders IN ACCESS EXCLUSIVE MODE", "ACCESS SHARE"),
        ("exclusive", "LOCK TABLE shop.orders IN EXCLUSIVE MODE", "ROW EXCLUSIVE"),
        (
            "rows",
            "SELECT count(*) FROM (SELECT FROM shop.orders FOR UPDATE) r",
            "PERFORM FROM shop.orders FOR UPDATE NOWAIT",
        ),
    ],
)
def test_a_lock_is_held_in_a_transaction_and_shows_by_who_needs_it(
    lock: Any, taken: str, needed: str, rds: FakeRds
) -> None:
    fault = BlockWithLock(table="shop.orders", lock=lock, hold_s=7)
    before = before_of(fault, rds)
    fault.inject(rds.context, before)
    limit = "SET LOCAL idle_in_transaction_session_timeout = '3727s'"
    assert ("hold", ("i1", (limit, taken))) in rds.calls
    assert fault.took_effect(rds.context, before) is None
    rds.replies["NOWAIT"] = DatabaseError("planted", sqlstate="55P03")
    assert fault.took_effect(rds.context, before) == "i1"
    assert needed in statements(rds)[-1][1]
    rds.replies["NOWAIT"] = DatabaseError("planted", sqlstate="42501")
    with pytest.raises(DatabaseError):
        fault.took_effect(rds.context, before)


def test_the_tables_of_the_run_s_traffic_are_locked_unless_one_is_named(rds: FakeRds) -> None:
    fault = BlockWithLock()
    before = before_of(fault, rds)
    with pytest.raises(GuardRefused, match="no table of a run"):
        fault.inject(rds.context, before)
    rds.replies["pg_tables"] = [("gameday.one",), ("gameday.two",)]
    fault.inject(rds.context, before)
    (held,) = (argument for call, argument in rds.calls if call == "hold")
    assert [s.split()[2] for s in held[1][1:]] == ["gameday.one", "gameday.two"]


def test_a_transaction_is_long_once_the_server_shows_it_so_old(rds: FakeRds) -> None:
    fault = LongTransaction(target="any reader", older_than_s=2)
    before = before_of(fault, rds)
    fault.inject(rds.context, before)
    assert rds.sessions == {"key": 1}
    for shown, effect in (
        (("other", 9.0, "7"), None),
        (("key", 1.9, "7"), None),
        (("key", 2.0, None), None),
        (("key", 2.0, "7"), "i2: idle in a transaction for 2.0 s, xmin 7"),
    ):
        rds.replies["idle in transaction"] = [shown]
        assert fault.took_effect(rds.context, before) == effect
    without = LongTransaction(snapshot=False)
    rds.replies["idle in transaction"] = [("key", 6.0, None)]
    assert without.took_effect(rds.context, before_of(without, rds)) is not None


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (ReplicaLag(target="writer"), "replica-lag: i1 is the writer; name a reader"),
        (DiskFailure(index=96), "has 96 disks and 45 nodes"),
        (DiskCongestion(index=45, is_disk=False), "choose an index below"),
        (BlockWithLock(table="nowhere"), "has no table nowhere"),
    ],
    ids=["lag", "disk", "node", "table"],
)
def test_what_there_is_not_is_refused_before(fault: Fault, why: str, rds: FakeRds) -> None:
    rds.replies = {**VOLUME, "to_regclass": [(False,)]}
    with pytest.raises(GuardRefused, match=why):
        before_of(fault, rds)


@pytest.mark.parametrize("fault", [ReplicaLag(), DiskFailure(), DiskCongestion()])
def test_another_engine_has_no_such_function(fault: Fault) -> None:
    with pytest.raises(GuardRefused, match="runs aurora-mysql; only Aurora PostgreSQL"):
        fault.resolve(replace(topology(), engine="aurora-mysql"))


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        (ReplicaLag, {"for_s": 5, "hold_s": 5}, "hold_s must be less than for_s"),
        (ReplicaLag, {"for_s": 1, "lag_ms_min": 1000}, "lag_ms_min must be less than for_s"),
        (DiskCongestion, {"minimum_ms": 5, "maximum_ms": 5}, "minimum_ms must be less"),
        (DiskCongestion, {"maximum_ms": 101}, "less than or equal to 100"),
        (BlockWithLock, {"table": "a; DROP TABLE b"}, "should match pattern"),
        (ExhaustConnections, {"leave": -1}, "greater than or equal to 0"),
    ],
)
def test_wrong_parameters_are_told(kind: type[Fault], fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        kind(**fields)
