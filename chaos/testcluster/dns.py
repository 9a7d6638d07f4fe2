"""An authoritative DNS server for the cluster's names, over UDP and TCP.

The zone is asked of the cluster at every query, so a flip is seen at once and only the TTL and the
resolvers in between delay it. An alias is answered with its whole chain, as RDS's own servers do.
"""

from __future__ import annotations

import logging
import random
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
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

from chaos.testcluster.records import Address, Alias

Zone = Mapping[str, Alias | Address]

CHAIN_MAX = 8
UDP_SIZE_MAX = 1232  # what EDNS clients may be sent without fragments
UDP_SIZE_PLAIN = 512
NEGATIVE_TTL_S = 5
TCP_TIMEOUT_S = 5.0

_log = logging.getLogger(__name__)


class Authority:
    """Answers queries about one zone; no sockets."""

    def __init__(self, apex: str, zone: Callable[[], Zone], seed: int) -> None:
        """Answer for the names at and below `apex`; `seed` decides between an alias's targets."""
        self._apex = dns.name.from_text(apex)
        self._zone = zone
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def answer(self, packet: bytes, *, udp: bool) -> bytes | None:
        """Return the reply to one packet; None if it deserves none."""
        try:
            query = dns.message.from_wire(packet)
        except (dns.exception.DNSException, ValueError):
            return _form_error(packet)
        if query.flags & dns.flags.QR:
            return None  # a reply; answering those could go on for ever
        try:
            reply = self._reply(query)
        except Exception:  # noqa: BLE001 - one bad query must not end the server
            _log.exception("a DNS query failed: %s", query.question)
            reply = _reply_to(query)
            reply.set_rcode(dns.rcode.SERVFAIL)
        size = 65535
        if udp:
            size = min(query.payload, UDP_SIZE_MAX) if query.edns >= 0 else UDP_SIZE_PLAIN
        return reply.to_wire(max_size=max(size, UDP_SIZE_PLAIN), prefer_truncation=True)

    def _reply(self, query: dns.message.Message) -> dns.message.Message:
        reply = _reply_to(query)
        if query.opcode() != dns.opcode.QUERY:
            reply.set_rcode(dns.rcode.NOTIMP)
            return reply
        if len(query.question) != 1:
            reply.set_rcode(dns.rcode.FORMERR)
            return reply
        question = query.question[0]
        if question.rdclass != dns.rdataclass.IN or not question.name.is_subdomain(self._apex):
            reply.set_rcode(dns.rcode.REFUSED)
            return reply
        reply.flags |= dns.flags.AA
        self._resolve(reply, question.name, question.rdtype)
        return reply

    def _resolve(
        self, reply: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> None:
        zone = self._zone()
        record = None
        for _ in range(CHAIN_MAX):
            record = zone.get(_text(name))
            if not isinstance(record, Alias) or not record.targets:
                break
            target = f"{self._choose(record.targets)}."
            reply.answer.append(_rrset(name.to_text(), record.ttl_s, "CNAME", target))
            if kind in {dns.rdatatype.CNAME, dns.rdatatype.ANY}:
                return
            name = dns.name.from_text(target)
        if isinstance(record, Address) and kind in {dns.rdatatype.A, dns.rdatatype.ANY}:
            reply.answer.append(_rrset(name.to_text(), record.ttl_s, "A", record.address))
        elif name == self._apex and kind in {dns.rdatatype.SOA, dns.rdatatype.ANY}:
            reply.answer.append(self._soa())
        else:
            if record is None and not _exists(name, zone):
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
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._udp.bind((address, port))
            self._tcp = _TcpServer(authority, self._udp.getsockname())
        except OSError:
            self._udp.close()
            raise
        self._closing = False
        self._threads = (
            threading.Thread(target=self._serve_udp, name="dns udp", daemon=True),
            threading.Thread(
                target=self._tcp.serve_forever, args=(0.05,), name="dns tcp", daemon=True
            ),
        )
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop answering and release the port."""
        self._closing = True
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
            try:
                packet, client = self._udp.recvfrom(4096)
            except ConnectionError:
                continue  # an earlier client has gone; ICMP says so here
            if self._closing:
                return
            reply = self._authority.answer(packet, udp=True)
            if reply is None:
                continue
            try:
                self._udp.sendto(reply, client)
            except OSError as error:
                _log.debug("no reply to %s: %s", client, error)


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, authority: Authority, address: tuple[str, int]) -> None:
        super().__init__(address, _TcpHandler)
        self.authority = authority

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        _log.debug("DNS connection of %s broke", client_address, exc_info=True)


class _TcpHandler(socketserver.StreamRequestHandler):
    """Answers the queries of one connection, each with its length in front."""

    server: _TcpServer
    timeout = TCP_TIMEOUT_S

    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:  # noqa: PLR2004 - RFC 1035, 4.2.2
            packet = self.rfile.read(int.from_bytes(head))
            reply = self.server.authority.answer(packet, udp=False)
            if reply is None:
                return
            self.wfile.write(len(reply).to_bytes(2) + reply)


def _reply_to(query: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(query, our_payload=UDP_SIZE_MAX)
    reply.flags &= ~dns.flags.RA
    return reply


def _form_error(packet: bytes) -> bytes | None:
    """Return FORMERR for a packet whose head at least can be read, as other servers do."""
    if len(packet) < 12 or packet[2] & 0x80:  # noqa: PLR2004 - RFC 1035, 4.1.1: header size, QR bit
        return None
    flags = (packet[2] & 0x79) | 0x80  # opcode and RD are the query's
    return packet[:2] + bytes((flags, dns.rcode.FORMERR)) + bytes(8)


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
