"""What single samples add up to: a change of role, of a restart, of what a name leads to.

Pure: samples in, observations out. A change lies between the start of the last sample that saw the
old value and the end of the first that saw the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.clock import NS
from chaos.model.record import Observation
from chaos.names import Answer

UNREACHABLE = "unreachable"
MISSES_UNREACHABLE = 2
SILENCE_UNREACHABLE_NS = NS // 5
BALANCE_WINDOW_NS = 2 * NS


class Sighted:
    """The value of one subject; says when it changes."""

    def __init__(self, kind: str, subject: str) -> None:
        self._kind = kind
        self._subject = subject
        self._last_started_ns: int | None = None
        self.value: str | None = None

    def see(
        self, started_ns: int, ended_ns: int, value: str, detail: Mapping[str, Any] | None = None
    ) -> Observation | None:
        """Take one sample; return the change that it shows."""
        before_ns = self._last_started_ns
        if before_ns is None or started_ns > before_ns:
            self._last_started_ns = started_ns
        elif value != self.value:
            return None  # asked before the latest sample and answered after it: old news
        if value == self.value:
            return None
        self.value = value
        return Observation(
            at_ns=ended_ns,
            since_ns=before_ns,
            kind=self._kind,
            subject=self._subject,
            value=value,
            detail=detail or {},
        )


class RoleSightings:
    """Role and restarts of one instance, from the samples of its stream."""

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self._role = Sighted("role", instance)
        self._postmaster = Sighted("postmaster", instance)
        self._misses = 0
        self._silent_since_ns = 0

    def answered(
        self, started_ns: int, ended_ns: int, *, answered_by: str, recovering: bool, since: str
    ) -> list[Observation]:
        """Take an answer of the instance: is it in recovery, and since when does its server run."""
        self._misses = 0
        detail: dict[str, Any] = {"server_started": since}
        if answered_by != self._instance:
            detail["answered_by"] = answered_by
        role = "reader" if recovering else "writer"
        seen = (
            self._postmaster.see(started_ns, ended_ns, since),
            self._role.see(started_ns, ended_ns, role, detail),
        )
        return [observation for observation in seen if observation]

    def missed(self, started_ns: int, ended_ns: int, error: str) -> list[Observation]:
        """Take a failed sample: one alone may be a lost packet, unless nobody listens there."""
        if self._misses == 0:
            self._silent_since_ns = started_ns
        self._misses += 1
        certain = error.endswith(("ConnectionRefused", "NameNXDOMAIN"))
        silent = ended_ns - self._silent_since_ns >= SILENCE_UNREACHABLE_NS
        if not certain and not (silent and self._misses >= MISSES_UNREACHABLE):
            return []
        seen = self._role.see(started_ns, ended_ns, UNREACHABLE, {"reason": error})
        return [seen] if seen else []


class NameSightings:
    """What one endpoint's name leads to: an instance, an address, or an error.

    A balancing name answers anew each time: its value is all that it led to within the last two
    seconds, joined by commas. So something new is seen at once, and what is gone two seconds later.
    """

    def __init__(
        self,
        endpoint: str,
        endpoints: Mapping[str, str],
        *,
        kind: str = "dns",
        subject: str = "",
        told: Mapping[str, Any] | None = None,
    ) -> None:
        """Watch `endpoint`; `told` goes with every observation."""
        self._told = told or {}
        self._host = endpoints[endpoint]
        self._instances = {
            host.rstrip(".").lower(): name
            for name, host in endpoints.items()
            if name not in {"cluster", "reader", endpoint}
        }
        self._balanced = endpoint == "reader"
        self._sighted = Sighted(kind, subject or endpoint)
        self._recent: dict[str, tuple[int, str]] = {}
        self.addresses: frozenset[str] = frozenset()
        """The addresses to which the name leads now; unchanged by an error."""

    def heard(self, started_ns: int, ended_ns: int, answer: Answer) -> Observation | None:
        """Take one answer; return the change that it shows."""
        leads_to = answer.error or self._named(answer)
        if self._balanced and not answer.error:
            leads_to = self._balance(ended_ns, leads_to, answer.addresses[0])
        elif not answer.error:
            self.addresses = frozenset(answer.addresses)
        detail = {
            "host": self._host,
            "ttl_s": answer.ttl_s,
            "addresses": list(answer.addresses),
            **self._told,
        }
        return self._sighted.see(started_ns, ended_ns, leads_to, detail)

    def _named(self, answer: Answer) -> str:
        for name in reversed(answer.chain):
            if name in self._instances:
                return self._instances[name]
        return ",".join(sorted(answer.addresses))

    def _balance(self, now_ns: int, leads_to: str, address: str) -> str:
        self._recent[leads_to] = (now_ns, address)
        for name, (seen_ns, _) in list(self._recent.items()):
            if now_ns - seen_ns > BALANCE_WINDOW_NS:
                del self._recent[name]
        self.addresses = frozenset(address for _, address in self._recent.values())
        return ",".join(sorted(self._recent))
