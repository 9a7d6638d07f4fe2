"""One of several workers: `python -m loadgen.distributed.worker_process`.

Locust's worker, and beside it the arms' own processes, which record into a folder of this worker. It
does what the run orders, answers the exchanges that its clock is measured by, and ships its records.
It ends its traffic by itself when it is told to, and when the run has not been heard of for a while.
"""

from __future__ import annotations

import json
import logging
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import gevent.queue
import locust  # noqa: F401 - patches the process, before anything below starts a thread
from locust.env import Environment
from locust.exception import RPCError
from locust.rpc.protocol import Message
from locust.runners import WorkerRunner

from chaos import __version__
from chaos.clock import NS
from chaos.errors import GamedayError
from chaos.model.access import DatabaseAccess
from chaos.worker import orders, tell
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.distributed.channel import (
    HELLO,
    MESSAGE,
    WORKER,
    Channel,
    Note,
    NotOursError,
    State,
)
from loadgen.distributed.shipping import Shipment
from loadgen.traffic import STOP_S_MIN, Traffic

HELLO_EVERY_S = 1.0
SHIP_EVERY_S = 0.25
SEND_AGAIN_S = 2.0
"""How long a parcel may go unconfirmed before it is sent again."""
WATCH_EVERY_S = 0.5
SILENCE_S_MAX = 30.0
"""The run speaks at least twice a second; without a word for this long it, or the network, is gone."""
ORDER_S_MAX = 30.0
LAST_PARCELS_S_MAX = 5.0
"""How long a worker that must give up goes on shipping."""
LINGER_MS = 1000
_LOG = logging.getLogger(__name__)


class Worker:
    """The life of one worker, from joining to the last confirmed parcel."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Take where to join, the token, the login of this machine, and the folder for records."""
        self._config = config
        self._folder = Path(config["folder"])
        self._runner: WorkerRunner | None = None
        self._channel: Channel | None = None
        self._traffic: Traffic | None = None
        self._shipment = Shipment(self._folder)
        self._orders: gevent.queue.Queue[Note] = gevent.queue.Queue()
        self._confirmed = gevent.event.Event()
        self._welcomed = gevent.event.Event()
        self._heard_ns = time.monotonic_ns()
        self._doing = ""
        """The order that is being carried out, or was last..."""
        self._done = ""
        """...and the last that was."""
        self._watchers: list[gevent.Greenlet] = []
        # Set once: to "" when all is done, else to the reason for giving up.
        self._end: gevent.event.AsyncResult[str] = gevent.event.AsyncResult()

    def run(self) -> int:
        """Work until the run is over; returns the exit status."""
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
        gevent.signal_handler(signal.SIGTERM, self._end.set, "it was told to end")
        self._spawn(self._listen)
        self._spawn(self._join)
        why = self._end.get()
        if why:
            tell("error", why)
            self._give_up(why)
        gevent.killall(self._watchers, timeout=1.0)
        if self._runner is not None:
            with suppress(RPCError):
                self._runner.environment.events.quitting.fire(  # type: ignore[no-untyped-call]
                    environment=self._runner.environment
                )
            # Locust's receiver would try a closed socket again and again, and never let go.
            self._runner.greenlet.kill(block=True, timeout=1.0)
            self._runner.client.close(linger=LINGER_MS)  # type: ignore[no-untyped-call]
        return 1 if why else 0

    def _spawn(self, watch: Callable[[], None]) -> None:
        watcher = gevent.spawn(watch)
        watcher.link_exception(lambda died: self._end.set(f"defect: {died.exception!r}"))
        self._watchers.append(watcher)

    def _listen(self) -> None:
        for _ in orders():
            pass
        self._end.set("it was told to end")

    def _join(self) -> None:
        """Join Locust's master, say hello until that is answered, then work."""
        host, port = self._config["host"], self._config["port"]
        self._spawn(self._give_up_joining)
        self._runner = Environment().create_worker_runner(host, port)
        self._channel = Channel(self._config["token"], self._runner.client_id, WORKER)
        self._runner.register_message(MESSAGE, self._hear)
        for watch in (self._obey, self._ship, self._watch):
            self._spawn(watch)
        while not self._welcomed.is_set():
            self._say(Note(HELLO, {"host": socket.gethostname(), "version": __version__}))
            self._welcomed.wait(HELLO_EVERY_S)
        tell("ready")

    def _give_up_joining(self) -> None:
        if not self._welcomed.wait(self._config["join_s_max"]):
            self._end.set(
                f"no run took it in at {self._config['host']}:{self._config['port']} within "
                f"{self._config['join_s_max']:g} s; is one waiting there, with the same token?"
            )

    def _hear(self, msg: Message, **_rest: object) -> None:
        """Take one message of the run."""
        received_ns = time.monotonic_ns()
        assert self._channel is not None
        try:
            note = self._channel.open(msg.data)
        except NotOursError as refused:
            _LOG.warning("not obeyed: %s", refused)
            return
        self._heard_ns = received_ns
        if note.kind == "ping":
            self._say(
                Note(
                    "pong",
                    {
                        "sent_ns": note.fields["sent_ns"],
                        "received_ns": received_ns,
                        "replied_ns": time.monotonic_ns(),
                    },
                )
            )
        elif note.kind == "welcome":
            self._welcomed.set()
        elif note.kind == "refused":
            self._end.set(f"the run did not take it in: {note.fields['why']}")
        elif note.kind == "got":
            self._shipment.confirmed(note.fields["number"])
            self._confirmed.set()
        elif note.kind == "bye":
            self._leave()
        else:
            self._orders.put(note)

    def _say(self, note: Note) -> None:
        assert self._runner is not None
        assert self._channel is not None
        with suppress(RPCError):  # the network is down: what matters is said again
            self._runner.send_message(MESSAGE, self._channel.seal(note))

    def _obey(self) -> None:
        """Carry out orders one after the other; one that is in force already changes nothing."""
        carry_out: dict[str, Callable[[Note], None]] = {
            State.SERVING: self._start,
            State.PAUSED: lambda _: self._must().pause(ORDER_S_MAX),
            State.RUNNING: lambda order: self._must().resume(order.fields["at_ns"], ORDER_S_MAX),
            State.SHAPED: lambda order: self._must().shape(order.fields["at_ns"], ORDER_S_MAX),
            State.STOPPED: lambda _: self._stop(),
        }
        for order in self._orders:
            if order.kind != self._doing:
                self._doing = order.kind
                try:
                    carry_out[order.kind](order)
                except GamedayError as error:
                    self._end.set(str(error))
                    return
                self._done = order.kind
                tell(order.kind)
            self._say(Note("state", {"state": order.kind}))

    def _must(self) -> Traffic:
        assert self._traffic is not None, "an order before the traffic"
        return self._traffic

    def _start(self, order: Note) -> None:
        access = DatabaseAccess.from_json(dict(order.fields["access"]))
        traffic = dict(order.fields["traffic"])
        arms = tuple(ArmTraffic(**arm) for arm in traffic.pop("arms"))
        self._traffic = Traffic(
            TrafficConfig(arms=arms, **traffic), _with_login(access, self._config), self._folder
        )
        self._traffic.start(order.fields["within_s"])

    def _stop(self) -> None:
        if self._traffic is not None:
            self._traffic.stop(STOP_S_MIN + 2.0)

    def _ship(self) -> None:
        """Ship what was recorded, parcel by parcel; say when no more will come."""
        while True:
            parcel = self._shipment.parcel
            if parcel is None:
                if self._done == State.STOPPED:
                    fields = {"state": State.DELIVERED, "operations": self._shipment.recorded}
                    self._say(Note("state", fields))
                gevent.sleep(SHIP_EVERY_S)
                continue
            self._confirmed.clear()
            self._say(parcel)
            self._confirmed.wait(SEND_AGAIN_S)

    def _watch(self) -> None:
        """Look after the traffic, and after the run itself."""
        while True:
            gevent.sleep(WATCH_EVERY_S)
            silence_s = (time.monotonic_ns() - self._heard_ns) / NS
            if self._welcomed.is_set() and silence_s > SILENCE_S_MAX:
                self._end.set(f"nothing was heard of the run for {silence_s:.0f} s")
                return
            # While an order is carried out, what the arms say is its answer.
            if self._traffic is not None and self._doing == self._done != State.STOPPED:
                try:
                    self._traffic.check()
                except GamedayError as error:
                    self._end.set(str(error))
                    return

    def _give_up(self, why: str) -> None:
        """End the traffic, ship what there still is for some seconds, say why."""
        self._doing = State.STOPPED
        with suppress(GamedayError):  # the first reason is the one to tell
            self._stop()
        if self._runner is None or not self._welcomed.is_set():
            return
        with gevent.Timeout(LAST_PARCELS_S_MAX, False), suppress(OSError):
            while self._shipment.parcel is not None:
                gevent.sleep(SHIP_EVERY_S / 5)
        self._say(Note("failed", {"why": why}))

    def _leave(self) -> None:
        """End; all records are in the run's folder, so those here are of no use any more."""
        shutil.rmtree(self._folder / "operations", ignore_errors=True)
        (self._folder / "observations.jsonl").unlink(missing_ok=True)
        self._end.set("")


def _with_login(access: DatabaseAccess, config: dict[str, Any]) -> DatabaseAccess:
    """Return the access with this machine's login, unless the run gave one.

    Raises:
        GamedayError: there is none.
    """
    if access.user:
        return access
    login = config.get("login")
    if not login:
        raise GamedayError(
            "no database user on this worker; set GAMEDAY_DB_USER and GAMEDAY_DB_PASSWORD"
        )
    fields = access.as_json()
    options = {**fields.pop("options"), **login["options"]}
    return DatabaseAccess.from_json(
        {**fields, "user": login["user"], "password": login["password"], "options": options}
    )


if __name__ == "__main__":
    sys.exit(Worker(json.loads(sys.stdin.buffer.readline())).run())
