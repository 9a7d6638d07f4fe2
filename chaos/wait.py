"""The product's one polling loop: bounded, and with an error that reads as a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from chaos.clock import NS, Clock, MonotonicClock
from chaos.errors import WaitTimeout

T = TypeVar("T")


def wait_until(
    done: Callable[[], T],
    what: str,
    *,
    timeout_s: float,
    interval_s: float = 0.05,
    errors: tuple[type[Exception], ...] = (),
    clock: Clock | None = None,
) -> T:
    """Call `done` until it returns something true, and return that.

    Args:
        done: only watches; it must not change what it watches.
        what: completes "waited N s for ..." in the error.
        timeout_s: seconds after which no further call is made.
        interval_s: seconds between the end of one call and the start of the next.
        errors: exceptions of `done` that mean "not yet"; the last one is chained.
        clock: virtual in tests.

    Raises:
        WaitTimeout: after `timeout_s`, from the last error of `done` if there was one.
    """
    clock = clock or MonotonicClock()
    deadline = clock.now_ns() + int(timeout_s * NS)
    last: Exception | None = None
    while True:
        try:
            result = done()
        except errors as error:
            last = error
        else:
            if result:
                return result
            last = None
        remaining_s = (deadline - clock.now_ns()) / NS
        if remaining_s <= 0:
            reason = f" (last error: {last})" if last else ""
            raise WaitTimeout(f"waited {timeout_s:g} s for {what}{reason}") from last
        clock.sleep(min(interval_s, remaining_s))
