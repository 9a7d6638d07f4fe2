"""An injection rehearsed: what it would send is noted, and nothing is sent.

What is not named here as harmless is noted instead of done, so that a call which is added to a port
later can never slip through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chaos.errors import GamedayError
from chaos.faults.base import Before, Context, Fault

READS = frozenset(
    {
        "acu_now",
        "acu_since",
        "answer",
        "cluster",
        "custom_endpoints",
        "global_cluster",
        "held",
        "identify",
        "in_force",
        "region",
        "status",
        "topology",
    }
)
"""What may be asked of the RDS API, a database and a control address in a rehearsal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What an injection sends beside its API calls: SQL, with where it goes; requests of other kinds.

    `unknown` tells why not all of it is known before.
    """

    sql: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    unknown: str = ""


def rehearse(fault: Fault, context: Context, before: Before) -> Sent:
    """Return what `fault.inject` would send. Nothing is sent but questions."""
    sql: list[str] = []
    asks: list[str] = []

    def to_database(call: str, *given: Any, **named: Any) -> Any:
        if call == "query":
            sql.append(f"{given[0]}: {given[1]}")
        elif call == "hold":
            _, endpoint, statements = given
            sessions = named.get("sessions", 1)
            kept = f"{endpoint}: {sessions} session{'s' if sessions > 1 else ''} kept open"
            sql.extend([kept, *(f"{endpoint}: {statement}" for statement in statements)])
            return sessions
        elif call == "spin":
            sql.append(
                f"{given[1]}: again and again in {named['sessions']} sessions for "
                f"{named['for_s']:g} s: {given[2]}"
            )
        else:
            asks.append(f"database: {call} {' '.join(map(str, (*given[1:], *named.values())))}")
        return []

    def to_control(call: str, *given: Any, **_: Any) -> Any:
        asks.append(f"control address: {call} {' '.join(map(str, given[1:]))}")
        return True

    def to_load(call: str, *_: Any, **__: Any) -> None:
        asks.append(f"traffic and probes: {call}")

    rehearsed: Any = Context(
        _Noted(context.rds, lambda *_, **__: None),
        _Noted(context.database, to_database),
        _Noted(context.control, to_control) if context.control else None,
        context.names,
        _Noted(None, to_load),
    )
    try:
        fault.inject(rehearsed, before)
    except (GamedayError, IndexError, TypeError, ValueError) as error:
        return Sent(sql=tuple(sql), asks=tuple(asks), unknown=str(error) or repr(error))
    return Sent(sql=tuple(sql), asks=tuple(asks))


class _Noted:
    """Any port: what reads is asked of the real one, everything else is noted."""

    def __init__(self, real: Any, note: Callable[..., Any]) -> None:
        self._real = real
        self._note = note

    def __getattr__(self, name: str) -> Any:
        if name in READS:
            return getattr(self._real, name)
        return lambda *given, **named: self._note(name, *given, **named)
