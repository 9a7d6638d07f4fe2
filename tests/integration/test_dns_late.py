"""A name server whose answers are late, cut or missing, by real packets over both transports."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

import dns.message
import dns.query
import pytest

from chaos import names
from chaos.clock import MonotonicClock
from chaos.names import NameServer
from chaos.testcluster.names.dns import Authority, DnsServer
from chaos.testcluster.names.dns_behaviour import Behaviour, Failure, Fate, Outcome
from chaos.testcluster.records import Address

DOMAIN = "rds.amazonaws.com"
SLOW, QUICK = f"slow.c0.eu-west-1.{DOMAIN}", f"quick.c0.eu-west-1.{DOMAIN}"
PORT = 5300
LATE_S = 1.0


class Served:
    """A running name server of two names, and raw clients of it."""

    def __init__(self) -> None:
        low, high = divmod(random.SystemRandom().randrange(1 << 16), 256)
        self.address = f"127.79.{low}.{high}"
        self.behaviour = Behaviour(MonotonicClock(), seed=0)
        zone = {
            name: Address(address=f"127.77.1.{number}", ttl_s=5)
            for number, name in enumerate((SLOW, QUICK), start=1)
        }
        authority = Authority(DOMAIN, lambda: zone, 0, self.behaviour)
        self.server = DnsServer(authority, self.address, PORT)
        self.name_server = NameServer(address=self.address, port=PORT, domain=DOMAIN)

    def client(self) -> socket.socket:
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(30)
        client.connect((self.address, PORT))
        return client


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.server.close()


def question(name: str) -> dns.message.Message:
    return dns.message.make_query(name, "A")


def test_a_late_answer_keeps_no_other_one_waiting(served: Served) -> None:
    """Asked before, answered after, and not before its time."""
    served.behaviour.add(Outcome(Fate(delay_s=LATE_S), {SLOW}))
    slow, quick = question(SLOW), question(QUICK)
    clock = MonotonicClock()
    with served.client() as client:
        asked_ns = clock.now_ns()
        client.send(slow.to_wire())
        client.send(quick.to_wire())
        first, second = client.recv(4096), client.recv(4096)
        waited_s = (clock.now_ns() - asked_ns) / 1e9
    assert [dns.message.from_wire(reply).id for reply in (first, second)] == [quick.id, slow.id]
    assert dns.message.from_wire(second).answer
    assert waited_s >= LATE_S


def test_a_late_answer_by_tcp_keeps_no_other_connection_waiting(served: Served) -> None:
    served.behaviour.add(Outcome(Fate(delay_s=LATE_S), {SLOW}))
    clock = MonotonicClock()
    slow, quick = question(SLOW), question(QUICK)
    with (
        socket.create_connection((served.address, PORT), timeout=30) as first,
        socket.create_connection((served.address, PORT), timeout=30) as second,
    ):
        asked_ns = clock.now_ns()
        dns.query.send_tcp(first, slow)
        dns.query.send_tcp(second, quick)
        assert dns.query.receive_tcp(second)[0].answer
        assert dns.query.receive_tcp(first)[0].answer
        assert (clock.now_ns() - asked_ns) / 1e9 >= LATE_S


def test_a_dropped_query_leaves_the_client_waiting_and_others_served(served: Served) -> None:
    """The reply to a later query is the first packet that comes back."""
    served.behaviour.add(Outcome(Fate(is_dropped=True), {SLOW}))
    quick = question(QUICK)
    with served.client() as client:
        client.send(question(SLOW).to_wire())
        client.send(quick.to_wire())
        assert dns.message.from_wire(client.recv(4096)).id == quick.id
    with socket.create_connection((served.address, PORT), timeout=30) as connection:
        dns.query.send_tcp(connection, question(SLOW))
        dns.query.send_tcp(connection, quick)
        assert dns.query.receive_tcp(connection)[0].id == quick.id


def test_our_resolver_asks_by_tcp_what_was_cut(served: Served) -> None:
    served.behaviour.add(Outcome(Fate(is_truncated=True)))
    assert names.query(QUICK, served.name_server).addresses == ("127.77.1.2",)


@pytest.mark.parametrize("failure", list(Failure))
def test_our_resolver_says_how_a_name_failed(served: Served, failure: Failure) -> None:
    served.behaviour.add(Outcome(Fate(failure=failure), {SLOW}))
    assert names.query(SLOW, served.name_server).error == failure
    assert names.query(QUICK, served.name_server).addresses == ("127.77.1.2",)


def test_closing_does_not_wait_for_late_answers() -> None:
    served = Served()
    served.behaviour.add(Outcome(Fate(delay_s=3600)))
    with (
        served.client() as client,
        socket.create_connection((served.address, PORT), timeout=30) as connection,
    ):
        client.send(question(SLOW).to_wire())
        dns.query.send_tcp(connection, question(SLOW))
        served.server.close()
        client.settimeout(0.05)
        with pytest.raises((TimeoutError, ConnectionRefusedError)):
            client.recv(4096)
    DnsServer(Authority(DOMAIN, dict, 0), served.address, PORT).close()  # its port is free
