"""An arm's retry policy, carried out by tenacity.

tenacity costs about 18 us a call even when nothing fails, a fifth of an operation. So the first
attempt runs outside it, and only its failure is handed to tenacity, which counts it as attempt one.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.exc import DBAPIError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.stop import stop_after_attempt, stop_base, stop_never
from tenacity.wait import wait_exponential, wait_random_exponential

from chaos.clock import NS, Clock
from loadgen.arms import Retry, RetryOn
from loadgen.outcome import DeadlineExceeded

_TRANSIENT_INTERNAL = frozenset({"25006"})
# Operational errors that will be the same next time: wrong credentials, no such database or role.
_LASTING_CLASSES = frozenset({"28", "3D"})


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE that the server gave, or None."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def _operational(error: BaseException) -> bool:
    return isinstance(error, OperationalError)


def _transient(error: BaseException) -> bool:
    sqlstate = sqlstate_of(error) or ""
    if isinstance(error, OperationalError):
        return sqlstate[:2] not in _LASTING_CLASSES
    if isinstance(error, InternalError):
        return sqlstate in _TRANSIENT_INTERNAL
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    return isinstance(error, (DeadlineExceeded, PoolTimeout))


_PREDICATES: dict[RetryOn, Callable[[BaseException], bool]] = {
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
    error: Exception, attempt: Callable[[], None], retry: Retry, started_ns: int, clock: Clock
) -> None:
    """Go on after a first attempt that began at `started_ns` and ended with `error`.

    Returns when an attempt succeeds; raises what the last one raised.
    """
    first: list[Exception] = [error]

    def next_attempt() -> None:
        if first:
            raise first.pop()
        attempt()

    wait = wait_random_exponential if retry.jitter else wait_exponential
    stop: stop_base = stop_never
    if retry.attempts_max is not None:
        stop = stop_after_attempt(retry.attempts_max)
    if retry.budget_s is not None:
        stop |= _StopAt(started_ns + int(retry.budget_s * NS), clock)
    Retrying(
        retry=retry_if_exception(_PREDICATES[retry.on]),
        stop=stop,
        wait=wait(multiplier=retry.wait_s_first, max=retry.wait_s_max),
        sleep=clock.sleep,
        reraise=True,
    )(next_attempt)
