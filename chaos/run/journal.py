"""The journal: what the harness did and why, on disk before it matters."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chaos.clock import Clock
from chaos.errors import GuardRefused, HostError
from chaos.model.record import Event, LineWriter
from chaos.safety.undo import Undo


class Journal:
    """Appends events; undo records are forced to disk before `undo` returns.

    The file is locked while the journal is open, so nobody replays the records of a run that goes on.
    Steps that run at the same time share it. After a failed write the first caller gets the `failure`,
    later events are only told, so that restoring the cluster goes on; a new undo record is refused.
    While `restoring` nobody gets it.
    """

    def __init__(self, path: Path, clock: Clock, tell: Callable[[str], None]) -> None:
        """Open the journal of a run.

        Raises:
            GuardRefused: another process has it open.
            HostError: it cannot be opened.
        """
        self._path = path
        self._clock = clock
        self._tell = tell
        try:
            self._writer = LineWriter(path)
            self._writer.lock()
        except BlockingIOError as error:
            raise GuardRefused(
                f"{path.parent.name} is still being carried out; stop it or wait for its end"
            ) from error
        except OSError as error:
            raise HostError(f"cannot open {path}: {error.strerror}") from error
        self._lock = threading.RLock()
        self._undo_open: dict[str, Undo] = {}
        self._undo_count = 0
        self.failure: HostError | None = None
        self.restoring = False

    def event(self, kind: str, *, sync: bool = False, **data: Any) -> int:
        """Append one event and return its instant.

        Raises:
            HostError: the first time the disk refuses, unless `restoring`.
        """
        with self._lock:
            at_ns = self._clock.now_ns()
            if self.failure:
                self._tell(f"not recorded (disk): {kind} {data}")
                return at_ns
            try:
                self._writer.append(Event(at_ns=at_ns, type=kind, data=data), sync=sync)
            except OSError as error:
                self.failure = HostError(
                    f"cannot write {self._path}: {error.strerror}; free space, then run again"
                )
                if not self.restoring:
                    raise self.failure from error
                self._tell(str(self.failure))
            return at_ns

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Journal a phase's start and end, with the error that ended it."""
        self.event("phase", phase=name, state="started")
        try:
            yield
        except BaseException as error:
            self.event("phase", phase=name, state="ended", error=str(error) or repr(error))
            raise
        self.event("phase", phase=name, state="ended", error=None)

    def undo(self, record: Undo, cluster: str) -> str:
        """Force an undo record to disk; only then may the change be made. Return its id.

        Raises:
            HostError: it could not be written.
        """
        with self._lock:
            if self.failure:
                raise HostError(f"{self.failure}; nothing is changed without an undo record")
            self._undo_count += 1
            number = f"u{self._undo_count}"
            self.event(
                "undo",
                sync=True,
                id=number,
                action=record.action,
                parameters=record.model_dump(mode="json", exclude={"action"}),
                command=record.command(cluster),
            )
            self._undo_open[number] = record
            return number

    def undone(self, number: str, result: str) -> None:
        """Journal that a record was replayed, and forget it."""
        with self._lock:
            del self._undo_open[number]
            self.event("undone", sync=True, id=number, result=result)

    @property
    def open_undo(self) -> Mapping[str, Undo]:
        """The undo records not replayed yet, oldest first."""
        with self._lock:
            return dict(self._undo_open)

    def resume(self, records: Mapping[str, Undo]) -> None:
        """Take over the open records of a run that died."""
        self._undo_open.update(records)

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def in_use(path: Path) -> bool:
    """Tell whether a process has this journal open: its run, or a recover of it, goes on."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
