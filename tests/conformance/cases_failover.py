"""Cases of what moves the writer or restarts an instance."""

from __future__ import annotations

from conformance.case import BRIEF, Case, Cases, State

from chaos.faults.failover_cluster import FailoverCluster
from chaos.faults.noop import Noop
from chaos.faults.reboot_instance import RebootInstance


def the_new_writer_is_told(before: State, after: State, effect: dict[str, object]) -> None:
    assert after.topology.writer is not None
    assert effect["actual_target"] == after.topology.writer.id
    assert effect["requested_target"] in {"any reader", after.topology.writer.id}


CASES: Cases = {
    "failover-cluster": {
        "the service chooses": Case(
            lambda _: FailoverCluster(**BRIEF), check=the_new_writer_is_told, moves_writer=True
        ),
        "named target": Case(
            lambda now: FailoverCluster(target=now.readers[-1].id, **BRIEF),
            check=the_new_writer_is_told,
            moves_writer=True,
        ),
    },
    "reboot-instance": {
        "writer": Case(lambda _: RebootInstance(target="writer", **BRIEF)),
        "any reader": Case(lambda _: RebootInstance(target="any reader", **BRIEF)),
    },
    "noop": {"nothing": Case(lambda _: Noop(**BRIEF))},
}
