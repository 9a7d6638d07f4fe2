"""Threads that end together: the first error is told, and nobody is waited for without a bound."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from fix_threads import ThreadClock

from chaos.clock import Clock, MonotonicClock
from chaos.errors import HostError, RunAborted
from chaos.run import together as module
from chaos.run.together import Cancelled, GroupClock, Together
from chaos.wait import wait_until

Work = Callable[[GroupClock], None]


def do(clock: Clock, *works: Work, beside: Callable[[], None] = lambda: None) -> None:
    """Do some works at the same time, and something beside them."""
    with Together(clock) as together:
        for number, work in enumerate(works, 1):
            together.begin(str(number), lambda work=work: work(together.clock))  # type: ignore[misc]
        beside()


def patient(clock: GroupClock) -> None:
    clock.sleep(1000)


def wrong(clock: GroupClock) -> None:
    clock.sleep(5)
    raise KeyError("planted")


def test_all_of_them_are_waited_for(threads: ThreadClock) -> None:
    done: list[int] = []

    def work(seconds: int) -> Work:
        def sleeps(clock: GroupClock) -> None:
            clock.sleep(seconds)
            done.append(seconds)

        return sleeps

    do(threads, work(7), work(3), work(5))
    assert done == [3, 5, 7]


def test_the_error_that_is_told_is_the_one_that_ended_the_others(threads: ThreadClock) -> None:
    ended: list[str] = []

    def told(clock: GroupClock) -> None:
        try:
            patient(clock)
        except Cancelled as error:
            ended.append(str(error))
            raise

    with pytest.raises(KeyError, match="planted"):
        do(threads, told, wrong)
    assert ended == ["ended, since 2 went wrong: 'planted'"]
    assert threads.now_ns() < 10e9


def test_what_goes_wrong_beside_them_ends_them(threads: ThreadClock) -> None:
    def beside() -> None:
        threads.sleep(3)
        raise RunAborted("beside")

    with pytest.raises(RunAborted, match="beside"):
        do(threads, patient, beside=beside)
    assert threads.now_ns() < 10e9


def test_a_group_within_a_group_ends_with_it(threads: ThreadClock) -> None:
    def within(clock: GroupClock) -> None:
        with Together(clock) as inner:
            inner.begin("of 1", lambda: patient(inner.clock))

    with pytest.raises(KeyError, match="planted"):
        do(threads, within, wrong)
    assert threads.now_ns() < 10e9


def test_a_step_that_hangs_is_named_and_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_END_S", 0.1)
    over = threading.Event()
    hanging: list[bool] = []
    stay: list[threading.Thread] = []

    def hang(_: GroupClock) -> None:
        stay.append(threading.current_thread())
        hanging.append(True)
        over.wait(60)

    def beside() -> None:
        wait_until(lambda: hanging, "the step to hang", timeout_s=60)
        hanging.clear()
        raise RunAborted("beside")

    try:
        with pytest.raises(HostError, match=r"step 1 did not end.*gameday recover"):
            do(MonotonicClock(), hang, beside=beside)
        with pytest.raises(HostError, match=r"step 1 did not end.*gameday recover"):
            do(MonotonicClock(), hang, lambda _: beside())
    finally:
        over.set()
        for thread in stay:
            thread.join(60)
