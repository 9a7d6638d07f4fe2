"""An authoritative DNS server for the cluster's names, over UDP and TCP.

The zone is asked for at every query, so a flip is seen at once and only the TTL and the resolvers in
between delay it. An alias is answered with its whole chain, as RDS's own servers do. How the answers
are made to misbehave is `dns_behaviour`'s; a late answer keeps no other one waiting.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
import socket
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from chaos.clock import NS, Clock, MonotonicClock
from chaos.testcluster.names.dns_behaviour import FINE, Behaviour, Failure, Fate, Scene, Zone
from chaos.testcluster.records import Address, Alias

CHAIN_MAX = 8
UDP_SIZE_MAX = 1232  # what EDNS clients may be sent without fragments
UDP_SIZE_PLAIN = 512
NEGATIVE_TTL_S = 5
TCP_TIMEOUT_S = 5.0
LATE_MAX = 10_000  # answers that wait for their time; further ones are dropped

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A packet to send back, and how much later."""

    packet: bytes
    delay_s: float = 0.0


class Authority:
    """Answers queries about one zone; no sockets, no waiting."""

    def __init__(
        self, apex: str, zone: Callable[[], Zone], seed: int, behaviour: Behaviour | None = None
    ) -> None:
        """Answer for the names at and below `apex`; `seed` decides between an alias's targets."""
        self._apex = dns.name.from_text(apex)
        self._zone = zone
        self._behaviour = behaviour
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def answer(self, packet: bytes, *, udp: bool) -> Reply | None:
        """Return the reply to one packet; None if there is to be none."""
        try:
            query = dns.message.from_wire(packet)
        except (dns.exception.DNSException, ValueError):
            return _form_error(packet)
        if query.flags & dns.flags.QR:
            return None  # a reply; answering those could go on for ever
        reply = _reply_to(query)
        fate = FINE
        try:
            fate = self._fill(reply, query)
        except Exception:  # noqa: BLE001 - one bad query must not end the server
            _log.exception("a DNS query failed: %s", query.question)
            _server_failure(reply)
        if fate.is_dropped:
            return None
        if fate.is_truncated and udp:
            _empty(reply)
            reply.flags |= dns.flags.TC
        size = 65535
        if udp:
            size = min(query.payload, UDP_SIZE_MAX) if query.edns >= 0 else UDP_SIZE_PLAIN
        wire = reply.to_wire(max_size=max(size, UDP_SIZE_PLAIN), prefer_truncation=True)
        return Reply(packet=wire, delay_s=fate.delay_s)

    def _fill(self, reply: dns.message.Message, query: dns.message.Message) -> Fate:
        """Fill in what a query is answered with; return what becomes of it then."""
        if query.opcode() != dns.opcode.QUERY:
            reply.set_rcode(dns.rcode.NOTIMP)
            return FINE
        if len(query.question) != 1:
            reply.set_rcode(dns.rcode.FORMERR)
            return FINE
        question = query.question[0]
        if question.rdclass != dns.rdataclass.IN or not question.name.is_subdomain(self._apex):
            reply.set_rcode(dns.rcode.REFUSED)
            return FINE
        reply.flags |= dns.flags.AA
        scene = self._behaviour.scene(self._zone()) if self._behaviour else Scene(self._zone())
        return self._resolve(reply, question.name, question.rdtype, scene)

    def _resolve(
        self,
        reply: dns.message.Message,
        name: dns.name.Name,
        kind: dns.rdatatype.RdataType,
        scene: Scene,
    ) -> Fate:
        fate = FINE
        record = None
        for _ in range(CHAIN_MAX):
            fate = fate.joined(scene.fate(_text(name)))
            if fate.failure is not None:
                self._fail(reply, fate.failure)
                return fate
            record = scene.zone.get(_text(name))
            if not isinstance(record, Alias) or not record.targets:
                break
            target = f"{self._choose(record.targets)}."
            reply.answer.append(_rrset(name.to_text(), record.ttl_s, "CNAME", target))
            if kind in {dns.rdatatype.CNAME, dns.rdatatype.ANY}:
                return fate
            name = dns.name.from_text(target)
        if isinstance(record, Address) and kind in {dns.rdatatype.A, dns.rdatatype.ANY}:
            reply.answer.append(_rrset(name.to_text(), record.ttl_s, "A", record.address))
        elif name == self._apex and kind in {dns.rdatatype.SOA, dns.rdatatype.ANY}:
            reply.answer.append(self._soa())
        elif record is None and not _exists(name, scene.zone):
            self._fail(reply, Failure.NXDOMAIN)
        else:
            self._fail(reply, Failure.NODATA)
        return fate

    def _fail(self, reply: dns.message.Message, failure: Failure) -> None:
        """End a reply where its chain has got to; the aliases so far stay, unless all is lost."""
        if failure is Failure.SERVFAIL:
            _server_failure(reply)
            return
        if failure is Failure.NXDOMAIN:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        reply.authority.append(self._soa())

    def _choose(self, targets: tuple[str, ...]) -> str:
        if len(targets) == 1:
            return targets[0]
        with self._lock:
            return self._random.choice(targets)

    def _soa(self) -> dns.rrset.RRset:
        apex = self._apex.to_text()
        data = f"ns.{apex} hostmaster.{apex} 1 7200 900 1209600 {NEGATIVE_TTL_S}"
        return _rrset(apex, NEGATIVE_TTL_S, "SOA", data)


class DnsServer:
    """Serves an authority on one address and port, UDP and TCP."""

    def __init__(self, authority: Authority, address: str, port: int) -> None:
        """Bind and serve from now on.

        Raises:
            OSError: the address is in use.
        """
        self._authority = authority
        self._closing = threading.Event()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._udp.bind((address, port))
            self._tcp = _TcpServer(authority, self._udp.getsockname(), self._closing)
        except OSError:
            self._udp.close()
            raise
        self._late = LateReplies(MonotonicClock())
        self._threads = (
            threading.Thread(target=self._serve_udp, name="dns udp", daemon=True),
            threading.Thread(
                target=self._tcp.serve_forever, args=(0.05,), name="dns tcp", daemon=True
            ),
        )
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop answering and release the port; late answers are not given any more."""
        self._closing.set()
        # A packet to itself wakes the receiver; one of another would only wake it as well.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self._udp.getsockname())
        self._tcp.shutdown()
        for thread in self._threads:
            thread.join()
        self._tcp.server_close()
        self._udp.close()

    def _serve_udp(self) -> None:
        while True:
            self._udp.settimeout(self._late.next_in_s())
            try:
                packet, client = self._udp.recvfrom(4096)
            except TimeoutError:
                packet, client = None, None  # an answer is due
            except ConnectionError:
                continue  # an earlier client has gone; ICMP says so here
            if self._closing.is_set():
                return
            if packet is not None:
                reply = self._authority.answer(packet, udp=True)
                if reply is not None and reply.delay_s > 0:
                    self._late.put(reply, client)
                elif reply is not None:
                    self._send(reply.packet, client)
            for due, whom in self._late.take():
                self._send(due, whom)

    def _send(self, packet: bytes, client: Any) -> None:
        try:
            self._udp.sendto(packet, client)
        except OSError as error:
            _log.debug("no reply to %s: %s", client, error)


class LateReplies:
    """Answers that wait for their time, the next one first; used by one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[tuple[int, int, bytes, Any]] = []
        self._number = itertools.count()

    def put(self, reply: Reply, client: Any) -> None:
        """Keep a reply until it is due; too many are dropped, with a warning."""
        if len(self._waiting) >= LATE_MAX:
            _log.warning("%d late DNS answers wait; one is dropped", LATE_MAX)
            return
        due_ns = self._clock.now_ns() + int(reply.delay_s * NS)
        heapq.heappush(self._waiting, (due_ns, next(self._number), reply.packet, client))

    def next_in_s(self) -> float | None:
        """Return how long until one is due, more than 0, or None where none waits."""
        if not self._waiting:
            return None
        return max((self._waiting[0][0] - self._clock.now_ns()) / NS, 1e-6)

    def take(self) -> list[tuple[bytes, Any]]:
        """Return those that are due, and let them go."""
        due = []
        while self._waiting and self._waiting[0][0] <= self._clock.now_ns():
            _, _, packet, client = heapq.heappop(self._waiting)
            due.append((packet, client))
        return due


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self, authority: Authority, address: tuple[str, int], closing: threading.Event
    ) -> None:
        super().__init__(address, _TcpHandler)
        self.authority = authority
        self.closing = closing

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        _log.debug("DNS connection of %s broke", client_address, exc_info=True)


class _TcpHandler(socketserver.StreamRequestHandler):
    """Answers the queries of one connection, each with its length in front.

    One without an answer leaves the client waiting, until either side's patience ends.
    """

    server: _TcpServer
    timeout = TCP_TIMEOUT_S

    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:  # noqa: PLR2004 - RFC 1035, 4.2.2
            packet = self.rfile.read(int.from_bytes(head))
            reply = self.server.authority.answer(packet, udp=False)
            if reply is None:
                continue
            if self.server.closing.wait(reply.delay_s):
                return
            self.wfile.write(len(reply.packet).to_bytes(2) + reply.packet)


def _reply_to(query: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(query, our_payload=UDP_SIZE_MAX)
    reply.flags &= ~dns.flags.RA
    return reply


def _empty(reply: dns.message.Message) -> None:
    """Take everything out of a reply but its question."""
    reply.answer, reply.authority, reply.additional = [], [], []


def _server_failure(reply: dns.message.Message) -> None:
    _empty(reply)
    reply.flags &= ~dns.flags.AA
    reply.set_rcode(dns.rcode.SERVFAIL)


def _form_error(packet: bytes) -> Reply | None:
    """Return FORMERR for a packet whose head at least can be read, as other servers do."""
    if len(packet) < 12 or packet[2] & 0x80:  # noqa: PLR2004 - RFC 1035, 4.1.1: header size, QR bit
        return None
    flags = (packet[2] & 0x79) | 0x80  # opcode and RD are the query's
    return Reply(packet=packet[:2] + bytes((flags, dns.rcode.FORMERR)) + bytes(8))


@lru_cache(maxsize=1024)
def _rrset(name: str, ttl_s: int, kind: str, data: str) -> dns.rrset.RRset:
    """Return one record; making it takes as long as all the rest of an answer."""
    return dns.rrset.from_text(name, ttl_s, "IN", kind, data)


def _exists(name: dns.name.Name, zone: Zone) -> bool:
    """Tell whether a name without a record lies between the root and one that has one."""
    below = f".{_text(name)}"
    return any(known.endswith(below) for known in zone)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
