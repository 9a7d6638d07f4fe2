"""A run seen while it lasts: its operations as they reach the disk, and questions asked meanwhile.

Operations are on disk up to 0.25 s after they ended. What takes longer to ask than a moment (the
ledger, CloudWatch) is asked in threads of its own, so that nothing delays the other conditions.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from chaos.clock import NS, Clock
from chaos.errors import ControlPlaneError, DatabaseError
from chaos.model.history import load_operations
from chaos.model.ledger import LostSoFar
from chaos.model.operation import Kind, Outcome
from chaos.safety.stops import Recent

T = TypeVar("T")
_KEPT_S = 300.0
_KEPT_MAX = 2_000_000  # operations of one stream


@dataclass(slots=True)
class _Stream:
    """The newest operations of one stream: when each ended, and whether it succeeded."""

    ended_ns: deque[int] = field(default_factory=lambda: deque(maxlen=_KEPT_MAX))
    ok: deque[bool] = field(default_factory=lambda: deque(maxlen=_KEPT_MAX))
    last_success_ns: int | None = None


class Tail:
    """The operations of every arm, read on as they are written."""

    def __init__(self, operations: Path) -> None:
        """Take the folder of the operations, which may still be empty."""
        self._folder = operations
        self._read: dict[str, int] = {}
        self._streams: dict[tuple[str, str, Kind], _Stream] = {}

    def read_on(self, arm: str, now_ns: int) -> None:
        """Take in what an arm has recorded since the last call."""
        if not (self._folder / f"{arm}.names").exists():
            return
        log = load_operations(self._folder, arm)
        since = self._read.get(arm, 0)
        new = log.operations[since:]
        self._read[arm] = since + len(new)
        codes = new["endpoint"].astype(np.int64) << 8 | new["kind"]
        for code in np.unique(codes):
            endpoint, kind = divmod(int(code), 256)
            key = (arm, log.names[endpoint], Kind(kind))
            stream = self._streams.setdefault(key, _Stream())
            chosen = new[codes == code]
            ended, ok = chosen["ended_ns"], chosen["outcome"] == Outcome.OK
            stream.ended_ns.extend(ended.tolist())
            stream.ok.extend(ok.tolist())
            if ok.any():
                stream.last_success_ns = max(stream.last_success_ns or 0, int(ended[ok].max()))
        for stream in self._streams.values():
            while stream.ended_ns and stream.ended_ns[0] < now_ns - _KEPT_S * NS:
                stream.ended_ns.popleft()
                stream.ok.popleft()

    def recent(self, arm: str, endpoint: str, kind: Kind, since_ns: int) -> Recent:
        """Return what ended in a stream since an instant."""
        stream = self._streams.get((arm, endpoint, kind), _Stream())
        ended = np.fromiter(stream.ended_ns, dtype=np.int64, count=len(stream.ended_ns))
        ok = np.fromiter(stream.ok, dtype=bool, count=len(stream.ok))
        inside = ended >= since_ns
        return Recent(
            operations=int(inside.sum()),
            failed=int((inside & ~ok).sum()),
            last_success_ns=stream.last_success_ns,
        )


class Asked(Generic[T]):
    """A question that is asked again and again in a thread; the newest answer is kept."""

    def __init__(self, name: str, ask: Callable[[], T], every_s: float, clock: Clock) -> None:
        """Take the question; `start` begins to ask."""
        self._ask = ask
        self._every_s = every_s
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.answer: T | None = None
        self.answered_ns = clock.now_ns()
        self.bug: Exception | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Ask no more; a question under way is given up after `timeout_s`."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    self.answer = self._ask()
                except (ControlPlaneError, DatabaseError):
                    pass  # `silent_s` tells for how long there has been no answer.
                else:
                    self.answered_ns = self._clock.now_ns()
                self._stop.wait(self._every_s)
        except Exception as bug:  # noqa: BLE001 - handed to whoever looks at the answer
            self.bug = bug


@dataclass(slots=True, kw_only=True)
class LiveRun:
    """The port `chaos.safety.stops.Live` on one run."""

    tail: Tail
    clock: Clock
    method_since_ns: int
    quiet_until: Callable[[], int] = lambda: 0
    ledger: Asked[LostSoFar] | None = None
    alarms: Asked[Mapping[str, str]] | None = None

    @property
    def asked_since_ns(self) -> int:
        """Since when traffic has flowed."""
        return max(self.method_since_ns, self.quiet_until())

    def recent(self, arm: str, endpoint: str, operation: str, over_s: float) -> Recent:
        """Return what a stream recorded in the last `over_s` seconds."""
        now_ns = self.clock.now_ns()
        self.tail.read_on(arm, now_ns)
        kind = Kind[operation.upper()]
        return self.tail.recent(arm, endpoint, kind, now_ns - int(over_s * NS))

    def lost_so_far(self) -> LostSoFar | None:
        """Return how many acknowledged writes are missing."""
        return _answer(self.ledger)

    def alarm(self, name: str) -> str | None:
        """Return the state of a CloudWatch alarm."""
        states = _answer(self.alarms)
        return None if states is None else states.get(name, "missing")

    def silent_s(self, source: str) -> float:
        """Return for how long `alarms` or `ledger` has had no answer."""
        asked: Asked[Mapping[str, str]] | Asked[LostSoFar] | None = {
            "alarms": self.alarms,
            "ledger": self.ledger,
        }[source]
        return 0.0 if asked is None else (self.clock.now_ns() - asked.answered_ns) / NS


def _answer(asked: Asked[T] | None) -> T | None:
    """Return the newest answer; raise what broke the thread that asks."""
    if asked is None:
        return None
    if asked.bug is not None:
        raise asked.bug
    return asked.answer
