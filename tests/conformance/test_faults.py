"""Every fault on the test cluster: injected, effective, recovered, everything as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.cli.target import Target
from chaos.clock import MonotonicClock
from chaos.db.identity import identity
from chaos.faults import CATALOGUE
from chaos.faults.base import Context, Fault
from chaos.faults.delete_reader import DeleteReader
from chaos.faults.failover_cluster import FailoverCluster
from chaos.faults.noop import Noop
from chaos.faults.reboot_instance import RebootInstance
from chaos.faults.scale_capacity import ScaleCapacity
from chaos.model.record import Event, read_events
from chaos.run.journal import Journal
from chaos.run.rig import Restoring
from chaos.run.session import FaultSession

BRIEF = {"settle_s": 0, "effect_timeout_s": 30, "recovery_timeout_s": 60}
CASES: dict[str, list[Fault]] = {
    "failover-cluster": [
        FailoverCluster(**BRIEF),
        FailoverCluster(target="gameday-instance-3", **BRIEF),
    ],
    "reboot-instance": [
        RebootInstance(target="writer", **BRIEF),
        RebootInstance(target="any reader", **BRIEF),
    ],
    "delete-reader": [DeleteReader(**BRIEF)],
    "scale-capacity": [ScaleCapacity(min_acu=1, max_acu=2, **BRIEF)],
    "noop": [Noop(**BRIEF)],
}


def test_every_fault_of_the_catalogue_has_a_case() -> None:
    assert set(CASES) == {kind.model_fields["fault"].default for kind in CATALOGUE}


@pytest.mark.parametrize("fault", [f for faults in CASES.values() for f in faults], ids=str)
def test_a_fault_disturbs_and_everything_is_as_before(
    fault: Fault, target: Target, tmp_path: Path
) -> None:
    before = target.rds.topology()
    access = target.connect(before)
    journal = Journal(tmp_path / "journal.jsonl", MonotonicClock(), lambda _: None)
    if fault.fault == "failover-cluster" and getattr(fault, "target", None):
        writer = before.writer
        assert writer is not None
        if writer.id == fault.target:  # type: ignore[attr-defined]
            pytest.fail("the case before left its target as writer; change the order of CASES")
    FaultSession(
        fault=fault,
        fault_id=1,
        step=1,
        repeat=1,
        context=Context(target.rds, lambda instance: identity(access, instance)),
        restorer=Restoring(target.rds, lambda _: None),
        journal=journal,
        clock=MonotonicClock(),
    ).run()

    effect = next(_effects(read_events(tmp_path / "journal.jsonl")))
    assert effect["effect"] == "taken", effect
    after = target.rds.topology()
    assert after.all_available()
    assert after.capacity == before.capacity
    assert {
        m.id: (m.instance_class, m.promotion_tier, m.availability_zone) for m in after.members
    } == {m.id: (m.instance_class, m.promotion_tier, m.availability_zone) for m in before.members}
    if fault.fault == "failover-cluster":
        assert after.writer is not None
        assert before.writer is not None
        assert after.writer.id != before.writer.id
        assert effect["actual_target"] == after.writer.id
    for instance in after.members:
        assert identity(access, instance.id).role is instance.role


def _effects(events: list[Event]):  # type: ignore[no-untyped-def]
    return (e.data for e in events if e.data.get("verb") == "effect" and e.data["state"] == "ended")
