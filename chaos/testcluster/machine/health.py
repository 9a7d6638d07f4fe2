"""Telling a server that hangs, or whose machine is gone, from one that is only slow.

Each available instance is probed as a load balancer would: connect, send the end of input, await the
server's. A stopped server's kernel accepts but nobody answers; a machine without power does not even
accept. Two such rounds in a row make an instance `unanswered`. What an overloaded machine does must not
look like that, so a server that has run at all while it was awaited, or wants to, is alive. So is one
that waits for a disk.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

import psutil

from chaos.clock import NS, MonotonicClock
from chaos.testcluster.aurora.core import AVAILABLE, Core, Member
from chaos.testcluster.postgres.freezing import HANG

log = logging.getLogger(__name__)

ROUNDS = 2
TRIES = 3
"""Connects to an address that accepts none, spread over a round."""


class Pulse(enum.Enum):
    """What a probe met."""

    ANSWER = enum.auto()  # or a refusal: somebody is there
    ACCEPTED = enum.auto()  # a connection, and then nothing
    NOTHING = enum.auto()


def feel(places: Mapping[str, tuple[str, int]], timeout_s: float) -> dict[str, Pulse]:
    """Probe these addresses at the same time and return what each did within `timeout_s`.

    Who has not accepted is tried again meanwhile: a lost packet is not a machine without power, and
    the kernel repeats its own only after a second.
    """
    pulses = dict.fromkeys(places, Pulse.NOTHING)
    clock = MonotonicClock()
    began_ns = clock.now_ns()
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for tried in range(TRIES):
            for name, place in places.items():
                if pulses[name] is Pulse.NOTHING:
                    probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                    probe.setblocking(False)
                    probe.connect_ex(place)
                    selector.register(probe, selectors.EVENT_WRITE, name)
            until_ns = began_ns + int(timeout_s * NS * (tried + 1) / TRIES)
            while any(pulse is not Pulse.ANSWER for pulse in pulses.values()):
                left_s = (until_ns - clock.now_ns()) / NS
                # Looked at once more after the deadline: it may be we who were not let run until then.
                ready = selector.select(max(left_s, 0))
                if not ready and left_s <= 0:
                    break
                for key, _ in ready:
                    met = _next(selector, key)
                    if pulses[key.data] is not Pulse.ANSWER:
                        pulses[key.data] = met
    return pulses


def _next(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> Pulse:
    """Return what a probe has met now that its socket is ready, and await what comes next."""
    probe = key.fileobj
    assert isinstance(probe, socket.socket)
    selector.unregister(probe)
    if key.events == selectors.EVENT_READ or probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        return Pulse.ANSWER
    try:
        probe.shutdown(socket.SHUT_WR)
    except OSError:  # It has been reset already.
        return Pulse.ANSWER
    selector.register(probe, selectors.EVENT_READ, key.data)
    return Pulse.ACCEPTED


class _Activity(NamedTuple):
    """How often a process has been given the processor, and whether it waits for that or a disk."""

    switches: int
    runnable: bool


def _activity(pid: int | None) -> _Activity:
    try:
        process = psutil.Process(pid) if pid is not None else None
        if process is None:
            return _Activity(0, runnable=False)
        counts = process.num_ctx_switches()
        runnable = process.status() in {psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP}
        return _Activity(counts.voluntary + counts.involuntary, runnable)
    except psutil.Error:
        return _Activity(0, runnable=False)


class Health:
    """Probes one cluster's instances; `notice` is called while one is unanswered."""

    def __init__(self, core: Core, notice: Callable[[Member, int | None], None]) -> None:
        self._core = core
        self._notice = notice
        self._missed: dict[str, tuple[int | None, int]] = {}
        self._thread = threading.Thread(target=self._watch, name="health", daemon=True)

    def start(self) -> None:
        """Begin to probe; it ends when the core closes."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of probing, after the core has closed."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def unanswered(self, member: Member, pid: int | None) -> bool:
        """Tell whether the last rounds met nobody where this server process should answer."""
        missed = self._missed.get(member.id)
        return missed is not None and missed[0] == pid and missed[1] >= ROUNDS

    def _watch(self) -> None:
        profile = self._core.pacer.profile
        while not self._core.closing.wait(profile.probe_interval_s):
            try:
                self._round(profile.probe_timeout_s)
            except OSError:  # No file descriptor was left for a probe, perhaps; go on.
                log.exception("a round of probes failed")

    def _round(self, timeout_s: float) -> None:
        watched = self._watched()
        before = {name: _activity(pid) for name, (_, pid) in watched.items()}
        port = self._core.foundation.port
        pulses = feel({name: (m.node.address, port) for name, (m, _) in watched.items()}, timeout_s)
        missed = {}
        for name, (member, pid) in watched.items():
            pulse = pulses[name]
            if pulse is Pulse.ANSWER or _moved(member, pid):
                continue
            if pulse is Pulse.ACCEPTED:
                now = _activity(pid)
                if now.runnable or now.switches != before[name].switches:
                    continue
            known, count = self._missed.get(name, (pid, 0))
            missed[name] = (pid, count + 1 if known == pid else 1)
        self._missed = missed
        for name, (pid, count) in missed.items():
            if count >= ROUNDS:
                self._notice(watched[name][0], pid)

    def _watched(self) -> dict[str, tuple[Member, int | None]]:
        """Return the instances that should answer, each with its server's process."""
        with self._core.lock:
            members = [m for m in self._core.members.values() if m.status == AVAILABLE]
        found = {m.id: (m, m.node.pid) for m in members}
        return {
            name: (member, pid)
            for name, (member, pid) in found.items()
            if member.node.silence.lasts or (pid is not None and not _paused(member))
        }


def _moved(member: Member, pid: int | None) -> bool:
    """Tell whether the server was ended, replaced or paused while it was probed."""
    return member.node.pid != pid or _paused(member)


def _paused(member: Member) -> bool:
    """Tell whether the control plane itself has stopped the server, as Serverless does."""
    freezer = member.node.freezer
    return member.paused or (freezer.frozen and not freezer.frozen_for(HANG))
