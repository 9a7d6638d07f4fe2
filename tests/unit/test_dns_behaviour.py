"""Misbehaving name servers: real packets in and out of an authority, in virtual time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest

from chaos.clock import NS
from chaos.testcluster.names.dns import LATE_MAX, Authority, LateReplies, Reply
from chaos.testcluster.names.dns_behaviour import (
    Behaviour,
    Failure,
    Fate,
    Flap,
    Outcome,
    Record,
    Rule,
    Stale,
    Ttl,
    WriterBehindReaders,
)
from chaos.testcluster.records import Address, Alias

DOMAIN = "rds.amazonaws.com"
CLUSTER = f"orders.cluster-c0.eu-west-1.{DOMAIN}"
READER = f"orders.cluster-ro-c0.eu-west-1.{DOMAIN}"
A, B, C = (f"{letter}.c0.eu-west-1.{DOMAIN}" for letter in "abc")
ADDRESSES = {A: "127.77.1.11", B: "127.77.1.12", C: "127.77.1.13"}


def zone(writer: str) -> dict[str, Record]:
    """A cluster of a, b and c with that writer."""
    readers = tuple(name for name in ADDRESSES if name != writer)
    return {
        CLUSTER: Alias(targets=(writer,), ttl_s=5),
        READER: Alias(targets=readers, ttl_s=1),
        **{name: Address(address=address, ttl_s=5) for name, address in ADDRESSES.items()},
    }


@dataclass
class VirtualClock:
    now_s: float = 0.0

    def now_ns(self) -> int:
        return int(self.now_s * NS)

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s


@dataclass
class Nameserver:
    """An authority whose zone and time the test sets."""

    zone: Mapping[str, Record] = field(default_factory=lambda: zone(A))
    clock: VirtualClock = field(default_factory=VirtualClock)
    seed: int = 1

    def __post_init__(self) -> None:
        self.behaviour = Behaviour(self.clock, self.seed)
        self.authority = Authority(DOMAIN, lambda: self.zone, self.seed, self.behaviour)

    def reply(self, name: str, kind: str = "A", *, udp: bool = True) -> Reply | None:
        return self.authority.answer(dns.message.make_query(name, kind).to_wire(), udp=udp)

    def message(self, name: str, kind: str = "A", *, udp: bool = True) -> dns.message.Message:
        reply = self.reply(name, kind, udp=udp)
        assert reply is not None
        return dns.message.from_wire(reply.packet)

    def address(self, name: str) -> str:
        """The address behind a name, or how it failed."""
        message = self.message(name)
        if message.rcode() != dns.rcode.NOERROR:
            return dns.rcode.to_text(message.rcode())
        found = [str(r[0]) for r in message.answer if r.rdtype == dns.rdatatype.A]
        return found[0] if found else "NODATA"

    def addresses(self, name: str, queries: int = 60) -> set[str]:
        """Every address that a number of queries gives."""
        return {self.address(name) for _ in range(queries)}


@pytest.fixture
def server() -> Nameserver:
    return Nameserver()


def test_a_rule_that_does_nothing_changes_nothing(server: Nameserver) -> None:
    untouched = Nameserver()
    server.behaviour.add(Rule())
    for name in (CLUSTER, READER, A, "nope." + DOMAIN):
        query = dns.message.make_query(name, "A", id=7).to_wire()
        assert server.authority.answer(query, udp=True) == untouched.authority.answer(
            query, udp=True
        )


@pytest.mark.parametrize("kind", ["A", "AAAA", "CNAME"])
@pytest.mark.parametrize(
    ("failure", "rcode", "has_soa"),
    [
        (Failure.NODATA, "NOERROR", True),
        (Failure.NXDOMAIN, "NXDOMAIN", True),
        (Failure.SERVFAIL, "SERVFAIL", False),
    ],
)
def test_a_failing_name_fails_for_every_type(
    server: Nameserver, failure: Failure, rcode: str, kind: str, *, has_soa: bool
) -> None:
    """A negative answer bears the SOA, whose TTL says how long it may be kept; a failure none."""
    end = server.behaviour.add(Outcome(Fate(failure=failure), {CLUSTER}))
    message = server.message(CLUSTER, kind)
    assert dns.rcode.to_text(message.rcode()) == rcode
    assert message.answer == []
    assert [r.rdtype == dns.rdatatype.SOA for r in message.authority] == [True] * has_soa
    assert bool(message.flags & dns.flags.AA) == has_soa
    assert server.address(READER) in ADDRESSES.values()
    end()
    assert server.address(CLUSTER) == ADDRESSES[A]


@pytest.mark.parametrize(("failure", "answered"), [("NODATA", 1), ("NXDOMAIN", 1), ("SERVFAIL", 0)])
def test_a_failing_instance_breaks_the_chain_behind_its_alias(
    server: Nameserver, failure: str, answered: int
) -> None:
    server.behaviour.add(Outcome(Fate(failure=Failure(failure)), {A}))
    assert server.address(A) == server.address(CLUSTER) == failure
    assert len(server.message(CLUSTER).answer) == answered
    assert server.addresses(READER) == {ADDRESSES[B], ADDRESSES[C]}


def test_a_dropped_query_gets_no_reply_by_either_transport(server: Nameserver) -> None:
    server.behaviour.add(Outcome(Fate(is_dropped=True), {CLUSTER}))
    assert server.reply(CLUSTER) is None
    assert server.reply(CLUSTER, udp=False) is None
    assert server.reply(READER) is not None


def test_a_late_answer_is_the_right_one_and_says_how_late(server: Nameserver) -> None:
    server.behaviour.add(Outcome(Fate(delay_s=1.5), {A}))
    server.behaviour.add(Outcome(Fate(delay_s=0.5)))
    delays = {name: reply.delay_s for name in (CLUSTER, A, B) if (reply := server.reply(name))}
    assert delays == {CLUSTER: 1.5, A: 1.5, B: 0.5}
    assert server.address(CLUSTER) == ADDRESSES[A]


def test_a_cut_answer_is_whole_by_tcp(server: Nameserver) -> None:
    server.behaviour.add(Outcome(Fate(is_truncated=True)))
    cut = server.message(CLUSTER)
    assert cut.flags & dns.flags.TC
    assert cut.answer == []
    whole = server.message(CLUSTER, udp=False)
    assert not whole.flags & dns.flags.TC
    assert len(whole.answer) == 2


def test_a_share_of_the_queries_fails_and_the_seed_decides_which() -> None:
    def outcomes(seed: int) -> list[str]:
        server = Nameserver(seed=seed)
        rule = Outcome(Fate(failure=Failure.SERVFAIL), probability=0.3)
        server.behaviour.add(rule)
        return [server.address(CLUSTER) for _ in range(400)]

    counted = Counter(outcomes(1))
    assert set(counted) == {"SERVFAIL", ADDRESSES[A]}
    assert 70 < counted["SERVFAIL"] < 180  # 120 expected: the chain of two names is one query
    assert outcomes(1) == outcomes(1) != outcomes(2)


def test_stale_names_stay_as_they_were(server: Nameserver) -> None:
    end = server.behaviour.add(Stale(server.zone, {CLUSTER}))
    server.zone = zone(B)
    assert server.address(CLUSTER) == ADDRESSES[A]
    assert server.addresses(READER) == {ADDRESSES[A], ADDRESSES[C]}
    end()
    assert server.address(CLUSTER) == ADDRESSES[B]


def test_a_stale_zone_does_not_know_what_came_later_and_keeps_what_went(
    server: Nameserver,
) -> None:
    server.behaviour.add(Stale(server.zone))
    new = f"d.c0.eu-west-1.{DOMAIN}"
    server.zone = {n: r for n, r in zone(B).items() if n != C} | {
        new: Address(address="127.77.1.14", ttl_s=5)
    }
    assert server.address(new) == "NXDOMAIN"
    assert server.address(C) == ADDRESSES[C]


def test_name_servers_of_which_only_some_are_stale(server: Nameserver) -> None:
    server.behaviour.add(Stale(server.zone, {CLUSTER}, probability=0.5))
    server.zone = zone(B)
    counted = Counter(server.address(CLUSTER) for _ in range(200))
    assert min(counted[ADDRESSES[A]], counted[ADDRESSES[B]]) > 60


def test_a_flip_flaps_new_old_new(server: Nameserver) -> None:
    server.behaviour.add(Flap(server.zone, period_s=2, times=2, names={CLUSTER}))
    before = [server.address(CLUSTER)]
    server.clock.sleep(100)
    before.append(server.address(CLUSTER))
    server.zone = zone(B)
    seen = []
    for _ in range(7):
        seen.append(server.address(CLUSTER))
        assert server.addresses(READER) == {ADDRESSES[A], ADDRESSES[C]}  # only the cluster's name
        server.clock.sleep(2)
    old, new = ADDRESSES[A], ADDRESSES[B]
    assert before == [old, old]
    assert seen == [new, old, new, old, new, new, new]


def test_a_second_flip_flaps_between_the_second_and_the_third(server: Nameserver) -> None:
    server.behaviour.add(Flap(server.zone, period_s=2, times=1, names={CLUSTER}))
    server.zone = zone(B)
    server.address(CLUSTER)
    server.clock.sleep(3)
    assert server.address(CLUSTER) == ADDRESSES[A]
    server.zone = zone(C)
    seen = []
    for _ in range(3):
        seen.append(server.address(CLUSTER))
        server.clock.sleep(2)
    assert seen == [ADDRESSES[C], ADDRESSES[B], ADDRESSES[C]]


def test_a_name_that_comes_and_a_name_that_goes_flap(server: Nameserver) -> None:
    server.behaviour.add(Flap(server.zone, period_s=2, times=1))
    new = f"d.c0.eu-west-1.{DOMAIN}"
    server.zone = {n: r for n, r in server.zone.items() if n != C} | {
        new: Address(address="127.77.1.14", ttl_s=5)
    }
    seen = []
    for _ in range(3):
        seen.append((server.address(new), server.address(C)))
        server.clock.sleep(2)
    after = ("127.77.1.14", "NXDOMAIN")
    assert seen == [after, ("NXDOMAIN", ADDRESSES[C]), after]


def test_ttls_are_set_by_name(server: Nameserver) -> None:
    server.behaviour.add(Ttl(60, {CLUSTER}))
    assert [r.ttl for r in server.message(CLUSTER).answer] == [60, 5]
    server.behaviour.add(Ttl(0))
    assert [r.ttl for r in server.message(CLUSTER).answer] == [0, 0]
    assert server.address(CLUSTER) == ADDRESSES[A]


def test_a_reader_endpoint_hands_out_the_writer_beside_the_readers(server: Nameserver) -> None:
    end = server.behaviour.add(WriterBehindReaders(server.zone, {READER: CLUSTER}))
    assert server.addresses(READER) == set(ADDRESSES.values())
    end()
    assert server.addresses(READER) == {ADDRESSES[B], ADDRESSES[C]}


def test_a_reader_endpoint_hands_out_the_writer_alone(server: Nameserver) -> None:
    server.behaviour.add(WriterBehindReaders(server.zone, {READER: CLUSTER}, only=True))
    assert server.addresses(READER) == {ADDRESSES[A]}
    server.zone = zone(B)
    assert server.addresses(READER) == {ADDRESSES[B]}


def test_a_reader_endpoint_hands_out_a_new_writer_for_a_while(server: Nameserver) -> None:
    server.behaviour.add(WriterBehindReaders(server.zone, {READER: CLUSTER}, after_flip_s=5))
    assert ADDRESSES[A] not in server.addresses(READER)
    server.zone = zone(B)
    assert ADDRESSES[B] in server.addresses(READER)
    server.clock.sleep(4.9)
    assert ADDRESSES[B] in server.addresses(READER)
    server.clock.sleep(0.1)
    assert server.addresses(READER) == {ADDRESSES[A], ADDRESSES[C]}


def test_a_cluster_without_instances_leaves_its_reader_endpoint_empty(server: Nameserver) -> None:
    server.behaviour.add(WriterBehindReaders(server.zone, {READER: CLUSTER}))
    server.zone = {
        CLUSTER: Alias(targets=(), ttl_s=5),
        READER: Alias(targets=(), ttl_s=1),
    }
    assert server.address(READER) == "NODATA"


def test_rules_add_up_and_end_one_by_one(server: Nameserver) -> None:
    """A stale name that is also slow and short-lived: each ends by itself, twice does no harm."""
    ends = [
        server.behaviour.add(rule)
        for rule in (Stale(server.zone), Outcome(Fate(delay_s=2)), Ttl(1))
    ]
    server.zone = zone(B)
    reply = server.reply(CLUSTER)
    assert reply is not None
    message = dns.message.from_wire(reply.packet)
    assert (reply.delay_s, [r.ttl for r in message.answer]) == (2, [1, 1])
    assert server.address(CLUSTER) == ADDRESSES[A]
    ends[0]()
    ends[0]()
    assert server.address(CLUSTER) == ADDRESSES[B]
    assert [r.ttl for r in server.message(CLUSTER).answer] == [1, 1]
    ends[2]()
    ends[1]()
    reply = server.reply(CLUSTER)
    assert reply is not None
    assert reply.delay_s == 0
    assert [r.ttl for r in server.message(CLUSTER).answer] == [5, 5]


def test_what_a_name_server_refuses_stays_refused(server: Nameserver) -> None:
    """Rules are about the zone's names, so nothing happens to what is none of its business."""
    server.behaviour.add(Outcome(Fate(is_dropped=True)))
    assert dns.rcode.to_text(server.message("example.com").rcode()) == "REFUSED"


def test_late_answers_are_given_in_the_order_of_their_times() -> None:
    clock = VirtualClock()
    late = LateReplies(clock)
    assert (late.next_in_s(), late.take()) == (None, [])
    for delay_s, packet in ((3, b"c"), (1, b"a"), (1, b"b")):
        late.put(Reply(packet=packet, delay_s=delay_s), "client")
    assert (late.next_in_s(), late.take()) == (1, [])
    clock.sleep(1)
    assert late.take() == [(b"a", "client"), (b"b", "client")]
    assert late.next_in_s() == 2
    clock.sleep(5)
    assert 0 < (late.next_in_s() or 0) < 0.001  # overdue, and never 0, which would not wait at all
    assert late.take() == [(b"c", "client")]
    assert late.next_in_s() is None


def test_more_late_answers_than_can_wait_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock()
    late = LateReplies(clock)
    for _ in range(LATE_MAX + 1):
        late.put(Reply(packet=b"", delay_s=1), "client")
    clock.sleep(1)
    assert len(late.take()) == LATE_MAX
    assert "one is dropped" in caplog.text
