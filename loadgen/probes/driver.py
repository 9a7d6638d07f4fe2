"""The probes of a run as the runner sees them: start, check, stop."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos.errors import HostError
from chaos.model.access import DatabaseAccess
from chaos.worker import WorkerProcess
from loadgen.probes.config import ProbesConfig


class Probes:
    """One probes process; it appends to the run folder's `operations/` and `observations.jsonl`."""

    def __init__(self, config: ProbesConfig, access: DatabaseAccess, folder: Path) -> None:
        """Start nothing yet. The table must be there (`loadgen.probes.table.prepare`)."""
        self._config = config
        self._access = access
        self._folder = folder
        self._process: WorkerProcess | None = None

    @property
    def pid(self) -> int:
        """The process id; only once started."""
        assert self._process is not None
        return self._process.pid

    def start(self, timeout_s: float) -> None:
        """Start the process; return once the cluster and the reader endpoint answered it.

        Raises:
            HostError: an endpoint does not answer, or the process died; says why.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = WorkerProcess(
            "probes",
            "loadgen.probes",
            {
                "config": asdict(self._config),
                "access": self._access.as_json(),
                "folder": str(self._folder),
            },
            self._log,
        )
        try:
            self._process.await_ready(timeout_s)
        except HostError:
            self._process.stop(1.0)
            self._process = None
            raise

    def check(self) -> None:
        """Raise `HostError` if the process died: from then on nobody watches."""
        if self._process is None:
            raise HostError("the probes process was never started")
        if not self._process.alive():
            raise HostError(f"the probes process died{self._why(self._process)}; see {self._log}")

    def pause(self, timeout_s: float) -> None:
        """Ask nothing more of the cluster and end every session; names are still watched.

        Raises:
            HostError: it did not get there in `timeout_s`.
        """
        self._order({"order": "pause"}, "paused", timeout_s)

    def resume(self, at_ns: int, timeout_s: float) -> None:
        """Go on after a pause, on a grid that begins at `at_ns`.

        Raises:
            HostError: it did not go on in `timeout_s`.
        """
        self._order({"order": "resume", "at_ns": at_ns}, "running", timeout_s)

    def shape(self, at_ns: int, timeout_s: float) -> None:
        """Do nothing: probes keep their rate, whatever that of the traffic does."""

    def _order(self, order: dict[str, Any], leads_to: str, timeout_s: float) -> None:
        self.check()
        assert self._process is not None
        self._process.send(order)
        self._process.await_state(leads_to, timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Let it finish, flush and end; harmless when it is not running.

        Raises:
            HostError: it did not end by itself in time, or ended with an error.
        """
        if self._process is None:
            return
        status = self._process.stop(timeout_s)
        why = self._why(self._process)
        self._process = None
        if status:
            raise HostError(f"the probes process ended with status {status}{why}; see {self._log}")

    @property
    def _log(self) -> Path:
        return self._folder / "logs" / "probes.log"

    @staticmethod
    def _why(process: WorkerProcess) -> str:
        said = process.last_error()
        return f": {said}" if said else ""
