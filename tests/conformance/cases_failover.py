"""Cases of what moves the writer or restarts an instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.case import BRIEF, Case, Cases, State

from chaos.faults.crash_instance import CrashInstance
from chaos.faults.failover_cluster import FailoverCluster
from chaos.faults.failover_global import FailoverGlobal
from chaos.faults.noop import Noop
from chaos.faults.reboot_instance import RebootInstance
from chaos.faults.reboot_with_failover import RebootWithFailover
from chaos.faults.switchover_global import SwitchoverGlobal

Effect = Mapping[str, Any]


def the_new_writer_is_told(before: State, after: State, effect: Effect) -> None:
    assert after.topology.writer is not None
    assert effect["actual_target"] == after.topology.writer.id
    assert effect["requested_target"] in {"any reader", after.topology.writer.id}


def only_the_targets_restarted(before: State, after: State, effect: Effect) -> None:
    targets = set(effect["actual_target"].split(", "))
    assert targets == set(effect["requested_target"].split(", "))
    restarted = {
        name
        for name, identity in after.identities.items()
        if identity.started_at > before.identities[name].started_at
    }
    assert restarted == targets


def the_zone_moved(before: State, after: State, effect: Effect) -> None:
    (old,), (new,) = before.topology.members, after.topology.members
    assert effect["actual_target"] == new.id
    assert new.availability_zone != old.availability_zone


def another_region_was_primary(before: State, after: State, effect: Effect) -> None:
    assert before.worldwide is not None
    assert effect["actual_target"] == before.worldwide.secondaries[0].arn


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
    "reboot-with-failover": {
        "of a cluster": Case(
            lambda _: RebootWithFailover(**BRIEF), check=the_new_writer_is_told, moves_writer=True
        ),
        "of a Multi-AZ instance": Case(
            lambda _: RebootWithFailover(**BRIEF),
            "multi-az",
            check=the_zone_moved,
            moves_zone=True,
        ),
    },
    "reboot-instance": {
        "writer": Case(
            lambda _: RebootInstance(target="writer", **BRIEF), check=only_the_targets_restarted
        ),
        "any reader": Case(
            lambda _: RebootInstance(target="any reader", **BRIEF),
            check=only_the_targets_restarted,
        ),
        "all readers": Case(
            lambda _: RebootInstance(target="all readers", **BRIEF),
            check=only_the_targets_restarted,
        ),
        "all": Case(
            lambda _: RebootInstance(target="all", **BRIEF), check=only_the_targets_restarted
        ),
        "a Multi-AZ instance in place": Case(
            lambda _: RebootInstance(**BRIEF), "multi-az", check=only_the_targets_restarted
        ),
    },
    "crash-instance": {
        component: Case(
            lambda _, target=target, component=component: CrashInstance(  # type: ignore[misc]
                target=target, component=component, **BRIEF
            ),
            check=only_the_targets_restarted,
        )
        for component, target in (
            ("instance", "writer"),
            ("dispatcher", "any reader"),
            ("node", "writer"),
        )
    },
    "switchover-global": {
        "any secondary": Case(
            lambda _: SwitchoverGlobal(**BRIEF), "global", check=another_region_was_primary
        ),
    },
    "failover-global": {
        "any secondary": Case(
            lambda _: FailoverGlobal(**BRIEF), "global", check=another_region_was_primary
        ),
    },
    "noop": {"nothing": Case(lambda _: Noop(**BRIEF))},
}
