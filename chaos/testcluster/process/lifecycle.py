"""Starting, finding and ending test clusters.

An embedded cluster lives as long as its `Embedded` object, or at most as long as this process. A
standing one stays until `down`, which also removes what a killed server left.
"""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from chaos.errors import DefinitionError, HostError, WaitTimeout
from chaos.testcluster.identifiers import is_identifier
from chaos.testcluster.machine.local_disk import unmount_all
from chaos.testcluster.postgres.processes import kill_all, sweep_lock_file
from chaos.testcluster.process.asked import checked
from chaos.testcluster.process.control_address import ask
from chaos.testcluster.process.registry import Slot, slots
from chaos.testcluster.process.server_config import DETACH, ServerConfig
from chaos.testcluster.process.state import ClusterState
from chaos.testcluster.records import ClusterSpec
from chaos.wait import wait_until
from chaos.worker import WorkerProcess

__all__ = ["ClusterState", "Embedded", "down", "embedded", "status", "up"]

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0

_CREATION_TOLERANCE_S = 5.0
_SERVER = "chaos.testcluster.process"


class Embedded:
    """A test cluster for this process alone. Close it, or use it as a context manager."""

    def __init__(self, spec: ClusterSpec, log: Path) -> None:
        """Start it and return when it serves; its server's messages go to `log`.

        Raises:
            DefinitionError: the specification is wrong.
            HostError: it cannot start here.
        """
        spec = checked(spec)
        config = ServerConfig(spec=spec)
        self._log = log
        self._worker = WorkerProcess(f"test cluster {spec.id}", _SERVER, config.as_json(), log)
        try:
            self.state = _announced(self._worker)
        except BaseException:
            self._worker.stop(STOP_TIMEOUT_S)
            raise

    def check(self) -> None:
        """Raise `HostError` if its server has died."""
        if not self._worker.alive():
            raise HostError(f"the embedded test cluster died; see {self._log}")

    def close(self) -> None:
        """End it and everything of it; harmless a second time."""
        self._worker.stop(STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def embedded(spec: ClusterSpec, log: Path) -> Embedded:
    """Start a test cluster for this process alone (see `Embedded`)."""
    return Embedded(spec, log)


def up(spec: ClusterSpec) -> ClusterState:
    """Start a standing test cluster and return when it serves.

    Raises:
        DefinitionError: the specification is wrong, or the identifier is taken.
        HostError: it cannot start here.
    """
    spec = checked(spec)
    slot = Slot.of(spec.id)
    slot.prepare()
    if slot.is_held():
        raise DefinitionError(
            f"a test cluster {spec.id} is already running; see `gameday cluster status {spec.id}`, "
            f"or stop it with `gameday cluster down {spec.id}`"
        )
    _reclaim(slot)
    config = ServerConfig(spec=spec, slot=slot)
    worker = WorkerProcess(f"test cluster {spec.id}", _SERVER, config.as_json(), slot.log)
    try:
        state = _announced(worker)
        worker.send(DETACH)
    except BaseException:
        # Not told to detach, it ends with its input; whoever is told of the failure finds nothing.
        worker.close_input()
        worker.await_silence(STOP_TIMEOUT_S)
        raise
    finally:
        worker.stop(STOP_TIMEOUT_S)
    return state


def status(identifier: str | None = None) -> list[ClusterState]:
    """Return the standing clusters, or the one asked for; those whose server died are not `alive`."""
    found = []
    for slot in slots():
        if identifier is not None and slot.identifier != identifier.lower():
            continue
        state = slot.read()
        if state is None:
            continue  # it ended while we looked
        if not slot.is_held():
            found.append(replace(state, alive=False))
            continue
        try:
            found.append(state.answered(ask(state, "GET", "status")))
        except HostError:
            found.append(state)
    return found


def down(identifier: str) -> None:
    """End a standing cluster and remove everything of it, also if its server was killed.

    Raises:
        DefinitionError: there is none of that name.
        HostError: it is just starting, or something of it cannot be ended.
    """
    slot = Slot.of(identifier.lower())
    running = is_identifier(identifier) and slot.is_held()
    state = slot.read() if is_identifier(identifier) else None
    if state is None:
        if running:
            raise HostError(
                f"test cluster {identifier} is just starting or ending (process {slot.holder()}); "
                "try again"
            )
        raise DefinitionError(
            f"there is no test cluster {identifier}; `gameday cluster status` lists those there are"
        )
    if running:
        _end(slot, state)
    _reclaim(slot)
    slot.log.unlink(missing_ok=True)


def _announced(worker: WorkerProcess) -> ClusterState:
    message = worker.await_ready(READY_TIMEOUT_S)
    return replace(ClusterState.from_json(message["cluster"]), status=message["status"])


def _end(slot: Slot, state: ClusterState) -> None:
    """End the server: asked, or killed if it does not hear or takes too long."""
    try:
        ask(state, "POST", "shutdown")
        wait_until(
            lambda: not slot.is_held(),
            f"test cluster {state.id} to stop",
            timeout_s=STOP_TIMEOUT_S,
        )
    except (HostError, WaitTimeout):
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(state.pid)
            # A step of the wall clock moves creation times a little; a later process's is far off.
            if abs(process.create_time() - state.pid_created_at) < _CREATION_TOLERANCE_S:
                process.kill()
        wait_until(
            lambda: not slot.is_held(),
            f"the killed server of test cluster {state.id} (process {state.pid}) to end",
            timeout_s=STOP_TIMEOUT_S,
        )


def _reclaim(slot: Slot) -> None:
    """Remove what a killed server left; nothing if it ended by itself.

    Its reaper does the same at the same time, but it may have been killed too.
    """
    if not slot.path.exists():
        return
    with slot.held():
        state = slot.read()
        if state is None:
            return
        directory = Path(state.directory)
        if not directory.name.startswith("gameday-"):
            raise HostError(
                f"{slot.path} names {directory}, which no test cluster made; nothing was removed"
            )

        def gone() -> bool:
            for data in directory.glob("*/*/data"):
                kill_all(data, None)
                sweep_lock_file(data)
            unmount_all(directory)
            shutil.rmtree(directory, ignore_errors=True)
            return not directory.exists()

        wait_until(gone, f"{directory} to be removed", timeout_s=STOP_TIMEOUT_S)
        slot.path.unlink()
