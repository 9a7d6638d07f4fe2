"""An arm's retry policy, carried out by tenacity.

tenacity costs about 18 us a call even when nothing fails, a fifth of an operation. So the first
attempt runs outside it, and only its failure is handed to tenacity, which counts it as attempt one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.stop import stop_after_attempt, stop_base, stop_never
from tenacity.wait import (
    wait_base,
    wait_exponential,
    wait_fixed,
    wait_random,
    wait_random_exponential,
)

from chaos.clock import NS, Clock
from chaos.model.operation import READ_ONLY
from loadgen.arm import Policy, Retry, RetryOn
from loadgen.drivers.base import Trouble

# Operational errors that will be the same next time: wrong credentials, no such database or role.
_LASTING_CLASSES = frozenset({"28", "3D"})


class Tokens:
    """A retry budget that all users of an arm share, so that retries cannot become the load.

    It begins full. A retry takes a token, a successful operation puts a fraction of one back: with
    0.1, retries are at most a tenth of the successful operations in the long run. The same idea as
    gRPC's retry throttling and the retry quota of AWS's SDKs.
    """

    def __init__(self, most: float, per_success: float) -> None:
        self.left = self._most = most
        self._per_success = per_success
        self._lock = threading.Lock()

    @classmethod
    def of(cls, retry: Retry) -> Tokens | None:
        """Return the budget of a policy that has one."""
        if retry.policy is not Policy.BUDGET:
            return None
        return cls(retry.tokens_max, retry.tokens_per_success)

    def take(self) -> bool:
        """Take a token for a retry; False: there is none."""
        with self._lock:
            if self.left < 1.0:
                return False
            self.left -= 1.0
            return True

    def put_back(self) -> None:
        """Put back what a successful operation earns."""
        with self._lock:
            self.left = min(self._most, self.left + self._per_success)


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


class _StopWithout(stop_base):
    """Stop when there is no token for the next attempt; asked last, since asking takes one."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def __call__(self, retry_state: RetryCallState) -> bool:  # noqa: ARG002 - tenacity's signature
        return not self._tokens.take()


def retry_after(
    error: BaseException,
    attempt: Callable[[], None],
    trouble_of: Callable[[BaseException], Trouble],
    *,
    retry: Retry,
    started_ns: int,
    clock: Clock,
    tokens: Tokens | None = None,
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
    stop: stop_base = stop_never
    if retry.attempts_max is not None:
        stop = stop_after_attempt(retry.attempts_max)
    if retry.elapsed_s_max is not None:
        stop |= _StopAt(started_ns + int(retry.elapsed_s_max * NS), clock)
    if tokens is not None:
        stop |= _StopWithout(tokens)
    Retrying(
        retry=retry_if_exception(lambda error: may_pass(trouble_of(error))),
        stop=stop,
        wait=_wait(retry),
        sleep=clock.sleep,
        reraise=True,
    )(next_attempt)


def _wait(retry: Retry) -> wait_base:
    if retry.policy is Policy.FIXED:
        longest_s = retry.wait_s_max
        return wait_random(0, longest_s) if retry.jitter else wait_fixed(longest_s)
    wait = wait_random_exponential if retry.jitter else wait_exponential
    return wait(multiplier=retry.wait_s_first, max=retry.wait_s_max)
