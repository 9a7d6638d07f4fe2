"""Rules on the machine that clients run on: libraries, the kernel's patience, who caches names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from chaos.doctor.base import Advice, Machine, Rule, advice, problem

RETRIES_MAX = 8  # about 100 s; the default of 15 is about 15 minutes (tcp(7))
# The first version that is right, and what is wrong before it.
_LEAST = {
    "psycopg": ((3, 1, 14), "blocks gevent's loop while it waits (psycopg issue 527)"),
    "sqlalchemy": ((2, 0, 0), "has no psycopg 3 dialect"),
    "boto3": ((1, 34, 0), "does not know AWS_ENDPOINT_URL_RDS and newer RDS operations"),
    "locust": ((2, 20, 0), "is older than what this harness was tried with"),
}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _versions(machine: Machine) -> Iterator[Advice]:
    for package, (least, why) in _LEAST.items():
        version = machine.versions.get(package)
        if version is not None and _numbers(version) < least:
            wanted = ".".join(map(str, least))
            yield problem(
                package,
                f"{version} {why}",
                f"pip install '{package}>={wanted}'",
            )


def _kernel(machine: Machine) -> Iterator[Advice]:
    retries = machine.sysctl.get("net.ipv4.tcp_retries2")
    if retries is not None and retries > RETRIES_MAX:
        yield advice(
            "net.ipv4.tcp_retries2",
            f"it is {retries}: drivers without tcp_user_timeout wait about 15 min for a silent host",
            f"sysctl net.ipv4.tcp_retries2={RETRIES_MAX}",
        )


def _caches(machine: Machine) -> Iterator[Advice]:
    for cache in machine.caching:
        yield advice(
            cache,
            "it caches DNS answers on this machine, some longer than their TTL",
            "let it honour TTLs of 1 to 5 s, and hold none longer",
        )


MACHINE_RULES: tuple[Rule[Machine], ...] = (
    Rule("versions", "the client libraries are recent enough", _versions),
    Rule("kernel", "the kernel gives up on silent hosts", _kernel),
    Rule("dns-caches", "nothing on this machine caches names", _caches),
)
