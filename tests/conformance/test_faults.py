"""Every fault on the test cluster: injected, effective, recovered, everything as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from chaos.cli.target import Target
from chaos.clock import MonotonicClock
from chaos.db.sessions import Sessions
from chaos.faults import CATALOGUE
from chaos.faults.base import Context, Fault
from chaos.faults.delete_reader import DeleteReader
from chaos.faults.failover_cluster import FailoverCluster
from chaos.faults.noop import Noop
from chaos.faults.reboot_instance import RebootInstance
from chaos.faults.scale_capacity import ScaleCapacity
from chaos.model.record import Event, read_events
from chaos.model.topology import Topology
from chaos.run.journal import Journal
from chaos.run.rig import Restoring
from chaos.run.session import FaultSession

BRIEF: dict[str, Any] = {"settle_s": 0, "effect_timeout_s": 30, "recovery_timeout_s": 60}
Case = Callable[[Topology], Fault]
CASES: dict[str, dict[str, Case]] = {
    "failover-cluster": {
        "the service chooses": lambda _: FailoverCluster(**BRIEF),
        "named target": lambda now: FailoverCluster(target=now.readers[-1].id, **BRIEF),
    },
    "reboot-instance": {
        "writer": lambda _: RebootInstance(target="writer", **BRIEF),
        "any reader": lambda _: RebootInstance(target="any reader", **BRIEF),
    },
    "delete-reader": {"any reader": lambda _: DeleteReader(**BRIEF)},
    "scale-capacity": {"narrower": lambda _: ScaleCapacity(min_acu=1, max_acu=2, **BRIEF)},
    "noop": {"": lambda _: Noop(**BRIEF)},
}


def test_every_fault_of_the_catalogue_has_a_case() -> None:
    assert set(CASES) == {kind.model_fields["fault"].default for kind in CATALOGUE}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(c, id=f"{f} {n}".strip())
        for f, cases in CASES.items()
        for n, c in cases.items()
    ],
)
def test_a_fault_disturbs_and_everything_is_as_before(
    case: Case, target: Target, tmp_path: Path
) -> None:
    before = target.rds.topology()
    fault = case(before)
    database = Sessions(target.connect(before))
    journal = Journal(tmp_path / "journal.jsonl", MonotonicClock(), lambda _: None)
    FaultSession(
        fault=fault,
        fault_id=1,
        step=1,
        repeat=1,
        run=tmp_path.name,
        first=before,
        context=Context(target.rds, database, target.control),
        restorer=Restoring(target.rds, database, target.control, lambda _: None),
        journal=journal,
        clock=MonotonicClock(),
    ).carry_out()

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
        assert getattr(fault, "target", None) in {None, after.writer.id}
    for instance in after.members:
        assert database.identify(instance.id).role is instance.role


def _effects(events: list[Event]) -> Iterator[Mapping[str, Any]]:
    return (e.data for e in events if e.data.get("verb") == "effect" and e.data["state"] == "ended")
