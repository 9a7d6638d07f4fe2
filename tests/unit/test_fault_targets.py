"""What a fault's target means, and which targets are refused before anything is disturbed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fix_rds import member, topology
from fix_service import REPORTS, SECONDARY, WORLD, FakeService, multi_az

from chaos.errors import DatabaseError, GuardRefused
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
from chaos.faults.reboot_instance import RebootInstance
from chaos.faults.reboot_with_failover import RebootWithFailover
from chaos.faults.scale_capacity import ScaleCapacity
from chaos.faults.stop_cluster import StopCluster
from chaos.faults.switchover_global import SwitchoverGlobal
from chaos.model.topology import GlobalMember, Role, Topology

ALONE = topology(members=topology().members[:1])


@pytest.mark.parametrize(
    ("target", "means"),
    [
        ("writer", ("i1",)),
        ("any reader", ("i2",)),
        ("reader:tier=2", ("i3",)),
        ("i3", ("i3",)),
        ("I3", ("i3",)),
        ("all readers", ("i2", "i3")),
        ("all", ("i1", "i2", "i3")),
    ],
)
def test_selectors_mean_the_members_they_say(target: str, means: tuple[str, ...]) -> None:
    assert RebootInstance(target=target).resolve(topology()) == means


def named(name: str, role: Role = Role.READER) -> Topology:
    """A cluster in which an instance is called by a word that means something."""
    return topology(members=(member("i1", Role.WRITER), member(name, role)))


@pytest.mark.parametrize(("target", "also"), [("writer", "writer"), ("all", "all")])
def test_a_word_that_is_an_identifier_too_is_ambiguous(target: str, also: str) -> None:
    with pytest.raises(GuardRefused, match=f"and also the instance {also}"):
        RebootInstance(target=target).resolve(named(also))


def test_an_identifier_that_means_the_same_either_way_is_not() -> None:
    alone = topology(members=(member("writer", Role.WRITER),))
    assert RebootInstance(target="writer").resolve(alone) == ("writer",)


REFUSED: list[tuple[Fault, Topology, str]] = [
    (FailoverCluster(), ALONE, "no reader to fail over to"),
    (FailoverCluster(target="i1"), topology(), "its readers are i2, i3"),
    (FailoverCluster(target="nope"), topology(), "its readers are i2, i3"),
    (FailoverCluster(), multi_az(), "in no cluster; reboot-with-failover"),
    (RebootWithFailover(), replace(multi_az(), multi_az=False), "no Multi-AZ instance"),
    (RebootWithFailover(target="i9"), multi_az(), "its own standby, not to i9"),
    (RebootWithFailover(), ALONE, "no reader to fail over to"),
    (RebootWithFailover(target="i1"), topology(), "its readers are i2, i3"),
    (RebootInstance(target="gone"), topology(), r"matches target 'gone'; it has i1 \(writer"),
    (RebootInstance(target="reader:tier=9"), topology(), "matches target 'reader:tier=9'"),
    (RebootInstance(target="reader:tier=16"), topology(), r"tiers are 0 to 15; c1 has i1"),
    (RebootInstance(target="reader:tier=99999"), topology(), "tiers are 0 to 15"),
    (RebootInstance(target="all readers"), ALONE, "matches target 'all readers'; it has i1"),
    (RebootInstance(target="any reader"), ALONE, "matches target 'any reader'"),
    (CrashInstance(), topology(engine="aurora-mysql"), "only aurora-postgresql has"),
    (DeleteReader(target="i1"), topology(), "i1 is the writer; name a reader"),
    (DeleteWriter(), ALONE, "no reader to take over"),
    (DeleteAllReaders(), ALONE, "has no reader"),
    (AddReader(), multi_az(), "an instance in no cluster"),
    (
        AddReader(),
        topology(members=(member("w", Role.WRITER), *(member(f"r{n}") for n in range(15)))),
        "has 15 readers",
    ),
    (StopCluster(), topology(status="stopped"), "c1 is stopped; it must be available"),
    (StopCluster(), multi_az(), "an instance in no cluster"),
    (ChangeInstanceClass(instance_class="db.r6g.large"), topology(), "db.r6g.large already"),
    (
        ChangeInstanceClass(target="writer", instance_class="db.r6g.xlarge"),
        topology(
            members=(replace(topology().members[0], pending={"DBInstanceClass": "db.r6g.2xlarge"}),)
        ),
        "waits to become db.r6g.2xlarge",
    ),
    (ChangePromotionTier(tier=1), topology(), "i2 is in tier 1 already"),
    (ChangePromotionTier(target="writer", tier=2), multi_az(), "so it has no tier"),
    (
        ChangeCustomEndpoint(endpoint="reports", static_members=("i9",)),
        topology(),
        "matches target 'i9'",
    ),
    (ScaleCapacity(min_acu=1, max_acu=8), topology(), "already scales"),
    (ScaleCapacity(min_acu=1, max_acu=8), topology(capacity=None), "no Serverless v2"),
]


@pytest.mark.parametrize(
    ("fault", "state", "why"), REFUSED, ids=[f"{f.fault}: {why}" for f, _, why in REFUSED]
)
def test_a_fault_without_a_target_is_refused(fault: Fault, state: Topology, why: str) -> None:
    with pytest.raises(GuardRefused, match=why):
        fault.resolve(state)


TWICE = replace(
    WORLD,
    members=(
        *WORLD.members,
        GlobalMember(arn=SECONDARY.replace("us-east-1", "us-west-2"), region="", is_primary=False),
    ),
)
SEEN: list[tuple[Fault, dict[str, Any], str]] = [
    (SwitchoverGlobal(), {"worldwide": None}, "c1 is in no global cluster"),
    (SwitchoverGlobal(target="c9"), {"worldwide": WORLD}, f"matches target 'c9'; .*{SECONDARY}"),
    (FailoverGlobal(target="C2"), {"worldwide": TWICE}, "means several secondaries of world"),
    (
        FailoverGlobal(),
        {"worldwide": WORLD, "state": topology(arn=SECONDARY)},
        "c1 is a secondary of world; run this on its primary, which is arn:aws:rds:eu-west-1",
    ),
    (
        SwitchoverGlobal(),
        {"worldwide": replace(WORLD, failing_over="switching-over")},
        "world is switching-over",
    ),
    (StopCluster(), {"worldwide": WORLD}, "a member of global cluster world"),
    (CrashInstance(), {"allowed": False}, "may not call aurora_inject_crash; grant"),
    (
        ChangeCustomEndpoint(endpoint="nope", static_members=("i3",)),
        {},
        "no custom endpoint nope; there are reports",
    ),
    (
        ChangeCustomEndpoint(endpoint="reports", static_members=("any reader",)),
        {},
        "has these members already",
    ),
    (
        ChangeCustomEndpoint(endpoint="reports", static_members=("i3",)),
        {"endpoints": (replace(REPORTS, status="modifying"),)},
        "reports is modifying",
    ),
]


@pytest.mark.parametrize(
    ("fault", "situation", "why"), SEEN, ids=[f"{f.fault}: {why}" for f, _, why in SEEN]
)
def test_what_only_a_look_tells_is_refused_too(
    fault: Fault, situation: dict[str, Any], why: str, service: FakeService
) -> None:
    for name, value in situation.items():
        setattr(service, name, value)
    with pytest.raises(GuardRefused, match=why):
        fault.see(service.context, service.state, fault.resolve(service.state))
    assert all(call == "query" for call, _ in service.calls)


def test_a_secondary_is_named_by_its_arn_where_two_have_its_identifier(
    service: FakeService,
) -> None:
    service.worldwide = TWICE
    seen = SwitchoverGlobal(target=SECONDARY).see(service.context, service.state, (SECONDARY,))
    assert seen.target.arn == SECONDARY


def test_a_new_reader_takes_the_first_free_name() -> None:
    taken = topology(members=(*topology().members, member("c1-gameday-1")))
    assert AddReader().resolve(taken) == ("c1-gameday-2",)
    long = AddReader().resolve(topology(cluster="c" * 49 + "-" + "d" * 13))[0]
    assert long == "c" * 49 + "-gameday-1"


@pytest.mark.parametrize("sqlstate", ["57P01", "57P02", None])
def test_the_session_that_asks_for_a_crash_dies_with_it(
    sqlstate: str | None, service: FakeService
) -> None:
    service.answers_crash_with = sqlstate
    state = service.state
    before = Before(topology=state, first=state, targets=("i1",), key="k")
    CrashInstance(component="dispatcher").inject(service.context, before)
    assert service.calls == [("query", ("i1", "SELECT aurora_inject_crash('dispatcher')"))]


def test_a_refused_crash_is_an_error(service: FakeService) -> None:
    service.answers_crash_with = "42501"
    state = service.state
    with pytest.raises(DatabaseError):
        CrashInstance().inject(
            service.context, Before(topology=state, first=state, targets=("i1",), key="k")
        )


def test_a_lost_old_primary_counts_as_one_that_does_not_write(service: FakeService) -> None:
    service.worldwide = WORLD
    service.unreachable = {"i1"}
    state = service.state
    fault = FailoverGlobal()
    seen = fault.see(service.context, state, ("any secondary",))
    before = Before(topology=state, first=state, targets=("any secondary",), key="k", seen=seen)
    assert fault.took_effect(service.context, before) is None
    service._moved(SECONDARY)
    assert fault.took_effect(service.context, before) == SECONDARY
