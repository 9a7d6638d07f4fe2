"""Rules on a client's settings: would it notice, would it let go, would it do harm by trying again?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from chaos.doctor.base import Advice, Client, Rule, advice, problem
from chaos.model.access import OF_CLUSTER

NOTICE_S_MAX = 60.0
RETRY_S_MIN = 30.0
_WRITER_ONLY = ("read-write", "primary")
_SYSTEM_KEEPALIVE_S = (7200, 75, 9)  # Linux: idle, interval, count
_ADDRESS = re.compile(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:]*")


def _number(client: Client, name: str, default: float = 0) -> float:
    try:
        return float(client.connection.get(name) or default)
    except ValueError:
        return default


def _connect_timeout(client: Client) -> Iterator[Advice]:
    if _number(client, "connect_timeout") <= 0:
        yield problem(
            client.name,
            "no connect_timeout: a connection to a host that vanished is tried for over two minutes",
            "connect_timeout=3",
        )


def _keepalives(client: Client) -> Iterator[Advice]:
    idle, interval, count = _SYSTEM_KEEPALIVE_S
    off = str(client.connection.get("keepalives", 1)) == "0"
    noticed_s = _number(client, "keepalives_idle", idle) + _number(
        client, "keepalives_interval", interval
    ) * _number(client, "keepalives_count", count)
    if off or noticed_s > NOTICE_S_MAX:
        after = "never" if off else f"after {noticed_s:.0f} s"
        yield problem(
            client.name,
            f"an idle connection to a host that vanished is noticed {after}",
            "keepalives_idle=2 keepalives_interval=1 keepalives_count=5",
        )


def _user_timeout(client: Client) -> Iterator[Advice]:
    timeout_ms = _number(client, "tcp_user_timeout")
    if not 0 < timeout_ms <= NOTICE_S_MAX * 1000:
        yield problem(
            client.name,
            "a request sent to a host that vanished is waited for by the kernel's retries: about 15 min",
            "tcp_user_timeout=5000",
        )


def _demoted(client: Client) -> Iterator[Advice]:
    """Facts: SQLAlchemy and pre-ping stay on a demoted writer for good (25006), SELECT 1 passes."""
    if client.pool is None or client.read_only_is_disconnect:
        return
    if client.connection.get("target_session_attrs") in _WRITER_ONLY:
        return
    ping = " (pool_pre_ping passes there)" if client.pool.get("pool_pre_ping") else ""
    yield problem(
        client.name,
        f"pooled connections stay on a demoted writer and every write fails with 25006{ping}",
        "treat SQLSTATE 25006 as a disconnect (SQLAlchemy: a handle_error listener that sets "
        "is_disconnect), or target_session_attrs=read-write",
    )


def _deadline(client: Client) -> Iterator[Advice]:
    if client.deadline_s is None and "statement_timeout" not in client.session:
        yield advice(
            client.name,
            "no limit on a statement: one that hangs holds its caller for as long",
            "statement_timeout, for example by options='-c statement_timeout=5000'",
        )


def _retries(client: Client) -> Iterator[Advice]:
    if client.retry is None:
        return
    budget = client.retry.get("elapsed_s_max")
    attempts = client.retry.get("attempts_max")
    longest = float(budget) if budget is not None else _longest_s(client.retry)
    if longest < RETRY_S_MIN:
        limit = f"within {budget:g} s" if budget is not None else f"after {attempts} attempts"
        yield advice(
            client.name,
            f"its retries give up {limit}, about {longest:.0f} s; a failover often takes "
            f"{RETRY_S_MIN:.0f} s",
            "retry for at least 30 s, with growing waits and jitter",
        )


def _longest_s(retry: Mapping[str, Any]) -> float:
    """Return how long exponential waits last, of which each is at most the greatest."""
    attempts = int(retry.get("attempts_max") or 1)
    first, most = float(retry["wait_s_first"]), float(retry["wait_s_max"])
    return float(sum(min(most, first * 2**n) for n in range(attempts - 1)))


def _repeats(retry: Mapping[str, Any]) -> bool:
    return retry.get("attempts_max") != 1


def _idempotent(client: Client) -> Iterator[Advice]:
    if client.retry is not None and client.idempotent is False and _repeats(client.retry):
        yield advice(
            client.name,
            "it repeats writes that carry no key: one whose commit went unanswered is done twice",
            "give each write a key and insert with ON CONFLICT DO NOTHING",
        )


def _host(client: Client) -> Iterator[Advice]:
    for host in str(client.connection.get("host") or "").split(","):
        instances = [at for name, at in client.endpoints.items() if name not in OF_CLUSTER]
        pinned = host in instances and "," not in str(client.connection["host"])
        if host and (pinned or _ADDRESS.fullmatch(host)):
            yield problem(
                client.name,
                f"it connects to {host}, which stays what it is when the writer moves",
                f"use the cluster endpoint, {client.endpoints.get('cluster', 'NAME.cluster-...')}",
            )


def _tls(client: Client) -> Iterator[Advice]:
    mode = client.connection.get("sslmode")
    if "host" in client.connection and mode != "verify-full":
        yield advice(
            client.name,
            f"sslmode is {mode or 'prefer'}: a name that leads elsewhere goes unnoticed",
            "sslmode=verify-full with the RDS certificate bundle as sslrootcert",
        )


CLIENT_RULES: tuple[Rule[Client], ...] = (
    Rule("connect-timeout", "a connection attempt ends", _connect_timeout),
    Rule("client-keepalives", "a vanished host is noticed on idle connections", _keepalives),
    Rule("tcp-user-timeout", "a vanished host is noticed by who waits for it", _user_timeout),
    Rule("demoted-writer", "connections to a demoted writer are let go", _demoted),
    Rule("statement-deadline", "statements have a deadline", _deadline),
    Rule("retry-budget", "retries outlast a failover", _retries),
    Rule("repeated-writes", "repeating a write is harmless", _idempotent),
    Rule("endpoint", "it connects to an endpoint that follows the writer", _host),
    Rule("tls", "the server's name is verified", _tls),
)
