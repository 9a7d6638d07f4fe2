"""Resolving endpoint names on the event loop, anew for every connection; tells all it hears.

As with `chaos.names.query`, nothing is cached, and a query waits `QUERY_TIMEOUT_S`. But a hundred
queries a second must not delay the probes, so a reply with the same bytes as the one before it is
not parsed again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.rdatatype
import dns.resolver

from chaos.clock import MonotonicClock
from chaos.errors import HostError
from chaos.names import QUERY_TIMEOUT_S, Answer, NameServer, query, read_answer
from loadgen.probes.tasks import begin

_JOIN_NS = 25_000_000
_ID_BYTES = 2
_DNS_PORT = 53

Heard = Callable[[str, int, int, Answer], None]
"""Called with endpoint, start and end (monotonic ns) and answer of each query."""


@dataclass(slots=True)
class _Question:
    endpoint: str
    started_ns: int
    answer: asyncio.Future[Answer]
    timer: asyncio.TimerHandle


@dataclass(slots=True)
class _Name:
    host: str
    wire: bytes
    last_reply: bytes = b""
    last_answer: Answer = field(default_factory=Answer)
    latest: _Question | None = None


class Resolver(asyncio.DatagramProtocol):
    """Asks one name server; create it with `open_resolver`."""

    def __init__(self, endpoints: Mapping[str, str], server: tuple[str, int], heard: Heard) -> None:
        self._server = NameServer(address=server[0], port=server[1], domain="")
        self._heard = heard
        self._clock = MonotonicClock()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._pending: dict[int, _Question] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._next_id = 0
        self._names = {
            endpoint: _Name(host, dns.message.make_query(host, dns.rdatatype.A).to_wire())
            for endpoint, host in endpoints.items()
        }

    async def resolve(self, endpoint: str) -> Answer:
        """Return the answer to a query sent now, or to one that was sent at most 25 ms ago."""
        name = self._names[endpoint]
        now_ns = self._clock.now_ns()
        joined = name.latest
        if joined is None or now_ns - joined.started_ns > _JOIN_NS:
            joined = name.latest = self._ask(endpoint, name, now_ns)
        return await asyncio.shield(joined.answer)

    async def watch(self, endpoint: str, interval_s: float) -> None:
        """Resolve `endpoint` every `interval_s` seconds for ever, on a grid."""
        due = self._loop.time()
        while True:
            await asyncio.sleep(due - self._loop.time())
            name = self._names[endpoint]
            name.latest = self._ask(endpoint, name, self._clock.now_ns())
            due = max(due + interval_s, self._loop.time())

    def close(self) -> None:
        """Stop answering; what waits is told `closed`."""
        for number in list(self._pending):
            self._finish(number, Answer(error="closed"))
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: Any) -> None:
        """Keep the socket (asyncio's callback)."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002 - asyncio's callback
        """Match a reply with its question."""
        number = int.from_bytes(data[:_ID_BYTES], "big")
        question = self._pending.get(number)
        if question is None:
            return  # later than its timeout
        name = self._names[question.endpoint]
        if data[_ID_BYTES:] != name.last_reply:
            try:
                reply = dns.message.from_wire(data)
            except dns.exception.DNSException as error:
                self._finish(number, Answer(error=type(error).__name__))
                return
            if reply.flags & dns.flags.TC:
                begin(self._ask_by_tcp(number, name.host), self._asking)
                return
            name.last_answer = read_answer(name.host, reply)
            name.last_reply = data[_ID_BYTES:]
        self._finish(number, name.last_answer)

    def error_received(self, exc: Exception) -> None:
        """Tell everyone who waits that nothing listens at the name server's address."""
        for number in list(self._pending):
            self._finish(number, Answer(error=type(exc).__name__))

    async def _ask_by_tcp(self, number: int, host: str) -> None:
        self._finish(number, await asyncio.to_thread(query, host, self._server))

    def _ask(self, endpoint: str, name: _Name, now_ns: int) -> _Question:
        assert self._transport is not None
        self._next_id = number = (self._next_id + 1) % 65536
        timer = self._loop.call_later(
            QUERY_TIMEOUT_S, self._finish, number, Answer(error="timeout")
        )
        question = _Question(endpoint, now_ns, self._loop.create_future(), timer)
        self._pending[number] = question
        self._transport.sendto(number.to_bytes(_ID_BYTES, "big") + name.wire[_ID_BYTES:])
        return question

    def _finish(self, number: int, answer: Answer) -> None:
        question = self._pending.pop(number, None)
        if question is None:
            return
        question.timer.cancel()
        if not question.answer.done():
            question.answer.set_result(answer)
        self._heard(question.endpoint, question.started_ns, self._clock.now_ns(), answer)


async def open_resolver(
    endpoints: Mapping[str, str], server: NameServer | None, heard: Heard
) -> Resolver:
    """Return a resolver that asks `server`, or else the machine's first name server.

    Raises:
        HostError: the machine has no name server.
    """
    addresses: Sequence[str] = ()
    try:
        addresses = [server.address] if server else dns.resolver.Resolver().nameservers  # type: ignore[assignment]
    except dns.resolver.NoResolverConfiguration as error:
        raise HostError(f"this machine names no DNS server: {error}; see resolv.conf") from error
    port = server.port if server else _DNS_PORT
    _, resolver = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Resolver(endpoints, (addresses[0], port), heard),
        remote_addr=(addresses[0], port),
    )
    return resolver
