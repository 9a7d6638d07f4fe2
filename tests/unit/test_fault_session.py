"""The life of a fault, on a virtual clock and a cluster in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fix_rds import FakeRds, VirtualClock, member, topology
from fix_service import REPORTS, SECONDARY, WORLD, FakeService, multi_az

from chaos.clock import NS
from chaos.errors import (
    ControlPlaneError,
    DatabaseError,
    GamedayError,
    RunAborted,
    RunInterrupted,
)
from chaos.faults.add_reader import AddReader
from chaos.faults.base import Before, Fault
from chaos.faults.change_custom_endpoint import ChangeCustomEndpoint
from chaos.faults.change_instance_class import ChangeInstanceClass
from chaos.faults.change_promotion_tier import ChangePromotionTier
from chaos.faults.crash_instance import CrashInstance
from chaos.faults.delete_all_readers import DeleteAllReaders
from chaos.faults.delete_reader import DeleteReader
from chaos.faults.delete_writer import DeleteWriter
from chaos.faults.failover_cluster import FailoverCluster
from chaos.faults.failover_global import FailoverGlobal
from chaos.faults.noop import Noop
from chaos.faults.reboot_instance import RebootInstance
from chaos.faults.reboot_with_failover import RebootWithFailover
from chaos.faults.scale_capacity import ScaleCapacity
from chaos.faults.stop_cluster import StopCluster
from chaos.faults.switchover_global import SwitchoverGlobal
from chaos.model.identity import Identity
from chaos.model.record import Event, read_events
from chaos.model.topology import Capacity, Role, Topology
from chaos.run.journal import Journal
from chaos.run.recovery import left_by
from chaos.run.restore import replay
from chaos.run.session import FaultSession


@pytest.fixture
def journal(tmp_path: Path, clock: VirtualClock) -> Journal:
    return Journal(tmp_path / "journal.jsonl", clock, lambda _: None)


def inject(fault: Fault, rds: FakeRds, journal: Journal) -> list[Event]:
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
        clock=rds.clock,
    ).carry_out()
    return recorded(journal)


def recorded(journal: Journal) -> list[Event]:
    return read_events(journal._path)


def verbs(events: list[Event]) -> list[str]:
    return [e.data["verb"] for e in events if e.type == "fault" and e.data["state"] == "started"]


def effect(events: list[Event]) -> dict[str, Any]:
    return dict(
        next(e.data for e in events if e.data.get("verb") == "effect" and "effect" in e.data)
    )


BRIEF: dict[str, Any] = {"settle_s": 0}
PROVISIONED = topology(members=(member("i1", Role.WRITER), member("i2"), member("i3", tier=2)))
FAULTS: list[tuple[Fault, Topology, str]] = [
    (FailoverCluster(**BRIEF), PROVISIONED, "i2"),
    (FailoverCluster(target="i3", **BRIEF), PROVISIONED, "i3"),
    (RebootWithFailover(**BRIEF), PROVISIONED, "i2"),
    (RebootWithFailover(**BRIEF), multi_az(), "i1"),
    (RebootInstance(**BRIEF), PROVISIONED, "i1"),
    (RebootInstance(target="all readers", **BRIEF), PROVISIONED, "i2, i3"),
    (RebootInstance(target="all", **BRIEF), PROVISIONED, "i1, i2, i3"),
    (CrashInstance(**BRIEF), PROVISIONED, "i1"),
    (CrashInstance(target="reader:tier=2", component="node", **BRIEF), PROVISIONED, "i3"),
    (SwitchoverGlobal(**BRIEF), PROVISIONED, SECONDARY),
    (FailoverGlobal(target="c2", **BRIEF), PROVISIONED, SECONDARY),
    (DeleteReader(**BRIEF), PROVISIONED, "i2"),
    (DeleteWriter(**BRIEF), PROVISIONED, "i1"),
    (DeleteAllReaders(**BRIEF), PROVISIONED, "i2, i3"),
    (AddReader(**BRIEF), PROVISIONED, "c1-gameday-1"),
    (StopCluster(**BRIEF), PROVISIONED, "c1"),
    (ChangeInstanceClass(instance_class="db.r6g.xlarge", **BRIEF), PROVISIONED, "i2"),
    (ChangePromotionTier(target="i3", tier=15, **BRIEF), PROVISIONED, "i3"),
    (
        ChangeCustomEndpoint(endpoint="Reports", static_members=("i3",), **BRIEF),
        PROVISIONED,
        "reports",
    ),
    (
        ChangeCustomEndpoint(endpoint="reports", excluded_members=("writer",), **BRIEF),
        PROVISIONED,
        "reports",
    ),
    (ScaleCapacity(min_acu=0.5, max_acu=2, **BRIEF), topology(), "c1"),
    (Noop(**BRIEF), PROVISIONED, "c1"),
]
every_fault = pytest.mark.parametrize(
    ("fault", "state", "actual"),
    FAULTS,
    ids=[f"{fault.fault}-{number}" for number, (fault, _, _) in enumerate(FAULTS)],
)


def as_in(service: FakeService, state: Topology, fault: Fault) -> None:
    """Make the cluster be like this, in a global one where the fault is about that."""
    service.state = state
    service.worldwide = WORLD if fault.fault.endswith("-global") else None


@every_fault
def test_a_fault_lives_through_its_verbs_in_order(
    fault: Fault, state: Topology, actual: str, service: FakeService, journal: Journal
) -> None:
    as_in(service, state, fault)
    events = inject(fault, service, journal)
    assert verbs(events) == ["inject", "effect", "hold", "recover", "recovered"]
    assert effect(events)["effect"] == "taken"
    assert effect(events)["actual_target"] == actual


@every_fault
def test_afterwards_everything_but_the_writer_is_as_before(
    fault: Fault, state: Topology, actual: str, service: FakeService, journal: Journal
) -> None:
    as_in(service, state, fault)
    inject(fault, service, journal)
    assert journal.open_undo == {}
    assert shape(service.state) == shape(state)
    assert (service.endpoints, service.worldwide) in {((REPORTS,), None), ((REPORTS,), WORLD)}


def shape(state: Topology) -> dict[str, Any]:
    return {
        "status": state.status,
        "capacity": state.capacity,
        "members": {
            m.id: (m.status, m.instance_class, m.promotion_tier, m.settings) for m in state.members
        },
    }


@every_fault
def test_what_is_accepted_and_not_done_has_no_effect(
    fault: Fault, state: Topology, actual: str, service: FakeService, journal: Journal
) -> None:
    """Each fault is told by what it changes, not by the answer to the request."""
    if fault.fault == "noop":
        return  # It asks for nothing.
    as_in(service, state, fault)
    service.ignores = set(dir(service))
    service.restarts = False
    quick = {"effect_timeout_s": 5, "recovery_timeout_s": 5}
    events = inject(fault.model_copy(update=quick), service, journal)
    assert effect(events)["effect"] == "none"


def test_an_accepted_call_without_effect_is_recorded_as_none(
    rds: FakeRds, journal: Journal
) -> None:
    rds.ignores = {"failover"}
    fault = FailoverCluster(
        effect_timeout_s=20, request_again_after_s=5, requests_max=3, settle_s=0
    )
    events = inject(fault, rds, journal)
    assert effect(events)["effect"] == "none"
    assert effect(events)["requests"] == 3
    assert "requested 3 times; waited" in effect(events)["error"]
    assert [call for call, _ in rds.calls] == ["failover"] * 3


def test_a_request_that_was_forgotten_is_sent_again(
    rds: FakeRds, journal: Journal, clock: VirtualClock
) -> None:
    rds.ignores = {"failover"}
    clock.after(4, rds.ignores.clear)
    events = inject(FailoverCluster(request_again_after_s=5, settle_s=0), rds, journal)
    assert (effect(events)["effect"], effect(events)["requests"]) == ("taken", 2)


def test_a_request_is_not_sent_again_while_the_service_is_at_it(
    rds: FakeRds, journal: Journal
) -> None:
    """A failover that is only slow must not be followed by a second one."""
    rds.delay_s = 40
    rds.state = topology(status="failing-over")
    fault = FailoverCluster(effect_timeout_s=60, request_again_after_s=5, settle_s=0)
    with pytest.raises(RunAborted):  # It stays failing-over.
        inject(fault.model_copy(update={"recovery_timeout_s": 5}), rds, journal)
    assert (effect(recorded(journal))["effect"], effect(recorded(journal))["requests"]) == (
        "taken",
        1,
    )


def test_a_request_without_an_answer_may_have_been_done(rds: FakeRds, journal: Journal) -> None:
    def cut_off(target: str | None) -> None:
        FakeRds.failover(rds, target)
        raise ControlPlaneError("connection closed")

    rds.failover = cut_off  # type: ignore[method-assign]
    assert effect(inject(FailoverCluster(settle_s=0), rds, journal))["effect"] == "taken"


def test_a_target_that_the_service_does_not_honour_is_told(rds: FakeRds, journal: Journal) -> None:
    rds.failover = lambda _: FakeRds.failover(rds, "i2")  # type: ignore[method-assign]
    events = inject(FailoverCluster(target="i3", settle_s=0), rds, journal)
    assert effect(events)["requested_target"] == "i3"
    assert effect(events)["actual_target"] == "i2"


def test_the_undo_record_is_on_disk_before_the_change(rds: FakeRds, journal: Journal) -> None:
    seen: list[str] = []
    delete = rds.delete_instance

    def deleting(instance: str) -> None:
        seen.extend(left_by(journal._path).records)
        delete(instance)

    rds.delete_instance = deleting  # type: ignore[method-assign]
    inject(DeleteReader(settle_s=0), rds, journal)
    assert seen == ["u1"]


@pytest.mark.parametrize("stop_at_s", [0.05, 1.0, 2.5, 4.0])
def test_a_fault_cut_short_leaves_records_that_restore_the_cluster(
    rds: FakeRds, journal: Journal, clock: VirtualClock, stop_at_s: float
) -> None:
    def stop() -> None:
        raise RunInterrupted("planted")

    before = {m.id: m.settings for m in rds.state.members}
    clock.after(stop_at_s, stop)
    with pytest.raises(RunInterrupted):
        inject(DeleteReader(hold_s=10), rds, journal)

    journal.close()
    after_crash = Journal(journal._path, clock, lambda _: None)
    after_crash.resume(left_by(journal._path).records)
    assert replay(after_crash, rds, clock, "c1") == []
    clock.sleep(5)
    assert {m.id: m.settings for m in rds.state.members} == before
    assert left_by(journal._path).records == {}


def test_what_cannot_be_undone_is_named_with_the_command(rds: FakeRds, journal: Journal) -> None:
    rds.state = topology(status="modifying")
    journal.undo(ScaleCapacity(min_acu=1, max_acu=2).undo(_before(topology()))[0], "c1")
    rds.state = topology(status="modifying", capacity=Capacity(min_acu=1, max_acu=2))
    left = replay(journal, rds, rds.clock, "c1", timeout_s=3)
    assert len(left) == 1
    assert "MinCapacity=1,MaxCapacity=8" in left[0]


def test_a_cluster_that_does_not_come_back_aborts_the_run(rds: FakeRds, journal: Journal) -> None:
    rds.ignores = {"create_instance"}
    with pytest.raises(RunAborted, match="create-instance: waited 5 s"):
        inject(DeleteReader(recovery_timeout_s=5), rds, journal)


def away(rds: FakeRds, error: GamedayError, for_s: float) -> None:
    """Let SQL fail from now on, for a while."""

    def identify(endpoint: str) -> Identity:
        if rds.clock.now_ns() < for_s * NS:
            raise error
        return FakeRds.identify(rds, endpoint)

    rds.identify = identify  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "error",
    [
        ControlPlaneError("away"),
        ControlPlaneError("throttled", code="Throttling"),
        DatabaseError("starting up", sqlstate="57P03"),
    ],
    ids=str,
)
def test_a_cluster_that_cannot_be_looked_at_for_a_moment_is_looked_at_again(
    rds: FakeRds, journal: Journal, error: GamedayError
) -> None:
    away(rds, error, 8)
    assert effect(inject(RebootInstance(**BRIEF), rds, journal))["effect"] == "taken"


@pytest.mark.parametrize(
    ("error", "given_up_s"),
    [
        (DatabaseError("no answer"), 10),
        (ControlPlaneError("denied", code="AccessDenied"), 0),
        (DatabaseError("no rights", sqlstate="42501"), 0),
    ],
    ids=str,
)
def test_a_cluster_that_cannot_be_looked_at_ends_the_run_with_the_reason(
    rds: FakeRds, journal: Journal, error: GamedayError, given_up_s: float
) -> None:
    away(rds, error, 60)
    with pytest.raises(type(error), match=str(error)):
        inject(RebootInstance(**BRIEF), rds, journal)
    assert rds.calls == []
    assert given_up_s * NS <= rds.clock.now_ns() <= (given_up_s + 1) * NS


def test_a_request_without_credentials_ends_the_run_at_once(rds: FakeRds, journal: Journal) -> None:
    def failover(_: str | None) -> None:
        raise ControlPlaneError("expired", permanent=True)

    rds.failover = failover  # type: ignore[method-assign,assignment]
    with pytest.raises(ControlPlaneError, match="expired"):
        inject(FailoverCluster(), rds, journal)


def _before(state: Any) -> Before:
    return Before(topology=state, first=state, targets=("c1",), key="k")
