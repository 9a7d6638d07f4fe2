"""Where standing test clusters are on record: one slot per identifier, held by its server's lock.

The kernel drops the lock when the server ends, however it ends. So a slot tells without guessing
whether its cluster runs, and two servers of one identifier cannot both have it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from chaos.errors import HostError, WaitTimeout
from chaos.testcluster.process.state import ClusterState, read_state
from chaos.wait import wait_until

# Whoever only looks takes the lock for an instant; a server does not give up for that.
_TAKE_TIMEOUT_S = 0.5


def state_directory() -> Path:
    """Return the folder of our state: GAMEDAY_STATE_DIR, else the XDG state folder's `gameday`."""
    own = os.environ.get("GAMEDAY_STATE_DIR")
    if own:
        return Path(own).absolute()
    state = os.environ.get("XDG_STATE_HOME")
    base = Path(state) if state and Path(state).is_absolute() else Path.home() / ".local/state"
    return base / "gameday"


@dataclass(frozen=True, slots=True)
class Slot:
    """One identifier's files: the state, the lock beside it, the server's log."""

    path: Path

    @classmethod
    def of(cls, identifier: str) -> Slot:
        """Return the slot of a cluster; it need not exist."""
        return cls(state_directory() / "clusters" / f"{identifier}.json")

    @property
    def identifier(self) -> str:
        """The cluster's identifier."""
        return self.path.stem

    @property
    def log(self) -> Path:
        """Where the cluster's server writes what it does."""
        return self.path.with_suffix(".log")

    def read(self) -> ClusterState | None:
        """Return the recorded state, or None.

        Raises:
            HostError: the file is there but unusable.
        """
        return read_state(self.path)

    def is_held(self) -> bool:
        """Tell whether a server has it now."""
        if not self._lock.exists():
            return False
        lock = self._take()
        if lock is None:
            return True
        lock.close()
        return False

    def prepare(self) -> None:
        """Make the folder of all slots, for its owner alone.

        Raises:
            HostError: it cannot be made or written.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.log.open("ab"):
                pass
        except OSError as error:
            raise HostError(
                f"cannot write below {self.path.parent} ({error.strerror}); set GAMEDAY_STATE_DIR "
                "to a folder of yours"
            ) from error

    def holder(self) -> str:
        """Return the id of the process that last took it, empty if nobody did."""
        try:
            return self._lock.read_text()
        except FileNotFoundError:
            return ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the slot; whoever holds it may write and remove its state.

        Raises:
            HostError: another process holds it.
        """
        try:
            lock = wait_until(self._take, "the slot", timeout_s=_TAKE_TIMEOUT_S, interval_s=0.01)
        except WaitTimeout:
            raise HostError(
                f"a test cluster {self.identifier} is already running or being stopped; see "
                f"`gameday cluster status {self.identifier}`, or choose another identifier"
            ) from None
        assert lock is not None
        with lock:
            lock.truncate(0)
            lock.write(str(os.getpid()).encode())
            try:
                yield
            finally:
                self._lock.unlink(missing_ok=True)  # while it is held: nobody else can have it

    @property
    def _lock(self) -> Path:
        return self.path.with_suffix(".lock")

    def _take(self) -> FileIO | None:
        """Return a file that holds the lock, or None if another has it."""
        while True:
            lock = FileIO(os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock.fileno()), self._lock.stat()):
                    return lock
            lock.close()  # its last holder removed it between our two steps: again


def slots() -> list[Slot]:
    """Return every slot with a recorded state, by identifier."""
    return [Slot(path) for path in sorted((state_directory() / "clusters").glob("*.json"))]
