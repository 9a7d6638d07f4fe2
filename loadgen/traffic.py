"""The traffic of a run as the runner sees it: one process an arm, started, checked, stopped.

Each arm has a process of its own, since an arm whose client code keeps its event loop busy must not
distort what another measures. The runner's process imports neither Locust nor gevent.
"""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos.clock import NS
from chaos.errors import DefinitionError, HostError
from chaos.model.access import DatabaseAccess
from chaos.worker import WorkerProcess
from loadgen.config import TrafficConfig
from loadgen.configured import family_in_use, needs_threads
from loadgen.families import require_package
from loadgen.profiles import require_users

GREENLETS = "loadgen.locust_process"
THREADS = "loadgen.threads_process"
STOP_S_MIN = 12.0
"""What `stop` should be given: a process drains and ends within 11 s of being told to."""


class Traffic:
    """The traffic of one run; not thread-safe, and started once."""

    def __init__(self, config: TrafficConfig, access: DatabaseAccess, folder: Path) -> None:
        """Check the configuration; `folder` is the run folder.

        Raises:
            DefinitionError: an arm is unknown, named twice, has nothing to do, or needs a package
                that this machine lacks.
        """
        names = [traffic.arm for traffic in config.arms]
        for traffic in config.arms:
            if names.count(traffic.arm) > 1:
                raise DefinitionError(f"arm {traffic.arm} is named twice; name each arm once")
            require_users(traffic)
            require_package(traffic.arm, family_in_use(traffic))
        self._config = config
        self._access = access
        self._folder = folder
        self._processes: list[WorkerProcess] = []

    def start(self, timeout_s: float) -> None:
        """Start every arm; return when each has committed a write and done a read.

        As many start at once as there are cores: starting takes a second of one, and a dozen that
        start together would starve the first connections of all.

        Raises:
            HostError: an arm did not get that far in `timeout_s` of its own; says what stopped it.
                No process is left.
        """
        assert not self._processes, "traffic is started once"
        starting: deque[tuple[WorkerProcess, int]] = deque()
        try:
            for number, traffic in enumerate(self._config.arms, 1):
                if len(starting) >= (os.cpu_count() or 1):
                    _await_ready(*starting.popleft())
                began_ns = time.monotonic_ns()
                # The process itself gives up first, since it knows why.
                settings = self._settings(number, began_ns + int(timeout_s * 0.8 * NS))
                process = WorkerProcess(
                    f"traffic of arm {traffic.arm}",
                    THREADS if needs_threads(traffic) else GREENLETS,
                    settings,
                    self._folder / "logs" / f"traffic-{traffic.arm}.log",
                )
                self._processes.append(process)
                starting.append((process, began_ns + int(timeout_s * NS)))
            while starting:
                _await_ready(*starting.popleft())
        except BaseException:
            self._abandon()
            raise

    def check(self) -> None:
        """Raise if traffic no longer flows as configured.

        Raises:
            HostError: the process of an arm has ended; names the arm and, where it said so, why.
        """
        for process in self._processes:
            if not process.alive():
                process.await_silence(1.0)
                why = process.last_error() or "its process died"
                raise HostError(f"{process.name} ended: {why}; see {process.log}")

    def pause(self, timeout_s: float) -> None:
        """Let nothing new arrive, finish what is in flight, end every session; then stand still.

        Raises:
            HostError: an arm did not get there in `timeout_s`.
        """
        self._order({"order": "pause"}, "paused", timeout_s)

    def resume(self, at_ns: int, timeout_s: float) -> None:
        """Go on after a pause, with arrivals that are due from `at_ns` on.

        Raises:
            HostError: an arm did not go on in `timeout_s`.
        """
        self._order({"order": "resume", "at_ns": at_ns}, "running", timeout_s)

    def shape(self, at_ns: int, timeout_s: float) -> None:
        """Let second 0 of the rates' shape be at an instant.

        Raises:
            HostError: an arm did not obey in `timeout_s`.
        """
        self._order({"order": "shape", "at_ns": at_ns}, "shaped", timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Let nothing new arrive, finish what is in flight, flush; all arms at once.

        Raises:
            HostError: an arm did not end properly, so that its newest records may be missing.
        """
        processes, self._processes = self._processes, []
        deadline_ns = time.monotonic_ns() + int(timeout_s * NS)
        for process in processes:
            process.close_input()
        failed: list[str] = []
        for process in processes:
            status = process.stop(max(0.1, (deadline_ns - time.monotonic_ns()) / NS))
            if status != 0:
                why = process.last_error() or f"exit status {status}"
                failed.append(f"{process.name} did not end properly: {why}; see {process.log}")
        if failed:
            raise HostError("; ".join(failed))

    def _order(self, order: dict[str, Any], leads_to: str, timeout_s: float) -> None:
        deadline_ns = time.monotonic_ns() + int(timeout_s * NS)
        for process in self._processes:
            process.send(order)
        for process in self._processes:
            process.await_state(leads_to, max(0.0, (deadline_ns - time.monotonic_ns()) / NS))

    def _abandon(self) -> None:
        processes, self._processes = self._processes, []
        for process in processes:
            process.close_input()
        for process in processes:
            process.stop(1.0)

    def _settings(self, number: int, ready_by_ns: int) -> dict[str, Any]:
        return {
            "traffic": asdict(self._config.arms[number - 1]),
            "arm_number": number,
            "process": self._config.process,
            "access": self._access.as_json(),
            "folder": str(self._folder),
            "run": self._config.run,
            "seed": self._config.seed,
            "ready_by_ns": ready_by_ns,
        }


def _await_ready(process: WorkerProcess, deadline_ns: int) -> None:
    process.await_ready(max(0.0, (deadline_ns - time.monotonic_ns()) / NS))
