"""What an arm's own resolver answers for the cluster's names, as its driver hears it.

Drivers in Python resolve by `socket.getaddrinfo` (psycopg, asyncpg in a thread) or `gethostbyname` (the
AWS wrapper). Both are wrapped, in the traffic's process alone, after whatever patched them before: the
answer or the error is passed on as it came, and told when it differs from the one before.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from chaos.clock import Clock, MonotonicClock
from chaos.model.record import Observation, resolved_subject
from chaos.names import Answer
from loadgen.probes.sightings import NameSightings

_ERRORS = {
    getattr(socket, name): name
    for name in ("EAI_NONAME", "EAI_AGAIN", "EAI_FAIL", "EAI_NODATA", "EAI_FAMILY", "EAI_SYSTEM")
    if hasattr(socket, name)
}


class Resolving:
    """Listens to the resolver of one arm's process; `keep` must neither block nor fail."""

    def __init__(
        self,
        arm: str,
        endpoints: Mapping[str, str],
        keep: Callable[[Observation], None],
        clock: Clock | None = None,
    ) -> None:
        """Take the names to listen for, by endpoint; instances' own names are not told."""
        self._keep = keep
        self._now = (clock or MonotonicClock()).now_ns
        # Where the names coincide, as of an instance in no cluster, the first one is meant.
        self._names = {
            endpoints[endpoint]: NameSightings(
                endpoint,
                endpoints,
                kind="resolved",
                subject=resolved_subject(arm, endpoint),
                told={"process": os.getpid()},
            )
            for endpoint in ("reader", "cluster")
            if endpoint in endpoints
        }
        self._lock = threading.Lock()

    def install(self) -> None:
        """Wrap the resolver of this process, once."""
        getaddrinfo, gethostbyname = socket.getaddrinfo, socket.gethostbyname

        def listened_getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
            return self._ask(
                host,
                lambda: getaddrinfo(host, *args, **options),
                lambda found: tuple(dict.fromkeys(str(entry[4][0]) for entry in found)),
            )

        def listened_gethostbyname(host: Any) -> Any:
            return self._ask(host, lambda: gethostbyname(host), lambda found: (str(found),))

        socket.getaddrinfo = listened_getaddrinfo
        socket.gethostbyname = listened_gethostbyname

    def _ask(
        self, host: Any, ask: Callable[[], Any], addresses: Callable[[Any], tuple[str, ...]]
    ) -> Any:
        """Ask as if nobody listened; a resolver that is asked through another is told once."""
        names = self._names.get(host) if isinstance(host, str) else None
        if names is None:
            return ask()
        started_ns = self._now()
        try:
            found = ask()
        except OSError as error:
            self._heard(names, started_ns, Answer(error=_name(error)))
            raise
        self._heard(names, started_ns, Answer(addresses=addresses(found)))
        return found

    def _heard(self, names: NameSightings, started_ns: int, answer: Answer) -> None:
        if not answer.addresses and not answer.error:
            answer = Answer(error="NODATA")
        with self._lock:
            seen = names.heard(started_ns, self._now(), answer)
        if seen is not None:
            self._keep(seen)


def _name(error: OSError) -> str:
    return _ERRORS.get(error.errno or 0, type(error).__name__)
