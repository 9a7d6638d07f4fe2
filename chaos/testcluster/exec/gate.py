"""The name server that a program asks: the test cluster's names, and no others.

Queries for the cluster's names go on to its own name server, whose answers come back as they are:
late, empty, wrong or not at all. Every other name does not exist, AWS's before all.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading

import dns.exception
import dns.flags
import dns.message
import dns.rcode

from chaos.names import NameServer

_PACKET_MAX = 65535
_ANSWER_TIMEOUT_S = 30.0  # Longer than any client waits, and than any answer is held back.
_PENDING_MAX = 256

_log = logging.getLogger(__name__)


class Gate:
    """Answers queries on a UDP socket until it is closed."""

    def __init__(self, listener: socket.socket, name_server: NameServer) -> None:
        """Answer from now on; the socket is the gate's to close."""
        self._listener = listener
        self._name_server = name_server
        self._closing = False
        self._pending = threading.BoundedSemaphore(_PENDING_MAX)
        self._thread = threading.Thread(target=self._serve, name="dns gate", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                packet, client = self._listener.recvfrom(_PACKET_MAX)
            except ConnectionError:
                continue  # An earlier client has gone.
            if self._closing:
                return
            if self._pending.acquire(blocking=False):  # Else it is lost, as a busy server loses it.
                threading.Thread(target=self._answer, args=(packet, client), daemon=True).start()

    def _answer(self, packet: bytes, client: tuple[str, int]) -> None:
        try:
            self._listener.sendto(self._reply(packet), client)
        except (OSError, ValueError, dns.exception.DNSException) as error:
            _log.debug("no answer to %s: %s", client, error)
        finally:
            self._pending.release()

    def _reply(self, packet: bytes) -> bytes:
        query = dns.message.from_wire(packet)
        name = query.question[0].name.to_text(omit_final_dot=True) if query.question else ""
        if self._name_server.serves(name):
            return self._forwarded(packet)
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()

    def _forwarded(self, packet: bytes) -> bytes:
        server = (self._name_server.address, self._name_server.port)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as onward:
            onward.settimeout(_ANSWER_TIMEOUT_S)
            onward.connect(server)
            onward.send(packet)
            return onward.recv(_PACKET_MAX)

    def close(self) -> None:
        """Stop answering."""
        self._closing = True
        with contextlib.suppress(OSError):  # It is not connected; who waits for it wakes up.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
