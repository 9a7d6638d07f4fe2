"""Resolving names as a client does, through the machine's resolver or a given name server.

The test cluster's names are known to its own DNS server alone. `install` makes this process ask that
server for names below its domain, without root and without touching the machine's resolver: drivers
that resolve in Python (psycopg, boto3) then work unmodified. Like glibc's stub resolver, nothing is
cached, a query waits `QUERY_TIMEOUT_S` and is sent at most `QUERY_ATTEMPTS` times.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver

QUERY_TIMEOUT_S = 2.0
QUERY_ATTEMPTS = 2
_CHAIN_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class NameServer:
    """A DNS server that is authoritative for every name below `domain`."""

    address: str
    port: int
    domain: str

    def serves(self, host: str) -> bool:
        """Tell whether `host` lies below the domain."""
        name = host.rstrip(".").lower()
        return name == self.domain or name.endswith("." + self.domain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a name resolved to: aliases, addresses, the smallest and the largest TTL, or an error."""

    chain: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ttl_s: int | None = None
    ttl_s_max: int | None = None
    error: str = ""
    """`NXDOMAIN`, `SERVFAIL`, `NODATA`, `timeout`..., or empty."""
    by_tcp: bool = False
    """Whether the answer by UDP was cut, so that it was asked for again by TCP."""


def query(host: str, server: NameServer | None = None) -> Answer:
    """Ask for the IPv4 addresses of `host`: of `server`, or else of the machine's name servers.

    Never raises for what the network answers: that is the `error` of the answer.
    """
    if server is None:
        return _query_system(host)
    question = dns.message.make_query(host, dns.rdatatype.A)
    is_cut = False
    for _ in range(QUERY_ATTEMPTS):
        try:
            reply = dns.query.udp(
                question, server.address, timeout=QUERY_TIMEOUT_S, port=server.port
            )
            if reply.flags & dns.flags.TC:
                is_cut = True
                reply = dns.query.tcp(
                    question, server.address, timeout=QUERY_TIMEOUT_S, port=server.port
                )
        except (dns.exception.Timeout, OSError):
            continue
        except dns.exception.DNSException as error:
            return Answer(error=type(error).__name__)
        return replace(read_answer(host, reply), by_tcp=is_cut)
    return Answer(error="timeout")


def read_answer(host: str, reply: dns.message.Message) -> Answer:
    """Follow the alias chain of `host` through one reply."""
    if reply.rcode() != dns.rcode.NOERROR:
        return Answer(error=dns.rcode.to_text(reply.rcode()))
    chain: list[str] = []
    ttls: list[int] = []
    name = host.rstrip(".").lower()
    for _ in range(_CHAIN_MAX):
        for rrset in reply.answer:
            if rrset.name.to_text(omit_final_dot=True).lower() != name:
                continue
            ttls.append(rrset.ttl)
            if rrset.rdtype == dns.rdatatype.A:
                addresses = tuple(record.address for record in rrset)
                return Answer(
                    chain=tuple(chain),
                    addresses=addresses,
                    ttl_s=min(ttls),
                    ttl_s_max=max(ttls),
                )
            if rrset.rdtype == dns.rdatatype.CNAME:
                name = rrset[0].target.to_text(omit_final_dot=True).lower()
                chain.append(name)
                break
        else:
            break
    return Answer(chain=tuple(chain), ttl_s=min(ttls, default=None), error="NODATA")


def _query_system(host: str) -> Answer:
    resolver = dns.resolver.Resolver()
    resolver.lifetime = QUERY_TIMEOUT_S * QUERY_ATTEMPTS
    try:
        reply = resolver.resolve(host, "A", raise_on_no_answer=False).response
    except dns.resolver.NXDOMAIN:
        return Answer(error="NXDOMAIN")
    except dns.exception.Timeout:
        return Answer(error="timeout")
    except dns.exception.DNSException as error:
        return Answer(error=type(error).__name__)
    return read_answer(host, reply)


def install(server: NameServer) -> None:
    """Make `socket.getaddrinfo` and `gethostbyname` of this process ask `server` for its names.

    Call it before drivers are imported. Other names still go to the machine's resolver.
    """
    system_getaddrinfo = socket.getaddrinfo
    system_gethostbyname = socket.gethostbyname

    def addresses_of(host: str) -> tuple[str, ...]:
        answer = query(host, server)
        if answer.addresses:
            return answer.addresses
        if answer.error in {"NXDOMAIN", "NODATA"}:
            raise socket.gaierror(socket.EAI_NONAME, f"{host}: {answer.error}")
        raise socket.gaierror(socket.EAI_AGAIN, f"{host}: {answer.error}")

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if not isinstance(name, str) or not server.serves(name):
            return system_getaddrinfo(host, port, *args, **options)
        found = [
            entry
            for address in addresses_of(name)
            for entry in system_getaddrinfo(address, port, *args, **options)
        ]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"{name}: no address of the asked family")
        return found

    def gethostbyname(host: str) -> str:
        return addresses_of(host)[0] if server.serves(host) else system_gethostbyname(host)

    socket.getaddrinfo = getaddrinfo
    socket.gethostbyname = gethostbyname
