"""Deleted instances are put back where they were: in the cluster, and in its custom endpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fix_rds import FakeRds, VirtualClock, member, topology
from fix_service import REPORTS

from chaos.faults.base import Fault
from chaos.faults.change_custom_endpoint import ChangeCustomEndpoint
from chaos.faults.delete_all_readers import DeleteAllReaders
from chaos.faults.delete_reader import DeleteReader
from chaos.faults.delete_writer import DeleteWriter
from chaos.model.record import read_events
from chaos.model.topology import CustomEndpoint, Role
from chaos.run.journal import Journal
from chaos.run.restore import replay
from chaos.run.session import FaultSession, look_before

BOTH = replace(REPORTS, static=("i2", "i3"))
WRITING = replace(REPORTS, id="writing", kind="ANY", static=("i1",))
OTHERS = replace(REPORTS, id="others", static=(), excluded=("i2",))
ENDPOINTS = (BOTH, WRITING, OTHERS)


@pytest.fixture
def journal(tmp_path: Path, clock: VirtualClock) -> Journal:
    return Journal(tmp_path / "journal.jsonl", clock, lambda _: None)


@pytest.fixture
def rds(clock: VirtualClock) -> FakeRds:
    members = (member("i1", Role.WRITER), member("i2"), member("i3", tier=2))
    return FakeRds(clock, state=topology(members=members), endpoints=ENDPOINTS)


def planned(rds: FakeRds, journal: Journal, fault: Fault) -> None:
    """Put the records of a fault on disk, as a run does before its request."""
    for record in fault.undo(look_before(fault, rds.context, None, "key")):
        journal.undo(record, "c1")


def deleted(rds: FakeRds, *instances: str) -> None:
    for instance in instances:
        rds.delete_instance(instance)
    rds.clock.sleep(10)


def static(rds: FakeRds) -> set[str]:
    return set(next(e for e in rds.endpoints if e.id == "reports").static)


def results(journal: Journal) -> list[str]:
    return [str(e.data["result"]) for e in read_events(journal._path) if e.type == "undone"]


@pytest.mark.parametrize(
    ("fault", "listed"),
    [
        (DeleteReader(settle_s=0), 2),
        (DeleteReader(target="i3", settle_s=0), 1),
        (DeleteAllReaders(settle_s=0), 2),
        (DeleteWriter(settle_s=0), 1),
    ],
    ids=["reader", "another", "readers", "writer"],
)
def test_custom_endpoints_list_again_what_was_deleted(
    rds: FakeRds, journal: Journal, clock: VirtualClock, fault: Fault, listed: int
) -> None:
    if isinstance(fault, DeleteWriter):
        clock.after(3, lambda: rds.failover("i2"))
    FaultSession(
        fault=fault,
        fault_id=1,
        step=1,
        repeat=1,
        run="run",
        first=rds.state,
        context=rds.context,
        restorer=rds,
        journal=journal,
        clock=clock,
    ).carry_out()
    assert shape(rds.endpoints) == shape(ENDPOINTS)
    changed = [call for call, _ in rds.calls if call in {"create_instance", "modify_endpoint"}]
    assert changed.count("modify_endpoint") == listed
    assert changed[-1] == "modify_endpoint", "an instance must be there before it can be listed"


def shape(endpoints: tuple[CustomEndpoint, ...]) -> dict[str, Any]:
    return {e.id: (set(e.static), set(e.excluded)) for e in endpoints}


def test_a_run_that_died_between_two_deletions_leaves_the_lists_restorable(
    rds: FakeRds, journal: Journal, clock: VirtualClock
) -> None:
    planned(rds, journal, DeleteAllReaders())
    deleted(rds, "i2")
    assert replay(journal, rds, clock, "c1") == []
    assert shape(rds.endpoints) == shape(ENDPOINTS)


def test_two_deletions_at_once_each_put_back_what_is_there(
    rds: FakeRds, journal: Journal, clock: VirtualClock
) -> None:
    planned(rds, journal, DeleteReader(target="i2"))
    planned(rds, journal, DeleteReader(target="i3"))
    deleted(rds, "i2", "i3")
    assert replay(journal, rds, clock, "c1") == []
    assert shape(rds.endpoints) == shape(ENDPOINTS)


def test_a_list_that_the_service_left_as_it_was_is_right(
    rds: FakeRds, journal: Journal, clock: VirtualClock
) -> None:
    planned(rds, journal, DeleteReader(target="i3"))
    deleted(rds, "i3")
    rds.endpoints = ENDPOINTS
    assert replay(journal, rds, clock, "c1") == []
    assert "modify_endpoint" not in [call for call, _ in rds.calls]


def test_a_list_that_somebody_else_has_changed_is_left_alone(
    rds: FakeRds, journal: Journal, clock: VirtualClock
) -> None:
    planned(rds, journal, DeleteReader(target="i3"))
    deleted(rds, "i3")
    rds.endpoints = (replace(BOTH, static=("i1",)), WRITING, OTHERS)
    assert replay(journal, rds, clock, "c1") == []
    assert static(rds) == {"i1"}
    assert any("somebody else has set other members" in one for one in results(journal))


def test_a_list_whose_members_are_all_gone_does_not_become_one_of_all_instances(
    rds: FakeRds, journal: Journal, clock: VirtualClock
) -> None:
    rds.endpoints = (replace(REPORTS, static=("i3",)),)
    change = ChangeCustomEndpoint(endpoint="reports", static_members=("i2",))
    planned(rds, journal, change)
    rds.modify_endpoint("reports", static=("i2",), excluded=())
    deleted(rds, "i3")
    assert replay(journal, rds, clock, "c1") == []
    assert static(rds) == {"i2"}
    assert any("none of i3 is there any more" in one for one in results(journal))
