"""Adds connections to a synthetic run by hand, and what they carried; times in seconds of the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from run_builder import RunBuilder, to_ns

from chaos.model.operation import (
    ConnectionEvent,
    Failure,
    Kind,
    OperationWriter,
    Outcome,
    Role,
)

READ_ONLY = "25006 ReadOnlySqlTransaction"
OLD, NEW, THIRD = "gameday-instance-1", "gameday-instance-2", "gameday-instance-3"


@dataclass
class Pool:
    """One arm's pool for one endpoint; process ids count up from 100."""

    run: RunBuilder
    arm: str = "arm"
    endpoint: str = "cluster"
    by_address: bool = False
    """Whether the server has no identifier, so that connections know its address alone."""
    _next_pid: int = field(default=100)

    def connect(
        self,
        instance: str,
        at_s: float,
        *,
        closed_s: float | None = None,
        took_s: float = 0.01,
        role: Role = Role.UNKNOWN,
        pid: int | None = None,
    ) -> int:
        """Let a connection be ready at an instant, and closed at another; return its process id."""
        address = f"127.0.0.{instance[-1]}"
        if pid is None:
            pid = self._next_pid
            self._next_pid += 1

        def append(operations: OperationWriter) -> None:
            about: dict[str, Any] = {
                "endpoint": self.endpoint,
                "instance": address if self.by_address else instance,
                "backend_pid": pid,
                "role": role,
            }
            operations.connection(
                event=ConnectionEvent.OPENED, began_ns=to_ns(at_s - took_s), at_ns=to_ns(at_s),
                address=address, **about,
            )  # fmt: skip
            if closed_s is not None:
                operations.connection(
                    event=ConnectionEvent.CLOSED, began_ns=to_ns(at_s), at_ns=to_ns(closed_s),
                    **about,
                )  # fmt: skip

        self.run.operation(self.arm, append)
        return pid

    def fail(self, at_s: float, error: str = "----- ConnectionRefused") -> None:
        """Let connecting fail."""
        self.run.operation(
            self.arm,
            lambda operations: operations.connection(
                event=ConnectionEvent.FAILED, began_ns=to_ns(at_s - 0.01), at_ns=to_ns(at_s),
                endpoint=self.endpoint, address=error,
            ),
        )  # fmt: skip

    def use(
        self,
        instance: str,
        pid: int,
        at_s: float,
        *,
        kind: Kind = Kind.WRITE,
        error: str = "",
        retried: tuple[str, int] | None = None,
        took_s: float = 0.002,
    ) -> None:
        """Let an operation use a connection; one that fails may succeed on another, `retried`."""

        def append(operations: OperationWriter) -> None:
            started_ns, ended_ns = to_ns(at_s), to_ns(at_s + took_s)
            failures: tuple[Failure, ...] = ()
            seat, ok = (instance, pid), not error
            if error:
                failures = (
                    Failure(
                        started_ns=started_ns, ended_ns=ended_ns, error=error,
                        instance=instance, backend_pid=pid,
                    ),
                )  # fmt: skip
            if retried is not None:
                seat, ok, ended_ns = retried, True, to_ns(at_s + 2 * took_s)
            operations.operation(
                kind=kind, endpoint=self.endpoint, intended_ns=started_ns, started_ns=started_ns,
                ended_ns=ended_ns, outcome=Outcome.OK if ok else Outcome.FAILED,
                attempts=len(failures) + (retried is not None or not error),
                instance=seat[0], backend_pid=seat[1], error="" if ok else error,
                failures=failures,
            )  # fmt: skip

        self.run.operation(self.arm, append)


def failover(
    run: RunBuilder, at_s: float, *, until_s: float, old: str = OLD, new: str = NEW
) -> None:
    """Let `new` take over at +1 s; `old` is silent from +0.1 s and answers as a reader at +2 s.

    Every sample takes 50 ms; the server of `old` is another one when it answers again.
    """
    for member in (OLD, NEW, THIRD):
        if not any(o.kind == "role" and o.subject == member for o in run.observations):
            run.observe(0.1, "role", member, "writer" if member == old else "reader")
            run.observe(0.1, "postmaster", member, "2026-01-01T00:00:00Z")
    run.fault(
        "failover-cluster", at_s, ended_s=at_s + 3, fault_id=round(at_s), requested_target="writer"
    )
    run.observe(at_s + 0.1, "role", old, "unreachable")
    run.observe(at_s + 1, "role", new, "writer")
    run.observe(at_s + 2, "postmaster", old, "2026-01-01T00:01:00Z", width_s=1.95)
    run.observe(at_s + 2, "role", old, "reader")
    run.traffic(run.cluster, "reader", Kind.READ, per_s=1, until_s=until_s)
