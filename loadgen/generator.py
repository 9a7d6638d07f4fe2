"""The life of one arm's traffic process: start users, keep its records, drain and stop.

Told to pause it finishes what is in flight and ends its users and every session; told to go on it
starts users anew, whose first arrivals are due from the instant that it was told.

What looks after the users are threads; in a process that Locust has patched they are greenlets.
"""

from __future__ import annotations

import errno
import logging
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaos.clock import NS, MonotonicClock
from chaos.model.access import DatabaseAccess
from chaos.worker import orders, tell
from loadgen.config import ArmTraffic
from loadgen.configured import arm_of
from loadgen.drivers.base import Driver
from loadgen.recorder import FLUSH_EVERY_S, Recorder
from loadgen.resolving import Resolving
from loadgen.runtime import Runtime
from loadgen.streams import Stream, Streams
from loadgen.tables import WriteIds, table_of

DRAIN_S_MAX = 4.0
"""How long operations may go on once the traffic is told to stop; then they are cut off."""
STOP_S_MAX = 2.0
"""How long cutting off the users that are left may take."""
WARM_UP_S_MAX = 3.0
"""How long each driver's first connection may take before users go ahead without it."""
CLOSE_S_MAX = 2.0
"""How long closing all connections may take."""
LEAD_S = 0.1
"""Time for the users to be there before the first arrival."""
WATCH_EVERY_S = 0.05
"""How long an arrival may find the queue full, or a stream be served, before it is noticed."""


def serve(config: dict[str, Any], access: DatabaseAccess, runtime: Runtime) -> int:
    """Run one arm until standard input ends or it must give up; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    # Pools log each broken connection, some with a traceback; the attempts are recorded already.
    for pool in ("sqlalchemy.pool", "psycopg.pool"):
        logging.getLogger(pool).setLevel(logging.CRITICAL)
    folder, arm = Path(config["folder"]), config["traffic"]["arm"]
    try:
        recorder = Recorder(folder, arm, time.monotonic_ns(), runtime.writer)
    except OSError as error:
        tell("error", f"cannot record in {folder}: {error.strerror}")
        return 1
    Resolving(arm, access.endpoints, recorder.keep).install()
    try:
        generator = Generator(config, access, recorder, runtime)
    except Exception as error:  # noqa: BLE001 - a driver of a user's own, say; told, not traced
        tell("error", _defect(error))
        return 1
    return generator.run()


class Generator:
    """One arm's users, their arrivals and the threads that look after them."""

    def __init__(
        self,
        config: dict[str, Any],
        access: DatabaseAccess,
        recorder: Recorder,
        runtime: Runtime,
    ) -> None:
        self._config = config
        self._recorder = recorder
        self._clock = MonotonicClock()
        self._ready_by_ns: int = config["ready_by_ns"]
        # The first entry counts: "" when told to stop, the reason when it must give up.
        self._ends: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ended = False
        traffic = ArmTraffic(**config["traffic"])
        self._builder = Streams(
            arm_of(traffic), traffic, access, recorder, run=config["run"], runtime=runtime
        )
        self._streams: tuple[Stream, ...] = ()
        self._users = runtime.users(self._user_failed)

    def run(self) -> int:
        """Generate traffic until told to stop; returns the exit status."""
        self._spawn(self._listen)
        signal.signal(signal.SIGTERM, lambda *_: self._ends.put(""))
        self._warm_up()
        self._streams = self._builder.build(
            table_of(self._config["run"]),
            WriteIds(self._config["arm_number"], self._config["process"]),
            f"{self._config['seed']} {self._config['traffic']['arm']} {self._config['process']}",
            time.monotonic_ns() + int(LEAD_S * NS),
        )
        self._start_users()
        keeper = self._spawn(self._keep)
        self._spawn(self._get_ready)
        why = self._ends.get()
        for stream in self._streams:
            stream.arrivals.close(time.monotonic_ns())
        if not why:
            self._drain()
        self._ended = True
        keeper.join(STOP_S_MAX)
        self._users.end(STOP_S_MAX)
        self._close_connections()
        return self._finish(why)

    def _spawn(self, watch: Callable[[], None]) -> threading.Thread:
        def watched() -> None:
            try:
                watch()
            except Exception as error:  # noqa: BLE001 - it ends the traffic, which says why
                self._user_failed(error)

        watcher = threading.Thread(target=watched, name=watch.__name__, daemon=True)
        watcher.start()
        return watcher

    def _warm_up(self) -> None:
        """Connect each driver once: its first connection asks the server a dozen things.

        Arrivals that had to wait for those would look like slowness of the cluster. A failure is
        left to the users, who will meet it again and report it.
        """
        for driver in self._builder.drivers.values():
            self._doing(driver, lambda driver: driver.session().close()).join(WARM_UP_S_MAX)

    def _close_connections(self) -> None:
        """Close every connection that nobody uses, so that its end is on record."""
        closing = [
            self._doing(driver, lambda driver: driver.close())
            for driver in self._builder.drivers.values()
        ]
        due_ns = time.monotonic_ns() + int(CLOSE_S_MAX * NS)
        for thread in closing:
            thread.join(max(0.0, (due_ns - time.monotonic_ns()) / NS))

    def _doing(self, driver: Driver, do: Callable[[Driver], None]) -> threading.Thread:
        """Begin to do something to a driver that may take too long to wait for."""

        def done() -> None:
            with suppress(*driver.errors):
                do(driver)

        return self._spawn(done)

    def _start_users(self) -> None:
        self._users.start([stream.users for stream in self._streams])

    def _listen(self) -> None:
        """Obey orders until standard input ends."""
        for order in orders():
            self._obey(order)
        self._ends.put("")

    def _obey(self, order: dict[str, Any]) -> None:
        if order["order"] == "pause":
            self._pause()
        elif order["order"] == "shape":
            self._shape(order["at_ns"])
        else:
            self._resume(order["at_ns"])

    def _pause(self) -> None:
        """Let nothing arrive, finish what is in flight, leave no session behind."""
        for stream in self._streams:
            stream.arrivals.close(time.monotonic_ns())
        self._drain()
        self._users.end(STOP_S_MAX)
        for stream in self._streams:
            stream.abandon(time.monotonic_ns())
        self._close_connections()
        if self._flushed(time.monotonic_ns()):
            tell("paused")

    def _resume(self, at_ns: int) -> None:
        """Let arrivals be due from `at_ns` on; how late the users are is our own lag."""
        for stream in self._streams:
            stream.arrivals.reopen(at_ns)
        self._start_users()
        self._recorder.late(time.monotonic_ns() - at_ns)
        tell("running")

    def _shape(self, at_ns: int) -> None:
        """Let second 0 of the rates' shape be at an instant."""
        for stream in self._streams:
            stream.arrivals.begin(at_ns)
        tell("shaped")

    def _keep(self) -> None:
        """Flush the records, admit arrivals while all users are busy, watch for lag."""
        flush_at_ns = 0
        while not self._ended:
            due_ns = time.monotonic_ns() + int(WATCH_EVERY_S * NS)
            self._clock.sleep(WATCH_EVERY_S)
            now_ns = time.monotonic_ns()
            self._recorder.late(now_ns - due_ns)
            for stream in self._streams:
                stream.arrivals.admit(now_ns)
            if now_ns < flush_at_ns:
                continue
            flush_at_ns = now_ns + int(FLUSH_EVERY_S * NS)
            if not self._flushed(now_ns):
                return

    def _flushed(self, now_ns: int) -> bool:
        try:
            self._recorder.tick(now_ns)
        except OSError as error:
            self._ends.put(_cannot_record(error))
            return False
        return True

    def _get_ready(self) -> None:
        """Report ready once every stream has been served, or give up in time."""
        began_ns = time.monotonic_ns()
        while time.monotonic_ns() < self._ready_by_ns:
            if all(stream.served for stream in self._streams):
                if self._flushed(time.monotonic_ns()):
                    tell("ready")
                return
            self._clock.sleep(WATCH_EVERY_S)
        missing = next(stream for stream in self._streams if not stream.served)
        self._ends.put(
            f"no {missing.kind.name.lower()} through the {missing.endpoint} endpoint succeeded"
            f" within {max(0, self._ready_by_ns - began_ns) / NS:.0f} s:"
            f" {self._recorder.last_error or 'no answer'}"
        )

    def _user_failed(self, error: BaseException) -> None:
        """Give up: an error that no database gave is a defect, and traffic must not go on."""
        self._ends.put(_defect(error))

    def _drain(self) -> None:
        deadline_ns = time.monotonic_ns() + int(DRAIN_S_MAX * NS)
        while time.monotonic_ns() < deadline_ns:
            if all(stream.idle for stream in self._streams):
                return
            self._clock.sleep(WATCH_EVERY_S / 5)

    def _finish(self, why: str) -> int:
        """Record what was cut off, close the records, say why; returns the exit status."""
        now_ns = time.monotonic_ns()
        for stream in self._streams:
            stream.abandon(now_ns)
        try:
            self._recorder.close(now_ns)
        except OSError as error:
            why = why or _cannot_record(error)
        if not why:
            return 0
        tell("error", why)
        return 1


def _defect(error: BaseException) -> str:
    """Say where an error came from that no database gave: a user's own driver may be wrong."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"defect{at}: {error!r}"


def _cannot_record(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "disk full: the newest operations could not be recorded; free space and run again"
    return f"cannot record operations: {error.strerror}"
