"""The life of one arm's traffic process: start users, keep its records, drain and stop."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.socket
from locust.env import Environment

from chaos.clock import NS
from chaos.model.access import DatabaseAccess
from chaos.model.operation import Kind, Outcome
from loadgen.arms import find
from loadgen.client import Client, ReadClient, WriteClient
from loadgen.config import ArmTraffic
from loadgen.engine import build_engine
from loadgen.outcome import QUEUE_FULL, STOPPED
from loadgen.recorder import FLUSH_EVERY_S, Recorder
from loadgen.schedule import Arrivals, Schedule
from loadgen.tables import WriteIds, table_of
from loadgen.users import ArrivalUser, users_of

DRAIN_S_MAX = 4.0
"""How long operations may go on once the traffic is told to stop; then they are cut off."""
STOP_S_MAX = 2.0
"""How long cutting off the users that are left may take."""
WATCH_EVERY_S = 0.05
"""How long an arrival may find the queue full, or a stream be served, before it is noticed."""


def serve(config: dict[str, Any], access: DatabaseAccess) -> int:
    """Run one arm until standard input ends or it must give up; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    # The pool logs a traceback for each broken connection; the attempts are recorded already.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    try:
        recorder = Recorder(Path(config["folder"]), config["traffic"]["arm"], time.monotonic_ns())
    except OSError as error:
        _tell("error", f"cannot record in {config['folder']}: {error.strerror}")
        return 1
    return Generator(config, access, recorder).run()


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of operation on one endpoint: its arrivals and the users that carry them out."""

    kind: Kind
    endpoint: str
    arrivals: Arrivals
    users: type[ArrivalUser]

    @property
    def idle(self) -> bool:
        """Whether nothing that has arrived is left to do."""
        return not self.arrivals.waiting and not self.users.busy


class Generator:
    """One arm's users, their arrivals and the greenlets that look after them."""

    def __init__(self, config: dict[str, Any], access: DatabaseAccess, recorder: Recorder) -> None:
        self._traffic = ArmTraffic(**config["traffic"])
        self._seed = f"{config['seed']} {self._traffic.arm}"
        self._ready_by_ns: int = config["ready_by_ns"]
        self._recorder = recorder
        # Set once: to "" when told to stop, to the reason when it must give up.
        self._end: gevent.event.AsyncResult[str] = gevent.event.AsyncResult()
        table = table_of(config["run"])
        self._streams = self._build_streams(access, table, WriteIds(config["arm_number"]))
        environment = Environment(user_classes=[stream.users for stream in self._streams])
        environment.events.user_error.add_listener(self._user_error)  # type: ignore[no-untyped-call]
        self._runner = environment.create_local_runner()

    def run(self) -> int:
        """Generate traffic until told to stop; returns the exit status."""
        watchers = [gevent.spawn(watch) for watch in (self._await_eof, self._keep, self._get_ready)]
        for watcher in watchers:
            watcher.link_exception(lambda died: self._end.set(f"defect: {died.exception!r}"))
        gevent.signal_handler(signal.SIGTERM, self._end.set, "")
        count = sum(stream.users.fixed_count for stream in self._streams)
        self._runner.start(count, spawn_rate=count)
        why = self._end.get()
        for stream in self._streams:
            stream.arrivals.close(time.monotonic_ns())
        if not why:
            self._drain()
        gevent.killall(watchers, timeout=STOP_S_MAX)
        with gevent.Timeout(STOP_S_MAX, False):
            self._runner.quit()
        return self._finish(why)

    def _build_streams(
        self, access: DatabaseAccess, table: str, ids: WriteIds
    ) -> tuple[Stream, ...]:
        arm, recorder = find(self._traffic.arm), self._recorder
        writing = build_engine(arm, access, WriteClient.endpoint)
        reading = build_engine(arm, access, ReadClient.endpoint)
        streams = (
            (
                WriteClient,
                self._traffic.writes_per_s,
                lambda: WriteClient(arm, writing, recorder, table=table, ids=ids),
            ),
            (
                ReadClient,
                self._traffic.reads_per_s,
                lambda: ReadClient(arm, reading, recorder, table=table),
            ),
        )
        return tuple(
            self._stream(client, rate_per_s, client_of_user)
            for client, rate_per_s, client_of_user in streams
            if rate_per_s > 0
        )

    def _stream(
        self, client: type[Client], rate_per_s: float, client_of_user: Callable[[], Client]
    ) -> Stream:
        kind, endpoint = client.kind, client.endpoint

        def reject(intended_ns: int, now_ns: int) -> None:
            self._record_unsent(kind, endpoint, intended_ns, now_ns, QUEUE_FULL)

        arrivals = Arrivals(
            Schedule(rate_per_s, f"{self._seed} {kind.name}", time.monotonic_ns()),
            self._traffic.queue_max,
            reject,
        )
        users = users_of(
            f"{kind.name.title()}User",
            self._traffic.users,
            arrivals,
            self._recorder,
            client_of_user,
        )
        return Stream(kind, endpoint, arrivals, users)

    def _record_unsent(
        self, kind: Kind, endpoint: str, intended_ns: int, now_ns: int, error: str
    ) -> None:
        self._recorder.operations.operation(
            kind=kind,
            endpoint=endpoint,
            intended_ns=intended_ns,
            started_ns=now_ns,
            ended_ns=now_ns,
            outcome=Outcome.FAILED,
            attempts=0,
            error=error,
        )

    def _await_eof(self) -> None:
        """Wait for the end of standard input without stopping the other greenlets."""
        descriptor = sys.stdin.fileno()
        while True:
            gevent.socket.wait_read(descriptor)
            if not os.read(descriptor, 4096):
                self._end.set("")
                return

    def _keep(self) -> None:
        """Flush the records, admit arrivals while all users are busy, watch for lag."""
        flush_at_ns = 0
        while True:
            due_ns = time.monotonic_ns() + int(WATCH_EVERY_S * NS)
            gevent.sleep(WATCH_EVERY_S)
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
            self._end.set(_cannot_record(error))
            return False
        return True

    def _get_ready(self) -> None:
        """Report ready once every stream has been served, or give up in time."""
        began_ns = time.monotonic_ns()
        while time.monotonic_ns() < self._ready_by_ns:
            if all(stream.kind in self._recorder.served for stream in self._streams):
                if self._flushed(time.monotonic_ns()):
                    _tell("ready")
                return
            gevent.sleep(WATCH_EVERY_S)
        missing = next(s for s in self._streams if s.kind not in self._recorder.served)
        self._end.set(
            f"no {missing.kind.name.lower()} through the {missing.endpoint} endpoint succeeded"
            f" within {max(0, self._ready_by_ns - began_ns) / NS:.0f} s:"
            f" {self._recorder.last_error or 'no answer'}"
        )

    def _user_error(self, exception: BaseException, **_rest: object) -> None:
        """Give up: an error that no database gave is a defect, and traffic must not go on."""
        self._end.set(f"defect: {exception!r}")

    def _drain(self) -> None:
        deadline_ns = time.monotonic_ns() + int(DRAIN_S_MAX * NS)
        while time.monotonic_ns() < deadline_ns:
            if all(stream.idle for stream in self._streams):
                return
            gevent.sleep(WATCH_EVERY_S / 5)

    def _finish(self, why: str) -> int:
        """Record what was cut off, close the records, say why; returns the exit status."""
        now_ns = time.monotonic_ns()
        for stream in self._streams:
            for intended_ns in stream.arrivals.abandon():
                self._record_unsent(stream.kind, stream.endpoint, intended_ns, now_ns, STOPPED)
        try:
            self._recorder.close(now_ns)
        except OSError as error:
            why = why or _cannot_record(error)
        if not why:
            return 0
        _tell("error", why)
        return 1


def _cannot_record(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "disk full: the newest operations could not be recorded; free space and run again"
    return f"cannot record operations: {error.strerror}"


def _tell(state: str, message: str = "") -> None:
    """Send one line to whoever started this process."""
    with suppress(BrokenPipeError):  # it is gone; the records are what remains
        print(json.dumps({"state": state, "message": message}), flush=True)  # noqa: T201
