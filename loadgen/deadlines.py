"""A client's own deadline where users are greenlets: a call is broken off wherever it waits."""

from __future__ import annotations

from collections.abc import Callable

import gevent

from loadgen.outcome import DeadlineExceeded


def limit(call: Callable[[], None], duration_s: float) -> None:
    """Carry out a call for so long at most.

    Raises:
        DeadlineExceeded: it did not end in time.
    """
    timer = gevent.Timeout.start_new(duration_s)
    try:
        call()
    except gevent.Timeout as expired:
        if expired is not timer:
            raise
        raise DeadlineExceeded(f"no answer within {duration_s:g} s") from None
    finally:
        timer.close()
