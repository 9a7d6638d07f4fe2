"""How the API misbehaves: rules between a request and its answer, without sockets or waiting.

    a request --each rule--> Treatment, all joined: late, refused, lost, answered from the past

A rule concerns some operations of some services. It counts the requests that it concerns, so the k-th of
them is treated alike in every run with one seed, whoever sends it. What ends a request (an error, a
lost answer) is decided by the rule that was added first; delays add up.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, TypeVar

from chaos.clock import NS, Clock
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.api.engine import Region

T = TypeVar("T")
View = Callable[["Region"], "Region"]
"""What a request sees instead of a Region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: its operation, and the monotonic instant at which it came."""

    service: str  # as in the signature's scope: rds, sts, ...
    operation: str
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """The answer never comes."""

    is_silent: bool = False
    """The connection stays open; otherwise it is closed at once."""
    is_carried_out: bool = False
    """The operation takes effect all the same; otherwise the request is lost, too."""
    over: threading.Event = field(default_factory=threading.Event, compare=False)
    """Set when those that still wait in silence are to be closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """What becomes of one request; the default is what should."""

    delay_s: float = 0.0
    error: ApiError | None = None
    loss: Loss | None = None
    view: View | None = None

    @property
    def is_ended(self) -> bool:
        """Whether no answer of the operation itself is given."""
        return self.error is not None or self.loss is not None

    def joined(self, later: Treatment) -> Treatment:
        """Return both: delays add up, and the earlier one decides all else that it decides."""
        ended = self if self.is_ended else later
        return Treatment(
            delay_s=self.delay_s + later.delay_s,
            error=ended.error,
            loss=ended.loss,
            view=self.view or later.view,
        )


FINE = Treatment()


class Turn:
    """Counts requests: the first `after` are not meant, then `times` are (None: all), then none."""

    def __init__(self, after: int = 0, times: int | None = None) -> None:
        self._after, self._times = after, times
        self._seen = 0

    def has_come(self) -> bool:
        """Count one more, and tell whether it is meant."""
        self._seen += 1
        number = self._seen - self._after
        return number > 0 and (self._times is None or number <= self._times)


class Rule:
    """One misbehaviour, towards some requests.

    Args:
        operations: names of operations, with `*` for any letters; one must match.
        service: only of this service; None is any.
        probability: the share of the requests concerned that meet it, 0 to 1.
        seed: decides which.
        turn: which of those that would meet it do.
    """

    def __init__(
        self,
        operations: Iterable[str] = ("*",),
        *,
        service: str | None = None,
        probability: float = 1.0,
        seed: int = 0,
        turn: Turn | None = None,
    ) -> None:
        self._turn = turn or Turn()
        self._operations = tuple(operations)
        self._service = service
        self._probability = probability
        self._chance = random.Random(f"{seed}/api behaviour")

    def concerns(self, call: Call) -> bool:
        """Tell whether a request is one of those it is about."""
        return self._service in {None, call.service} and any(
            fnmatchcase(call.operation, pattern) for pattern in self._operations
        )

    def treats(self, call: Call) -> Treatment:
        """Return what it makes of the next request."""
        if not self.concerns(call) or self._chance.random() >= self._probability:
            return FINE
        if not self._turn.has_come():
            return FINE
        return self.treatment(call)

    def treatment(self, call: Call) -> Treatment:  # noqa: ARG002 - others depend on the request
        """Return what becomes of a request that meets it."""
        return FINE


class Fixed(Rule):
    """Every request that meets it is treated alike."""

    def __init__(
        self,
        treatment: Treatment,
        operations: Iterable[str] = ("*",),
        *,
        service: str | None = None,
        probability: float = 1.0,
        seed: int = 0,
        turn: Turn | None = None,
    ) -> None:
        super().__init__(operations, service=service, probability=probability, seed=seed, turn=turn)
        self._treatment = treatment

    def treatment(self, call: Call) -> Treatment:  # noqa: ARG002 - the same for all
        """Return that treatment."""
        return self._treatment


class Throttle(Rule):
    """A token bucket for all requests concerned together; who finds it empty is refused.

    Args:
        error: the refusal.
        rate_per_s: how many tokens come a second.
        burst: how many it holds, and has at first.
        operations: as for every rule.
        service: as for every rule.
        turn: as for every rule.
    """

    def __init__(
        self,
        error: ApiError,
        *,
        rate_per_s: float,
        burst: int,
        operations: Iterable[str] = ("*",),
        service: str | None = None,
        turn: Turn | None = None,
    ) -> None:
        super().__init__(operations, service=service, turn=turn)
        self._refused = Treatment(error=error)
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = float(burst)
        self._last_ns: int | None = None

    def treatment(self, call: Call) -> Treatment:
        """Take a token, or refuse."""
        if self._last_ns is not None:
            come = (call.at_ns - self._last_ns) / NS * self._rate_per_s
            self._tokens = min(self._burst, self._tokens + come)
        self._last_ns = call.at_ns
        if self._tokens < 1:
            return self._refused
        self._tokens -= 1
        return FINE


class Stale(Rule):
    """Answers are given from the past.

    Args:
        view_at: what a request sees of a Region as of a monotonic instant.
        behind_s: how long ago that is.
        operations: as for every rule; give only those that change nothing.
        service: as for every rule.
        probability: below 1 old and new answers alternate at random.
        seed: as for every rule.
        turn: as for every rule.
    """

    def __init__(
        self,
        view_at: Callable[[int], View],
        *,
        behind_s: float,
        operations: Iterable[str],
        service: str | None = None,
        probability: float = 1.0,
        seed: int = 0,
        turn: Turn | None = None,
    ) -> None:
        super().__init__(operations, service=service, probability=probability, seed=seed, turn=turn)
        self._view_at = view_at
        self._behind_ns = int(behind_s * NS)

    def treatment(self, call: Call) -> Treatment:
        """Return the view of then."""
        return Treatment(view=self._view_at(call.at_ns - self._behind_ns))


class Behaviour:
    """The rules in force; safe to change while requests are answered.

    Args:
        clock: tells when a request came.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rules: tuple[Rule, ...] = ()

    def add(self, rule: Rule) -> Callable[[], None]:
        """Put a rule in force and return what ends it; ending it twice does no harm."""
        with self._lock:
            self._rules = (*self._rules, rule)

        def end() -> None:
            with self._lock:
                self._rules = tuple(other for other in self._rules if other is not rule)

        return end

    def treatment(self, service: str, operation: str) -> Treatment:
        """Return what becomes of a request that comes now."""
        if not self._rules:
            return FINE
        with self._lock:
            call = Call(service=service, operation=operation, at_ns=self._clock.now_ns())
            treatment = FINE
            for rule in self._rules:
                treatment = treatment.joined(rule.treats(call))
        return treatment


class Lost(Exception):  # noqa: N818 - not an error: the answer is withheld on purpose
    """Ends a request without an answer."""

    def __init__(self, loss: Loss) -> None:
        super().__init__("no answer is given")
        self.loss = loss


def treated(treatment: Treatment, pause: Callable[[float], bool], act: Callable[[View], T]) -> T:
    """Carry a request out as its treatment says and return its result.

    Args:
        treatment: of the request.
        pause: waits so many seconds, and tells whether the server closes meanwhile.
        act: does what the request asks, with the Region as the view shows it.

    Raises:
        ApiError: the request is refused.
        Lost: no answer is to be given.
    """
    if treatment.delay_s and pause(treatment.delay_s):
        raise Lost(Loss())
    if treatment.loss is not None and not treatment.loss.is_carried_out:
        raise Lost(treatment.loss)
    if treatment.error is not None:  # A new one, since each bears the traceback of its request.
        raise ApiError(treatment.error.code, treatment.error.message)
    result = act(treatment.view or _unchanged)
    if treatment.loss is not None:
        raise Lost(treatment.loss)
    return result


def _unchanged(region: Region) -> Region:
    return region
