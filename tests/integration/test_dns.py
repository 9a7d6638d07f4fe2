"""The name server by real packets, over UDP and TCP."""

from __future__ import annotations

import itertools
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
from fix_control_plane import DOMAIN, HASH, PaperCluster, cluster_record
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos import names
from chaos.names import NameServer
from chaos.testcluster.names.dns import Authority, DnsServer, Reply
from chaos.testcluster.records import Address, Alias

CLUSTER = f"orders.cluster-{HASH}.{DOMAIN}"
READER = f"orders.cluster-ro-{HASH}.{DOMAIN}"
WRITER_INSTANCE = f"orders-instance-001.{HASH}.{DOMAIN}"


class Served:
    """A name server over a paper cluster, and a client of it."""

    def __init__(self, cluster: PaperCluster) -> None:
        self.cluster = cluster
        self.authority = Authority(DOMAIN, cluster.names, seed=1)
        # An address of its own: a free UDP port of a shared one may be in use for TCP.
        low, high = divmod(random.SystemRandom().randrange(1 << 16), 256)
        self.address = f"127.78.{low}.{high}"
        self.server = DnsServer(self.authority, self.address, 5300)
        self.name_server = NameServer(address=self.address, port=5300, domain=DOMAIN)

    def ask(self, name: str, kind: str = "A", *, tcp: bool = False) -> dns.message.Message:
        return self.send(dns.message.make_query(name, kind), tcp=tcp)

    def send(self, query: dns.message.Message, *, tcp: bool = False) -> dns.message.Message:
        transport = dns.query.tcp if tcp else dns.query.udp
        return transport(query, self.address, port=5300, timeout=30)

    def packet(self, packet: bytes) -> bytes | None:
        """Send raw bytes over UDP, then ask something: a reply to the bytes would come first."""
        probe = dns.message.make_query(CLUSTER, "A")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.connect((self.address, 5300))
            client.send(packet)
            client.send(probe.to_wire())
            first = client.recv(4096)
            return None if first[:2] == probe.to_wire()[:2] else first


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served(PaperCluster())
    yield served
    served.server.close()


def answered(authority: Authority, name: str, *, udp: bool = True) -> dns.message.Message:
    """What an authority without a server answers for a name."""
    reply = authority.answer(dns.message.make_query(name, "A").to_wire(), udp=udp)
    assert reply is not None
    return dns.message.from_wire(reply.packet)


def records(reply: dns.message.Message) -> list[tuple[str, str, int, str]]:
    return [
        (r.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(r.rdtype), r.ttl, str(r[0]))
        for r in reply.answer
    ]


@pytest.mark.parametrize("tcp", [False, True])
def test_the_cluster_name_is_answered_with_its_whole_chain(served: Served, tcp: bool) -> None:  # noqa: FBT001
    reply = served.ask(CLUSTER, tcp=tcp)
    assert records(reply) == [
        (CLUSTER, "CNAME", 5, f"{WRITER_INSTANCE}."),
        (WRITER_INSTANCE, "A", 5, "127.77.250.11"),
    ]
    assert reply.flags & dns.flags.AA
    assert not reply.flags & dns.flags.RA


def test_an_instance_is_an_address_and_names_have_no_case(served: Served) -> None:
    reply = served.ask(WRITER_INSTANCE.upper())
    assert [record[1:] for record in records(reply)] == [("A", 5, "127.77.250.11")]


def test_our_resolver_follows_the_chain(served: Served) -> None:
    answer = names.query(CLUSTER, served.name_server)
    assert (answer.chain, answer.addresses, answer.ttl_s) == (
        (WRITER_INSTANCE,),
        ("127.77.250.11",),
        5,
    )


def test_a_flip_is_seen_by_the_next_query(served: Served) -> None:
    served.cluster.failover("orders-instance-003")
    assert records(served.ask(CLUSTER))[-1][3] == "127.77.250.13"


def test_the_reader_name_balances_per_query_and_only_over_readers(served: Served) -> None:
    seen = Counter(records(served.ask(READER))[-1][3] for _ in range(200))
    assert set(seen) == {"127.77.250.12", "127.77.250.13"}
    assert min(seen.values()) > 60
    assert {r[2] for r in records(served.ask(READER)) if r[1] == "CNAME"} == {1}


def test_balancing_is_reproducible() -> None:
    def sequence(seed: int) -> list[Reply | None]:
        authority = Authority(DOMAIN, PaperCluster().names, seed)
        query = dns.message.make_query(READER, "A", id=7).to_wire()
        return [authority.answer(query, udp=True) for _ in range(20)]

    assert sequence(1) == sequence(1)
    assert sequence(1) != sequence(2)


def test_without_readers_the_reader_name_leads_to_the_writer(served: Served) -> None:
    served.cluster.record = cluster_record(instances=1)
    assert records(served.ask(READER))[-1][3] == "127.77.250.11"


def test_without_instances_the_cluster_name_exists_and_leads_nowhere(served: Served) -> None:
    served.cluster.record = cluster_record(instances=0)
    reply = served.ask(CLUSTER)
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.answer == []
    assert reply.authority[0].rdtype == dns.rdatatype.SOA


def test_an_alias_to_a_deleted_instance_dangles(served: Served) -> None:
    zone = {CLUSTER: Alias(targets=(WRITER_INSTANCE,), ttl_s=5)}
    reply = answered(Authority(DOMAIN, lambda: zone, 0), CLUSTER)
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert [record[1] for record in records(reply)] == ["CNAME"]


def test_a_loop_of_aliases_ends(served: Served) -> None:
    zone = {
        f"a.{DOMAIN}": Alias(targets=(f"b.{DOMAIN}",), ttl_s=5),
        f"b.{DOMAIN}": Alias(targets=(f"a.{DOMAIN}",), ttl_s=5),
    }
    assert len(answered(Authority(DOMAIN, lambda: zone, 0), f"a.{DOMAIN}").answer) <= 8


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "sections"),
    [
        (f"nope.{HASH}.{DOMAIN}", "A", "NXDOMAIN", (0, 1)),
        (f"orders.cluster-0ther0ther00.{DOMAIN}", "A", "NXDOMAIN", (0, 1)),
        (WRITER_INSTANCE, "AAAA", "NOERROR", (0, 1)),
        (CLUSTER, "AAAA", "NOERROR", (1, 1)),
        (CLUSTER, "CNAME", "NOERROR", (1, 0)),
        (f"{HASH}.{DOMAIN}", "A", "NOERROR", (0, 1)),  # between the apex and an instance
        (DOMAIN, "SOA", "NOERROR", (1, 0)),
        (DOMAIN, "A", "NOERROR", (0, 1)),
        ("example.com", "A", "REFUSED", (0, 0)),
        ("rds.amazonaws.com", "A", "REFUSED", (0, 0)),
        ("not" + DOMAIN, "A", "REFUSED", (0, 0)),
    ],
)
def test_what_else_is_asked(
    served: Served, name: str, kind: str, rcode: str, sections: tuple[int, int]
) -> None:
    """`sections` are how many records answer and how many (the SOA) say that nothing does."""
    reply = served.ask(name, kind)
    assert dns.rcode.to_text(reply.rcode()) == rcode
    assert (len(reply.answer), len(reply.authority)) == sections
    assert bool(reply.flags & dns.flags.AA) == (rcode != "REFUSED")


def test_edns_is_answered_with_edns(served: Served) -> None:
    assert served.send(dns.message.make_query(CLUSTER, "A", use_edns=0)).edns == 0
    assert served.send(dns.message.make_query(CLUSTER, "A")).edns == -1


def test_what_does_not_fit_a_packet_is_asked_again_over_tcp() -> None:
    long = [f"{'x' * 60}{number}.{'y' * 60}.{'z' * 60}.{DOMAIN}" for number in range(8)]
    zone: dict[str, Alias | Address] = {
        name: Alias(targets=(target,), ttl_s=5) for name, target in itertools.pairwise(long)
    }
    authority = Authority(DOMAIN, lambda: zone, 0)
    by_udp = answered(authority, long[0])
    assert by_udp.flags & dns.flags.TC
    by_tcp = answered(authority, long[0], udp=False)
    assert not by_tcp.flags & dns.flags.TC
    assert len(by_tcp.answer) == 7


def test_several_queries_share_a_tcp_connection(served: Served) -> None:
    with socket.create_connection((served.address, 5300), timeout=30) as connection:
        for name in (CLUSTER, WRITER_INSTANCE):
            query = dns.message.make_query(name, "A")
            dns.query.send_tcp(connection, query)
            reply, _ = dns.query.receive_tcp(connection)
            assert reply.id == query.id
            assert reply.answer


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        (b"", None),
        (b"short", None),
        (b"\x12\x34\x80\x00" + bytes(8), None),  # a reply, not a query
        (b"\x12\x34\x01\x00\x00\x01" + bytes(6), "FORMERR"),  # one question, and none there
        (b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\xc0\x0c\x00\x01\x00\x01", "FORMERR"),
        (b"\x12\x34\x01\x00" + bytes(8), "FORMERR"),  # no question at all
    ],
)
def test_malformed_packets_are_dropped_or_refused(
    served: Served, packet: bytes, rcode: str | None
) -> None:
    reply = served.packet(packet)
    if rcode is None:
        assert reply is None
    else:
        assert reply is not None
        assert reply[:2] == packet[:2]
        assert dns.rcode.to_text(dns.rcode.Rcode(reply[3] & 0xF)) == rcode


def test_other_opcodes_are_not_implemented(served: Served) -> None:
    query = dns.message.make_query(CLUSTER, "A")
    query.set_opcode(dns.opcode.STATUS)
    assert served.send(query).rcode() == dns.rcode.NOTIMP


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.booleans())
def test_no_packet_breaks_the_authority(packet: bytes, is_udp: bool) -> None:  # noqa: FBT001
    reply = Authority(DOMAIN, PaperCluster().names, 0).answer(packet, udp=is_udp)
    assert reply is None or reply.packet[2] & 0x80


def test_a_failing_zone_is_a_server_failure(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, Alias | Address]:
        raise RuntimeError("no zone")

    assert answered(Authority(DOMAIN, broken, 0), CLUSTER).rcode() == dns.rcode.SERVFAIL
    assert "no zone" in caplog.text


def test_clients_at_once_over_both_transports(served: Served) -> None:
    wrong: list[str] = []

    def ask(*, tcp: bool) -> None:
        for _ in range(30):
            address = records(served.ask(CLUSTER, tcp=tcp))[-1][3]
            if address != "127.77.250.11":
                wrong.append(address)

    threads = [threading.Thread(target=ask, kwargs={"tcp": n % 2 == 0}) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_port_in_use_is_said_and_leaves_nothing(served: Served) -> None:
    with pytest.raises(OSError, match="in use"):
        DnsServer(served.authority, served.address, 5300)


def test_a_closed_server_frees_its_port() -> None:
    first = Served(PaperCluster())
    first.server.close()
    second = DnsServer(first.authority, first.address, 5300)
    second.close()
