"""Cases of what takes members away, adds them or changes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.case import BRIEF, Case, Cases, State

from chaos.faults.add_reader import AddReader
from chaos.faults.change_custom_endpoint import ChangeCustomEndpoint
from chaos.faults.change_instance_class import ChangeInstanceClass
from chaos.faults.change_promotion_tier import ChangePromotionTier
from chaos.faults.delete_all_readers import DeleteAllReaders
from chaos.faults.delete_reader import DeleteReader
from chaos.faults.delete_writer import DeleteWriter
from chaos.faults.stop_cluster import StopCluster
from chaos.model.topology import Topology

Effect = Mapping[str, Any]


def all_readers_were_deleted(before: State, after: State, effect: Effect) -> None:
    assert effect["actual_target"].split(", ") == sorted(r.id for r in before.topology.readers)


def the_writer_was_deleted(before: State, after: State, effect: Effect) -> None:
    assert before.topology.writer is not None
    assert effect["actual_target"] == before.topology.writer.id


def it_was_named_for_us(before: State, after: State, effect: Effect) -> None:
    assert effect["actual_target"] == f"{before.topology.cluster}-gameday-1"


def _reader(now: Topology, number: int) -> str:
    """One of the readers that the cluster began with; the second is in the endpoint `reports`."""
    return next(reader.id for reader in now.readers if reader.id.endswith(f"-{number}"))


CASES: Cases = {
    "delete-reader": {
        "any reader": Case(lambda _: DeleteReader(**BRIEF)),
        "by tier": Case(lambda _: DeleteReader(target="reader:tier=1", **BRIEF), "provisioned"),
    },
    "delete-writer": {
        "with readers": Case(
            lambda _: DeleteWriter(**BRIEF), check=the_writer_was_deleted, moves_writer=True
        ),
    },
    "delete-all-readers": {
        "two": Case(lambda _: DeleteAllReaders(**BRIEF), check=all_readers_were_deleted),
    },
    "add-reader": {
        "like the writer": Case(lambda _: AddReader(**BRIEF), check=it_was_named_for_us),
        "of a class, zone and tier": Case(
            lambda now: AddReader(
                instance_class="db.r6g.xlarge",
                availability_zone=now.readers[0].availability_zone,
                promotion_tier=15,
                **BRIEF,
            ),
            "provisioned",
            check=it_was_named_for_us,
        ),
    },
    "stop-cluster": {"": Case(lambda _: StopCluster(**BRIEF))},
    "change-instance-class": {
        "any reader": Case(
            lambda _: ChangeInstanceClass(instance_class="db.r6g.xlarge", **BRIEF), "provisioned"
        ),
        "writer": Case(
            lambda _: ChangeInstanceClass(target="writer", instance_class="db.r6g.xlarge", **BRIEF),
            "provisioned",
        ),
    },
    "change-promotion-tier": {
        "any reader": Case(lambda _: ChangePromotionTier(tier=7, **BRIEF)),
    },
    "change-custom-endpoint": {
        "static members": Case(
            lambda now: ChangeCustomEndpoint(
                endpoint="reports", static_members=(_reader(now, 3),), **BRIEF
            ),
            "provisioned",
        ),
        "excluded members": Case(
            lambda _: ChangeCustomEndpoint(
                endpoint="orders", excluded_members=("writer",), **BRIEF
            ),
            "provisioned",
        ),
        "excluded instead of static": Case(
            lambda now: ChangeCustomEndpoint(
                endpoint="reports", excluded_members=(_reader(now, 2),), **BRIEF
            ),
            "provisioned",
        ),
    },
}
