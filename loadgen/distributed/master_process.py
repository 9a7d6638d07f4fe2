"""The master beside the runner: `python -m loadgen.distributed.master_process`.

Locust's master, in a process of its own since Locust patches the process it is in. It takes workers
in, measures their clocks, hands the runner's orders on, and appends their records to the run folder.
A worker that is lost is recorded and told; the run goes on with the others.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import locust  # noqa: F401 - patches the process
from locust.env import Environment
from locust.exception import RPCError
from locust.rpc.protocol import Message
from locust.runners import STATE_MISSING, MasterRunner

from chaos import __version__
from chaos.clock import NS
from chaos.model.record import Observation
from chaos.worker import orders, tell
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.distributed.channel import (
    HELLO,
    MESSAGE,
    RUNNER,
    Channel,
    Note,
    NotOursError,
    State,
)
from loadgen.distributed.clock import Alignment, Exchange
from loadgen.distributed.collecting import Collection, Sender
from loadgen.distributed.members import Member
from loadgen.distributed.shipping import PARCEL

MEASURE_EVERY_S = 0.2
"""Between two exchanges with a worker: its clock strays by a fifth of a millisecond meanwhile."""
MEASURE_FIRST_EVERY_S = 0.02
TELL_CLOCK_EVERY_S = 10.0
WATCH_EVERY_S = 0.1
COLLECT_S_MAX = 30.0
"""How long stopped workers may take to finish what is in flight and hand over their last records."""
ASKING_MAX = 100
"""Who asks to join and never proves to know the token is forgotten beyond so many."""
LINGER_MS = 500
_LOG = logging.getLogger(__name__)


class Master:
    """The workers of one run, from the first that joins to the last record."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Take where to listen, the token, how many workers there are, the folder and its arms."""
        self._config = config
        self._expected: int = config["workers"]
        self._collection = Collection(Path(config["folder"]), config["arms"])
        self._members: dict[str, Member] = {}
        self._runner: MasterRunner | None = None
        self._order: Note | None = None
        """The order in force: what every worker is to be."""
        self._told = ""
        """The last order that every worker was found to have obeyed."""
        self._began = False
        # Set once: to "" when all is done, else to the reason for giving up.
        self._end: gevent.event.AsyncResult[str] = gevent.event.AsyncResult()

    def run(self) -> int:
        """Serve until standard input ends and every record is there; returns the exit status."""
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
        gevent.signal_handler(signal.SIGTERM, self._end.set, "it was told to end")
        try:
            self._runner = self._listening()
        except (RPCError, OSError) as error:
            tell("error", f"cannot wait for workers at {self._address}: {error}")
            return 1
        tell("ready", port=self._runner.master_bind_port)
        watchers = [self._spawn(w) for w in (self._listen, self._measure, self._watch)]
        why = self._end.get()
        for member in self._joined():
            self._say(member, Note("bye"))
        gevent.killall(watchers, timeout=1.0)
        self._tell_clocks(time.monotonic_ns())
        self._collection.close()
        self._runner.quit()
        self._runner.server.close(linger=LINGER_MS)  # type: ignore[no-untyped-call]
        if why:
            tell("error", why)
        return 1 if why else 0

    @property
    def _address(self) -> str:
        return f"{self._config['host']}:{self._config['port']}"

    def _listening(self) -> MasterRunner:
        runner = Environment().create_master_runner(self._config["host"], self._config["port"])
        runner.master_bind_port = runner.server.port  # should it have to bind anew
        runner.register_message(MESSAGE, self._hear)
        return runner

    def _spawn(self, watch: Callable[[], None]) -> gevent.Greenlet:
        watcher = gevent.spawn(watch)
        watcher.link_exception(lambda died: self._end.set(f"defect: {died.exception!r}"))
        return watcher

    # -- what workers say --------------------------------------------------------------------------

    def _hear(self, msg: Message, **_rest: object) -> None:
        """Take one message of whoever it is."""
        heard_ns = time.monotonic_ns()
        try:
            member = self._member(msg.node_id)
            note = member.channel.open(msg.data)
            self._take(member, note, heard_ns)
        except NotOursError as refused:
            _LOG.warning("%s: %s", msg.node_id, refused)
        except OSError as error:
            self._end.set(f"cannot record what workers sent: {error.strerror}")
        except Exception as bug:  # noqa: BLE001 - Locust would log it and go on without the record
            self._end.set(f"defect: {bug!r}")

    def _member(self, worker_id: str) -> Member:
        if worker_id not in self._members:
            asking = [m for m in self._members.values() if not m.number]
            if len(asking) >= ASKING_MAX:
                del self._members[asking[0].worker_id]
            self._members[worker_id] = Member(
                worker_id,
                Channel(self._config["token"], worker_id, RUNNER),
                Sender(0, Alignment()),
            )
        return self._members[worker_id]

    def _take(self, member: Member, note: Note, heard_ns: int) -> None:
        member.heard_ns = heard_ns
        if note.kind == HELLO:
            self._answer(member, note)
            return
        if not member.number:
            self._take_in(member)
        if note.kind == "pong":
            fields = note.fields
            times = (fields["sent_ns"], fields["received_ns"], fields["replied_ns"])
            member.sender.alignment.add(Exchange(*times, heard_ns))
        elif note.kind == PARCEL:
            self._collection.apply(note, member.sender)
            self._say(member, Note("got", {"number": note.fields["number"]}))
        elif note.kind == "failed":
            self._lose(member, note.fields["why"])
            member.gone = True
        else:
            member.says(note.fields)
        self._settle()

    def _answer(self, member: Member, hello: Note) -> None:
        member.host = str(hello.fields["host"])
        version = hello.fields["version"]
        if version != __version__:
            why = f"it is version {version}, the run is {__version__}; install the same on both"
            self._say(member, Note("refused", {"why": why}))
        elif not member.number and len(self._joined()) >= self._expected:
            self._say(member, Note("refused", {"why": "the run has all its workers"}))
        else:
            self._say(member, Note("welcome"))
            self._ping(member)

    def _take_in(self, member: Member) -> None:
        """Number a worker that has proved, with our random number in its code, to know the token."""
        if len(self._joined()) >= self._expected:
            raise NotOursError("one worker too many")
        member.number = member.sender.number = len(self._joined()) + 1
        tell("member", f"{member.name} joined")

    # -- what the runner orders --------------------------------------------------------------------

    def _listen(self) -> None:
        for order in orders():
            kind = order.pop("order")
            self._give(Note(kind, order))
        self._give(Note(State.STOPPED))
        deadline_ns = time.monotonic_ns() + int(COLLECT_S_MAX * NS)
        while not all(m.lost or m.state is State.DELIVERED for m in self._joined()):
            if time.monotonic_ns() > deadline_ns:
                for member in self._present():
                    if member.state is not State.DELIVERED:
                        self._lose(member, f"it kept records back for {COLLECT_S_MAX:g} s")
                break
            gevent.sleep(WATCH_EVERY_S)
        for member in self._present():
            if member.recorded is not None:
                self._observe(member, "delivered", operations=member.recorded)
        self._end.set("")

    def _give(self, order: Note) -> None:
        self._order, self._told = order, ""
        for member in self._present():
            self._send_order(member)
        self._settle()

    def _send_order(self, member: Member) -> None:
        """Tell a worker the order in force, with instants on its clock and its share of the traffic."""
        if self._order is None:
            return
        fields = dict(self._order.fields)
        if "at_ns" in fields:
            fields["at_ns"] += member.sender.alignment.latest().offset_ns
        if "traffic" in fields:
            traffic = dict(fields["traffic"])
            arms = tuple(ArmTraffic(**arm) for arm in traffic.pop("arms"))
            share = TrafficConfig(arms=arms, **traffic).share(self._expected, member.number)
            fields["traffic"] = asdict(share)
        self._say(member, Note(self._order.kind, fields))

    def _settle(self) -> None:
        """Tell the runner once every worker is what it was ordered to be."""
        present = self._present()
        if not present and len(self._joined()) == self._expected:
            why = "; ".join(f"{m.name}: {m.lost}" for m in self._joined())
            self._end.set(f"every worker was lost: {why}")
        elif self._order is None:
            everybody = len(self._joined()) == self._expected
            if everybody and all(m.aligned and m.state is State.ASKING for m in present):
                for member in present:
                    member.state = State.JOINED
                    self._observe(member, "joined")
                self._tell_clocks(time.monotonic_ns())
                tell(State.JOINED)
        elif self._order.kind != self._told and all(m.state == self._order.kind for m in present):
            self._told, self._began = self._order.kind, True
            tell(self._told)

    # -- what nobody says --------------------------------------------------------------------------

    def _measure(self) -> None:
        """Exchange instants with every worker, quickly at first."""
        tell_at_ns = 0
        while True:
            for member in self._joined():
                if not member.gone:
                    self._ping(member)
            now_ns = time.monotonic_ns()
            if self._order is not None and now_ns >= tell_at_ns:
                tell_at_ns = now_ns + int(TELL_CLOCK_EVERY_S * NS)
                self._tell_clocks(now_ns)
            first = any(not member.aligned for member in self._joined())
            gevent.sleep(MEASURE_FIRST_EVERY_S if first else MEASURE_EVERY_S)

    def _ping(self, member: Member) -> None:
        self._say(member, Note("ping", {"sent_ns": time.monotonic_ns()}))

    def _watch(self) -> None:
        """Notice, as Locust does by its heartbeats, who is gone and who is back."""
        while True:
            gevent.sleep(WATCH_EVERY_S)
            for member in self._joined():
                assert self._runner is not None
                node = self._runner.clients.get(member.worker_id)
                there = node is not None and node.state != STATE_MISSING
                if not there and not member.lost:
                    self._lose(member, "no heartbeat of it came any more")
                elif there and member.lost and not member.gone:
                    member.lost = ""
                    self._observe(member, "back")
                    tell("member", f"{member.name} is back")
                    self._send_order(member)
            self._settle()

    def _lose(self, member: Member, why: str) -> None:
        if member.gone or member.lost:
            return
        member.lost = why
        if not self._began:
            self._end.set(f"{member.name} was lost before the traffic began: {why}")
        tell("member", f"{member.name} was lost: {why}")
        self._observe(member, "lost", why=why, last_heard_ns=member.heard_ns)

    # -- what is recorded --------------------------------------------------------------------------

    def _observe(self, member: Member, value: str, **detail: Any) -> None:
        self._record("worker", member, value, {"host": member.host, **detail})

    def _tell_clocks(self, now_ns: int) -> None:
        for member in self._joined():
            sender = member.sender
            if not sender.alignment.exchanges:
                continue
            now = sender.alignment.latest()
            detail = {
                "offset_ns": now.offset_ns,
                "error_ns": max(now.error_ns, sender.error_ns),
                "jumped_ns": sender.alignment.jumped_ns,
                "exchanges": sender.alignment.exchanges,
            }
            self._record("clock", member, f"{now.offset_ns / NS:.6f}", detail, now_ns)

    def _record(
        self, kind: str, member: Member, value: str, detail: dict[str, Any], now_ns: int = 0
    ) -> None:
        self._collection.observe(
            Observation(
                at_ns=now_ns or time.monotonic_ns(),
                since_ns=None,
                kind=kind,
                subject=f"worker {member.number}",
                value=value,
                detail=detail,
            )
        )

    def _say(self, member: Member, note: Note) -> None:
        assert self._runner is not None
        try:
            self._runner.send_message(MESSAGE, member.channel.seal(note), member.worker_id)
        except RPCError as error:
            _LOG.warning("%s could not be told %s: %s", member.name, note.kind, error)

    def _joined(self) -> list[Member]:
        """Return every worker of the run, in the order of their numbers, also those that are lost."""
        return sorted((m for m in self._members.values() if m.number), key=lambda m: m.number)

    def _present(self) -> list[Member]:
        return [member for member in self._joined() if not member.lost]


if __name__ == "__main__":
    sys.exit(Master(json.loads(sys.stdin.buffer.readline())).run())
