"""What one traffic process records: its operations, and how late it was itself."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

from chaos.clock import NS
from chaos.model.operation import Kind, OperationWriter, Outcome
from chaos.model.record import LineWriter, Observation

FLUSH_EVERY_S = 0.25
LAG_EVERY_NS = NS
_SCHEDSTAT = Path("/proc/self/schedstat")


class Recorder:
    """The files of one arm, flushed by `tick`, and a `lag` observation about once a second.

    Lag is the generator's own delay: how late it started an operation for which a user was free, or
    how late its loop woke up. It bounds what the arm's latencies owe to the load generator. With it
    goes what the process used of a processor, and for how long it wanted one that others had: Python
    runs on one at a time, so the two together are at most all of the time.
    """

    def __init__(
        self,
        folder: Path,
        arm: str,
        now_ns: int,
        writer: type[OperationWriter] = OperationWriter,
    ) -> None:
        """Open the files of `arm` in the run folder.

        Raises:
            OSError: the folder cannot be written.
        """
        self.operations = writer(folder / "operations", arm)
        self.served: set[tuple[Kind, str]] = set()
        """Kind and endpoint of which an operation has succeeded."""
        self.last_error = ""
        """The newest failed attempt in the driver's own words, for people; never in a record."""
        self._observations = LineWriter(folder / "observations.jsonl")
        self._kept: deque[Observation] = deque()
        self._arm = arm
        self._lag_ns = 0
        self._lag_since_ns = now_ns
        self._cpu_ns = time.process_time_ns()
        self._queued_ns = _queued_ns()

    def late(self, lag_ns: int) -> None:
        """Note a delay of the generator itself."""
        self._lag_ns = max(self._lag_ns, lag_ns)

    def unsent(self, kind: Kind, endpoint: str, intended_ns: int, now_ns: int, error: str) -> None:
        """Record an arrival that no user ever carried out."""
        self.operations.operation(
            kind=kind,
            endpoint=endpoint,
            intended_ns=intended_ns,
            started_ns=now_ns,
            ended_ns=now_ns,
            outcome=Outcome.FAILED,
            attempts=0,
            error=error,
        )

    def observe(self, observation: Observation) -> None:
        """Write down something that the traffic itself saw.

        Raises:
            OSError: the disk is full or the folder is gone.
        """
        self._observations.append(observation)

    def keep(self, observation: Observation) -> None:
        """Write something down with the next `tick`; from any thread, and it never fails."""
        self._kept.append(observation)

    def tick(self, now_ns: int) -> None:
        """Flush; write the lag observation once it covers a second.

        Raises:
            OSError: the disk is full or the folder is gone.
        """
        self.operations.flush()
        self._write_kept()
        if now_ns - self._lag_since_ns >= LAG_EVERY_NS:
            self._write_lag(now_ns)

    def close(self, now_ns: int) -> None:
        """Write what is left and close the files.

        Raises:
            OSError: the disk is full or the folder is gone.
        """
        self._write_lag(now_ns)
        self._write_kept()
        self._observations.close()
        self.operations.close()

    def _write_kept(self) -> None:
        while self._kept:
            self._observations.append(self._kept[0])
            self._kept.popleft()

    def _write_lag(self, now_ns: int) -> None:
        cpu_ns = time.process_time_ns()
        used_ns, passed_ns = cpu_ns - self._cpu_ns, max(1, now_ns - self._lag_since_ns)
        queued_ns = _queued_ns()
        self._observations.append(
            Observation(
                at_ns=now_ns,
                since_ns=self._lag_since_ns,
                kind="lag",
                subject=self._arm,
                value=f"{self._lag_ns / 1e6:.1f}",
                detail={
                    "cpu_share": round(used_ns / passed_ns, 3),
                    "queued_share": round((queued_ns - self._queued_ns) / passed_ns, 3),
                },
            )
        )
        self._lag_ns = 0
        self._lag_since_ns = now_ns
        self._cpu_ns = cpu_ns
        self._queued_ns = queued_ns


def _queued_ns() -> int:
    """Return how long the main thread has been ready to run while others had the processors.

    Linux's scheduler counts it: the second number of `/proc/PID/schedstat`. Elsewhere 0.
    """
    try:
        return int(_SCHEDSTAT.read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
