"""Probing servers from outside: who answers, who only accepts, who is not there at all."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import psutil
import pytest

from chaos.testcluster.machine import health
from chaos.testcluster.machine.health import Pulse, feel
from chaos.testcluster.machine.sockets import Tapped


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def place(listening: socket.socket) -> tuple[str, int]:
    host, port = listening.getsockname()
    return str(host), int(port)


def test_who_closes_at_the_end_of_input_answers(listener: socket.socket) -> None:
    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1)

    serving = threading.Thread(target=serve)
    serving.start()
    assert feel({"a": place(listener)}, timeout_s=30) == {"a": Pulse.ANSWER}
    serving.join()


def test_a_stopped_server_accepts_and_says_nothing(listener: socket.socket) -> None:
    """Its kernel completes the handshake, as this listener's does that nobody accepts from."""
    assert feel({"a": place(listener)}, timeout_s=0.2) == {"a": Pulse.ACCEPTED}


def test_who_refuses_is_there(listener: socket.socket) -> None:
    where = place(listener)
    listener.close()
    assert feel({"a": where}, timeout_s=30) == {"a": Pulse.ANSWER}


def test_a_machine_without_power_does_not_even_accept(
    listener: socket.socket, filters: None
) -> None:
    Tapped(0, listener).drop(1)
    assert feel({"a": place(listener)}, timeout_s=0.2) == {"a": Pulse.NOTHING}


def test_a_lost_packet_is_not_a_machine_without_power(
    listener: socket.socket, filters: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel would send its own again a second later only, which is too late here."""
    tapped = Tapped(0, listener)
    tapped.drop(1)
    tries: list[object] = []

    class Knocking(socket.socket):
        def connect_ex(self, address: tuple[str, int]) -> int:
            tries.append(address)
            if len(tries) > 1:
                tapped.keep_all()
            return super().connect_ex(address)

    monkeypatch.setattr(health.socket, "socket", Knocking)
    assert feel({"a": place(listener)}, timeout_s=0.9) == {"a": Pulse.ACCEPTED}
    assert len(tries) == 2, "who has accepted is not asked to again"


def test_one_that_hangs_does_not_delay_the_verdict_on_the_others(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        refusing = place(other)
    pulses = feel({"hangs": place(listener), "refuses": refusing}, timeout_s=1)
    assert pulses == {"hangs": Pulse.ACCEPTED, "refuses": Pulse.ANSWER}
    assert feel({}, timeout_s=30) == {}


@pytest.mark.parametrize(
    ("status", "alive"),
    [
        (psutil.STATUS_RUNNING, True),
        (psutil.STATUS_DISK_SLEEP, True),
        (psutil.STATUS_SLEEPING, False),
        (psutil.STATUS_STOPPED, False),
    ],
)
def test_who_waits_for_the_processor_or_a_disk_is_not_stopped(
    monkeypatch: pytest.MonkeyPatch, status: str, *, alive: bool
) -> None:
    monkeypatch.setattr(psutil.Process, "status", lambda _: status)
    assert health._activity(os.getpid()).runnable is alive
