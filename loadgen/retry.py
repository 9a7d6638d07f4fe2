"""An arm's retry policy, carried out by tenacity.

tenacity costs about 18 us a call even when nothing fails, a fifth of an operation. So the first
attempt runs outside it, and only its failure is handed to tenacity, which counts it as attempt one.
"""

from __future__ import annotations

from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.stop import stop_after_attempt, stop_base, stop_never
from tenacity.wait import wait_exponential, wait_random_exponential

from chaos.clock import NS, Clock
from loadgen.arms import Retry, RetryOn
from loadgen.drivers.base import Trouble

READ_ONLY = "25006"
# Operational errors that will be the same next time: wrong credentials, no such database or role.
_LASTING_CLASSES = frozenset({"28", "3D"})


def _operational(trouble: Trouble) -> bool:
    return trouble.operational


def _transient(trouble: Trouble) -> bool:
    sqlstate = trouble.sqlstate or ""
    if trouble.operational:
        return sqlstate[:2] not in _LASTING_CLASSES
    return sqlstate == READ_ONLY or trouble.lost or trouble.gave_up


_PREDICATES: dict[RetryOn, Callable[[Trouble], bool]] = {
    RetryOn.OPERATIONAL_ERROR: _operational,
    RetryOn.TRANSIENT: _transient,
}


class _StopAt(stop_base):
    """Stop when the next attempt would start after a monotonic instant."""

    def __init__(self, deadline_ns: int, clock: Clock) -> None:
        self._deadline_ns = deadline_ns
        self._clock = clock

    def __call__(self, retry_state: RetryCallState) -> bool:
        return self._clock.now_ns() + retry_state.upcoming_sleep * NS > self._deadline_ns


def retry_after(
    error: BaseException,
    attempt: Callable[[], None],
    trouble_of: Callable[[BaseException], Trouble],
    *,
    retry: Retry,
    started_ns: int,
    clock: Clock,
) -> None:
    """Go on after a first attempt that began at `started_ns` and ended with `error`.

    Returns when an attempt succeeds; raises what the last one raised.
    """
    first: list[BaseException] = [error]

    def next_attempt() -> None:
        if first:
            raise first.pop()
        attempt()

    may_pass = _PREDICATES[retry.on]
    wait = wait_random_exponential if retry.jitter else wait_exponential
    stop: stop_base = stop_never
    if retry.attempts_max is not None:
        stop = stop_after_attempt(retry.attempts_max)
    if retry.budget_s is not None:
        stop |= _StopAt(started_ns + int(retry.budget_s * NS), clock)
    Retrying(
        retry=retry_if_exception(lambda error: may_pass(trouble_of(error))),
        stop=stop,
        wait=wait(multiplier=retry.wait_s_first, max=retry.wait_s_max),
        sleep=clock.sleep,
        reraise=True,
    )(next_attempt)
