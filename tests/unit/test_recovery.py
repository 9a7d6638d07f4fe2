"""What `gameday recover` makes of a journal: whole, torn, of another version; and of the cluster."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fix_rds import FakeRds, VirtualClock, member, topology

from chaos.errors import ControlPlaneError, HostError
from chaos.model.identity import Identity
from chaos.model.snapshot import Snapshot, differences
from chaos.model.topology import Capacity, CustomEndpoint, Role
from chaos.run.journal import Journal
from chaos.run.recovery import calm, left_by, recover, take
from chaos.safety.undo import DeleteInstance, EndDisturbance, RestoreWriter, SetCapacity
from chaos.safety.undo.base import UndoRecord

BOUNDS = SetCapacity(min_acu=1, max_acu=8, run_min_acu=0.5, run_max_acu=2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def died(path: Path, rds: FakeRds, *records: UndoRecord) -> None:
    """Write the journal of a run that died with these records open."""
    journal = Journal(path, rds.clock, lambda _: None)
    journal.event("run", state="started", format=1)
    journal.event("snapshot", when="before", snapshot=take(rds).as_json())
    for record in records:
        journal.undo(record, "c1")
    journal.close()


def recovered(path: Path, rds: FakeRds) -> list[str]:
    journal = Journal(path, rds.clock, lambda _: None)
    try:
        left = left_by(path)
        calm(left, journal, rds.control)
        return recover(left, journal, rds, rds.clock, "c1")
    finally:
        journal.close()


def test_a_cluster_that_is_as_it_was_leaves_nothing_to_tell(
    path: Path, rds: FakeRds, clock: VirtualClock
) -> None:
    died(path, rds, BOUNDS)
    rds.state = topology(capacity=Capacity(min_acu=0.5, max_acu=2))
    assert recovered(path, rds) == []
    assert rds.state == topology()
    assert not left_by(path)


def test_a_member_that_was_created_again_is_asked_by_its_name(path: Path, rds: FakeRds) -> None:
    """The access was made while it was gone, so it has no endpoint under its identifier."""
    died(path, rds)
    asked: list[str] = []

    def identify(name: str) -> Identity:
        asked.append(name)
        return FakeRds.identify(rds, name)

    rds.identify = identify  # type: ignore[method-assign]
    assert recovered(path, rds) == []
    assert asked == [m.endpoint for m in topology().members]


def test_recovering_twice_changes_nothing_more(path: Path, rds: FakeRds) -> None:
    died(path, rds, BOUNDS)
    rds.state = topology(capacity=Capacity(min_acu=0.5, max_acu=2))
    assert [recovered(path, rds), recovered(path, rds)] == [[], []]
    assert [call for call, _ in rds.calls] == ["set_capacity"]


def test_what_is_not_as_it_was_is_told_though_every_record_was_replayed(
    path: Path, rds: FakeRds
) -> None:
    died(path, rds)
    rds.state = replace(topology(), members=(member("i1", Role.WRITER), member("i2", tier=5)))
    told = recovered(path, rds)
    assert told == [
        "PromotionTier of i2 is 5, it was 1",
        "i3 is gone",
    ]


def test_a_cluster_that_does_not_become_steady_is_told(path: Path, rds: FakeRds) -> None:
    died(path, rds)
    rds.state = topology(status="modifying")
    told = recovered(path, rds)
    assert "waited 300 s for every member to be available" in told[0]
    assert "status of cluster c1 is modifying, it was available" in told


def test_a_record_of_another_version_is_told_with_its_command_and_the_others_are_replayed(
    path: Path, rds: FakeRds
) -> None:
    died(path, rds, BOUNDS)
    with path.open("a", encoding="utf-8") as journal:
        for data in (
            {"id": "u7", "action": "rewind-time", "parameters": {}, "command": "aws rds rewind"},
            {
                "id": "u8",
                "action": "set-capacity",
                "parameters": {"acu": 3},
                "command": "aws eight",
            },
            {"id": "u9", "command": "aws nine"},
        ):
            journal.write(json.dumps({"at_ns": 1, "type": "undo", "data": data}) + "\n")
    rds.state = topology(capacity=Capacity(min_acu=0.5, max_acu=2))
    told = recovered(path, rds)
    assert [one.rpartition("by hand: ")[2] for one in told] == [
        "aws rds rewind",
        "aws eight",
        "aws nine",
    ]
    assert rds.state == topology()
    assert set(left_by(path).unreadable) == {"u7", "u8", "u9"}


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.8, 0.99])
def test_a_journal_that_was_cut_off_is_replayed_as_far_as_it_goes(
    path: Path, rds: FakeRds, kept: float
) -> None:
    died(path, rds, BOUNDS)
    text = path.read_bytes()
    path.write_bytes(text[: int(len(text) * kept)])
    records = left_by(path).records
    assert records in ({}, {"u1": BOUNDS})
    rds.state = topology(capacity=Capacity(min_acu=0.5, max_acu=2))
    told = recovered(path, rds)
    if records:
        assert rds.state.capacity == Capacity(min_acu=1, max_acu=8)
    elif left_by(path).before:  # The shape tells what no record does any more.
        assert told == ["capacity of cluster c1 is 0.5-2 ACU, it was 1-8 ACU"]


def test_a_torn_line_in_the_middle_hides_no_later_record(path: Path, rds: FakeRds) -> None:
    died(path, rds)
    with path.open("ab") as journal:
        journal.write(b'{"at_ns": 5, "type": "undo", "data": {"id": "u1", "act')
    journal = Journal(path, rds.clock, lambda _: None)
    journal.undo(BOUNDS, "c1")
    journal.close()
    assert list(left_by(path).records.values()) == [BOUNDS]


def test_an_api_that_throttles_or_is_away_for_a_while_is_waited_for(
    path: Path, rds: FakeRds, clock: VirtualClock
) -> None:
    died(path, rds, BOUNDS)
    rds.state = topology(capacity=Capacity(min_acu=0.5, max_acu=2))
    answers: list[Exception] = [
        ControlPlaneError("slow down", code="Throttling"),
        ControlPlaneError("connection refused"),
        ControlPlaneError("internal", code="InternalFailure"),
    ]
    describe = rds.topology

    def troubled() -> Any:
        if answers:
            raise answers.pop()
        return describe()

    rds.topology = troubled  # type: ignore[method-assign]
    assert recovered(path, rds) == []
    assert rds.state == topology()


def test_expired_credentials_leave_the_record_open_and_say_so(path: Path, rds: FakeRds) -> None:
    died(path, rds, BOUNDS)
    rds.state = topology(capacity=Capacity(min_acu=0.5, max_acu=2))

    def expired(capacity: Capacity) -> None:
        raise ControlPlaneError("the security token is expired", code="ExpiredTokenException")

    rds.set_capacity = expired  # type: ignore[method-assign]
    told = recovered(path, rds)
    assert "the security token is expired" in told[0]
    assert "by hand: aws rds modify-db-cluster" in told[0]
    assert list(left_by(path).records.values()) == [BOUNDS]
    del rds.set_capacity  # type: ignore[method-assign]
    assert recovered(path, rds) == []


class Controlled:
    """A control address that remembers what was taken back."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.ended: list[str] = []

    def end(self, name: str) -> bool:
        if not self.answers:
            raise HostError("planted")
        self.ended.append(name)
        return True

    def in_force(self, name: str) -> bool:
        return name not in self.ended


def test_disturbances_are_taken_back_before_the_api_is_asked(path: Path, rds: FakeRds) -> None:
    record = EndDisturbance(name="gameday-1", fields={"kind": "api-error"})
    died(path, rds, record)
    control = rds.control = Controlled(answers=True)  # type: ignore[assignment]
    describe = rds.topology

    def disturbed() -> Any:
        assert control.ended == ["gameday-1"]
        return describe()

    rds.topology = disturbed  # type: ignore[method-assign]
    assert recovered(path, rds) == []


def test_an_added_instance_that_became_the_writer_is_not_deleted(path: Path, rds: FakeRds) -> None:
    died(path, rds, DeleteInstance(instance="i4"))
    rds.state = topology(
        members=(member("i4", Role.WRITER), member("i1"), member("i2"), member("i3"))
    )
    told = recovered(path, rds)
    assert "it is the writer; fail over to another instance first" in told[0]
    assert "aws rds delete-db-instance --db-instance-identifier i4" in told[0]
    assert rds.calls == []


def test_an_added_writer_is_deleted_once_the_first_one_is_back(path: Path, rds: FakeRds) -> None:
    """Its record comes before that of the writer, which alone makes it a reader again."""
    died(path, rds, RestoreWriter(instance="i1"), DeleteInstance(instance="i4"))
    one, two, three = rds.state.members
    rds.state = topology(
        members=(member("i4", Role.WRITER), replace(one, role=Role.READER), two, three)
    )
    assert recovered(path, rds) == []
    assert [call for call, _ in rds.calls] == ["failover", "delete_instance"]
    assert left_by(path).records == {}


def test_a_shape_is_the_same_after_the_disk() -> None:
    whole = Snapshot(
        topology=topology(),
        custom_endpoints=(
            CustomEndpoint(
                id="e", address="a", kind="READER", status="available", static=("i2",), excluded=()
            ),
        ),
    )
    again = Snapshot.from_json(json.loads(json.dumps(whole.as_json())))
    assert again == whole
    assert differences(whole, again) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tags": {"gameday": "allowed", "a": "b"}}, "tags of cluster c1"),
        ({"tags": {"gameday": "allowed", "gameday-lease": "x"}}, None),
        ({"capacity": Capacity(min_acu=1, max_acu=8, pause_after_s=300)}, "SecondsUntilAutoPause"),
        ({"parameter_group": "mine"}, "parameter group of cluster c1 is mine"),
        ({"members": (member("i2", Role.WRITER), member("i1"), member("i3", tier=2))}, None),
        ({"members": (*topology().members, member("i9"))}, "i9 was not there before"),
    ],
)
def test_shapes_differ_in_what_a_person_would_miss(
    change: dict[str, Any], told: str | None
) -> None:
    found = differences(Snapshot(topology=topology()), Snapshot(topology=topology(**change)))
    assert [str(one) for one in found] == [] if told is None else told in str(found[0])


def test_members_of_a_custom_endpoint_are_part_of_the_shape() -> None:
    def shaped(*static: str) -> Snapshot:
        endpoint = CustomEndpoint(
            id="e", address="a", kind="READER", status="available", static=static, excluded=()
        )
        return Snapshot(topology=topology(), custom_endpoints=(endpoint,))

    (found,) = differences(shaped("i2", "i3"), shaped("i2"))
    assert str(found) == "static members of custom endpoint e is ['i2'], it was ['i2', 'i3']"
    assert differences(shaped("i2", "i3"), shaped("i3", "i2")) == []


def test_the_zone_of_a_multi_az_instance_is_no_part_of_its_shape() -> None:
    def placed(zone: str, *, multi_az: bool) -> Snapshot:
        settings = {"AvailabilityZone": zone}
        lone = replace(member("i1", Role.WRITER), availability_zone=zone, settings=settings)
        return Snapshot(topology=topology(members=(lone,), is_cluster=False, multi_az=multi_az))

    assert differences(placed("a", multi_az=True), placed("b", multi_az=True)) == []
    assert differences(placed("a", multi_az=False), placed("b", multi_az=False)) != []


def test_the_zones_of_a_cluster_in_several_are() -> None:
    """DescribeDBClusters says MultiAZ of any Aurora cluster whose instances are in several zones."""

    def placed(zone: str) -> Snapshot:
        moved = replace(member("i1", Role.WRITER), settings={"AvailabilityZone": zone})
        return Snapshot(topology=topology(members=(moved,), multi_az=True))

    assert [d.name for d in differences(placed("a"), placed("b"))] == ["AvailabilityZone"]


def test_the_lease_that_an_instance_in_no_cluster_carries_is_no_part_of_its_shape() -> None:
    def leased(until: str) -> Snapshot:
        tags = [{"Key": "gameday-lease", "Value": until}, {"Key": "team", "Value": "a"}]
        lone = replace(member("i1", Role.WRITER), settings={"Tags": tags})
        return Snapshot(topology=topology(members=(lone,), is_cluster=False, multi_az=True))

    assert differences(leased("10:00"), leased("10:05")) == []
