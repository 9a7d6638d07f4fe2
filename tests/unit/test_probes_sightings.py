from __future__ import annotations

import pytest

from chaos.model.operation import Kind, Outcome
from chaos.model.record import Observation
from chaos.names import Answer
from loadgen.probes.failures import name_of_connect_error, name_of_state, outcome_of
from loadgen.probes.sightings import (
    BALANCE_WINDOW_NS,
    SILENCE_UNREACHABLE_NS,
    NameSightings,
    RoleSightings,
    Sighted,
)

HOSTS = {
    "cluster": "c.cluster-x.example",
    "reader": "c.cluster-ro-x.example",
    "a": "a.x.example",
    "b": "B.x.example",
}


def answered(
    roles: RoleSightings, at: int, *, recovering: bool, server: str = "t0", by: str = "a"
) -> list[Observation]:
    return roles.answered(at, at + 2, answered_by=by, recovering=recovering, since=server)


def lead(*hosts: str, address: str = "10.0.0.1") -> Answer:
    return Answer(chain=hosts, addresses=(address,), ttl_s=5)


def test_first_sample_is_seen_without_a_lower_bracket() -> None:
    seen = Sighted("role", "a").see(10, 12, "writer")
    assert seen is not None
    assert (seen.since_ns, seen.at_ns, seen.value) == (None, 12, "writer")


def test_a_change_lies_between_the_last_old_and_the_first_new_sample() -> None:
    sighted = Sighted("role", "a")
    sighted.see(10, 12, "writer")
    assert sighted.see(20, 22, "writer") is None
    seen = sighted.see(30, 32, "reader")
    assert seen is not None
    assert (seen.since_ns, seen.at_ns) == (20, 32)


def test_an_answer_overtaken_by_a_later_sample_is_no_change_back() -> None:
    sighted = Sighted("role", "a")
    sighted.see(10, 12, "reader")
    sighted.see(30, 32, "writer")
    assert sighted.see(20, 40, "reader") is None
    assert sighted.value == "writer"


def test_roles_come_with_the_server_start_and_a_restart_is_seen() -> None:
    roles = RoleSightings("a")
    first = answered(roles, 10, recovering=False)
    assert [(o.kind, o.value) for o in first] == [("postmaster", "t0"), ("role", "writer")]
    assert answered(roles, 20, recovering=False) == []
    (restart,) = answered(roles, 30, recovering=False, server="t1")
    assert (restart.kind, restart.value, restart.since_ns) == ("postmaster", "t1", 20)


def test_one_lost_answer_is_not_unreachable_but_two_are() -> None:
    roles = RoleSightings("a")
    answered(roles, 10, recovering=True)
    assert roles.missed(20, 25, "----- Deadline") == []
    late = SILENCE_UNREACHABLE_NS + 20
    (gone,) = roles.missed(30, late, "----- Deadline")
    assert (gone.value, gone.since_ns, gone.at_ns) == ("unreachable", 10, late)
    assert gone.detail == {"reason": "----- Deadline"}


@pytest.mark.parametrize("error", ["----- ConnectionRefused", "----- NameNXDOMAIN"])
def test_a_refusal_is_unreachable_at_once(error: str) -> None:
    roles = RoleSightings("a")
    answered(roles, 10, recovering=True)
    (gone,) = roles.missed(20, 25, error)
    assert gone.value == "unreachable"


def test_missed_turns_of_a_moment_are_not_unreachable() -> None:
    roles = RoleSightings("a")
    answered(roles, 10, recovering=True)
    assert roles.missed(20, 25, "----- Missed") == []
    assert roles.missed(30, 35, "----- Missed") == []


def test_an_answer_between_two_misses_starts_the_count_anew() -> None:
    roles = RoleSightings("a")
    roles.missed(10, 15, "----- Deadline")
    answered(roles, 20, recovering=True)
    assert roles.missed(30, 35, "----- Deadline") == []


def test_an_address_that_another_instance_answers_is_told() -> None:
    seen = answered(RoleSightings("a"), 10, recovering=True, by="b")
    assert seen[-1].detail["answered_by"] == "b"


def test_cluster_name_leads_to_the_instance_in_its_chain() -> None:
    names = NameSightings("cluster", HOSTS)
    first = names.heard(10, 11, lead("a.x.example"))
    assert first is not None
    assert (first.kind, first.subject, first.value) == ("dns", "cluster", "a")
    assert first.detail["ttl_s"] == 5
    assert names.heard(20, 21, lead("a.x.example")) is None
    flip = names.heard(30, 31, lead("b.x.example"))
    assert flip is not None
    assert (flip.value, flip.since_ns, flip.at_ns) == ("b", 20, 31)


def test_a_name_without_a_known_instance_shows_addresses_and_an_error_shows_itself() -> None:
    names = NameSightings("a", HOSTS)
    first = names.heard(10, 11, lead(address="10.0.0.7"))
    gone = names.heard(20, 21, Answer(error="NXDOMAIN"))
    assert first is not None
    assert gone is not None
    assert (first.value, gone.value) == ("10.0.0.7", "NXDOMAIN")
    assert names.addresses == {"10.0.0.7"}  # connections are not dropped for a failed query


def test_a_balancing_name_shows_all_it_leads_to_and_forgets_after_the_window() -> None:
    names = NameSightings("reader", HOSTS)
    names.heard(0, 1, lead("a.x.example", address="10.0.0.1"))
    both = names.heard(10, 11, lead("b.x.example", address="10.0.0.2"))
    assert both is not None
    assert both.value == "a,b"
    assert names.heard(20, 21, lead("a.x.example", address="10.0.0.1")) is None
    assert names.addresses == {"10.0.0.1", "10.0.0.2"}
    late = BALANCE_WINDOW_NS + 100
    only = names.heard(late, late + 1, lead("a.x.example", address="10.0.0.1"))
    assert only is not None
    assert only.value == "a"
    assert names.addresses == {"10.0.0.1"}


@pytest.mark.parametrize(
    ("kind", "error", "outcome"),
    [
        (Kind.WRITE, "25006 ReadOnlySqlTransaction", Outcome.FAILED),
        (Kind.WRITE, "57P01 AdminShutdown", Outcome.UNKNOWN),
        (Kind.WRITE, "----- ConnectionLost", Outcome.UNKNOWN),
        (Kind.READ, "----- ConnectionLost", Outcome.FAILED),
        (Kind.READ, "57P01 AdminShutdown", Outcome.FAILED),
    ],
)
def test_only_a_write_that_may_have_committed_is_unknown(
    kind: Kind, error: str, outcome: Outcome
) -> None:
    assert outcome_of(kind, error) is outcome


def test_errors_are_named_by_sqlstate_or_by_what_libpq_says() -> None:
    assert name_of_state("25006") == "25006 ReadOnlySqlTransaction"
    assert name_of_state("ZZ999") == "ZZ999 Error"
    assert (
        name_of_connect_error('connection to server at "x", port 1 failed: Connection refused')
        == "----- ConnectionRefused"
    )
    assert (
        name_of_connect_error("FATAL:  the database system is starting up")
        == "57P03 CannotConnectNow"
    )
    assert name_of_connect_error("something new") == "----- ConnectFailed"
