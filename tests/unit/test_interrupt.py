"""Ctrl-C reaches waits only, and nothing while the cluster is being restored."""

from __future__ import annotations

import os
import signal

import pytest
from fix_rds import VirtualClock

from chaos.clock import MonotonicClock
from chaos.errors import HostError, RunInterrupted, WaitTimeout
from chaos.run.interrupt import InterruptibleClock, signals_to
from chaos.wait import wait_until


def test_a_signal_ends_the_next_wait_and_only_that() -> None:
    clock, told = InterruptibleClock(), []
    with signals_to(clock, told.append):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(RunInterrupted):
            clock.sleep(60)
        with clock.shielded():
            os.kill(os.getpid(), signal.SIGINT)
            clock.sleep(0.001)
    assert "restoring" in told[0]
    assert "already ending" in told[1]


def test_sigterm_counts_too_and_handlers_are_put_back() -> None:
    clock, before = InterruptibleClock(), signal.getsignal(signal.SIGTERM)
    with signals_to(clock, lambda _: None):
        os.kill(os.getpid(), signal.SIGTERM)
        assert clock.interrupted
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_dead_worker_ends_a_wait_but_not_a_restoration() -> None:
    clock = InterruptibleClock()

    def dead() -> None:
        raise HostError("the worker died")

    clock.on_slice = dead
    with pytest.raises(HostError, match="died"):
        clock.sleep(60)
    with clock.shielded():
        clock.sleep(0.001)


def test_a_wait_tells_what_for_how_long_and_why(clock: VirtualClock) -> None:
    def never() -> bool:
        raise ValueError("not yet")

    with pytest.raises(
        WaitTimeout, match=r"waited 3 s for the moon \(last error: not yet\)"
    ) as raised:
        wait_until(never, "the moon", timeout_s=3, errors=(ValueError,), clock=clock)
    assert isinstance(raised.value.__cause__, ValueError)
    assert clock.now_ns() >= 3e9


def test_a_wait_returns_the_first_true_answer(clock: VirtualClock) -> None:
    answers = iter([0, "", "there"])
    assert wait_until(lambda: next(answers), "it", timeout_s=9, clock=clock) == "there"


def test_a_monotonic_clock_does_not_sleep_for_nothing() -> None:
    MonotonicClock().sleep(-1)
