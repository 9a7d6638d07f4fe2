"""What errors clients met, by SQLSTATE: every attempt counted, and the operations they ended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chaos.clock import NS
from chaos.model.history import OperationLog, Records
from chaos.model.operation import Kind

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorKind:
    """One SQLSTATE of one arm: attempts that met it, operations that ended with it."""

    arm: str
    sqlstate: str
    name: str
    attempts: int
    operations: int
    first_s: float
    last_s: float
    instances: tuple[tuple[str, int], ...]
    """Where it came from, most often first; "" where no instance answered."""
    spans: tuple[Span, ...]
    """When it was met, instants less than `merge_s` apart taken together."""

    @property
    def label(self) -> str:
        """The SQLSTATE, where there was one, and the error."""
        return f"{self.sqlstate} {self.name}" if self.sqlstate.strip("-") else self.name


def errors(log: OperationLog, origin_ns: int, *, merge_s: float) -> tuple[ErrorKind, ...]:
    """Return the errors of one arm, the most frequent first."""
    final = log.operations[(log.operations["error"] != 0) & (log.operations["outcome"] != 0)]
    met = _met(log, final)
    kinds = [
        _error(
            log,
            met[met["error"] == number],
            ended=int(np.count_nonzero(final["error"] == number)),
            origin_ns=origin_ns,
            merge_s=merge_s,
        )
        for number in np.unique(met["error"])
        if number
    ]
    return tuple(sorted(kinds, key=lambda kind: (-kind.attempts, kind.sqlstate, kind.name)))


def kind_name(kind: Kind) -> str:
    """Return what the page calls a kind of operation."""
    return kind.name.lower()


_MET = np.dtype([("ended_ns", "<i8"), ("instance", "<u2"), ("error", "<u2")])


def _met(log: OperationLog, final: Records) -> Records:
    """Return every error met: the attempts, and the operations that have no attempt of their own."""
    recorded = np.unique(log.attempts["operation"])
    index = np.flatnonzero((log.operations["error"] != 0) & (log.operations["outcome"] != 0))
    alone = final[~np.isin(index, recorded)]
    met = np.empty(len(log.attempts) + len(alone), dtype=_MET)
    for name in ("ended_ns", "instance", "error"):
        met[name] = np.concatenate((log.attempts[name], alone[name]))
    return met


def _error(
    log: OperationLog, mine: Records, *, ended: int, origin_ns: int, merge_s: float
) -> ErrorKind:
    """Tell of the attempts that met one error, and of the operations that it ended."""
    at_s = np.sort((mine["ended_ns"] - origin_ns) / NS)
    places, counts = np.unique(mine["instance"], return_counts=True)
    by_count = sorted(zip(counts.tolist(), places.tolist(), strict=True), reverse=True)
    sqlstate, _, name = _name(log, int(mine["error"][0])).partition(" ")
    return ErrorKind(
        arm=log.arm,
        sqlstate=sqlstate,
        name=name,
        attempts=len(mine),
        operations=ended,
        first_s=float(at_s[0]),
        last_s=float(at_s[-1]),
        instances=tuple((_name(log, place), times) for times, place in by_count),
        spans=_spans(at_s, merge_s),
    )


def _name(log: OperationLog, number: int) -> str:
    return log.names[number] if number < len(log.names) else "(name not recorded)"


def _spans(at_s: NDArray[np.float64], merge_s: float) -> tuple[Span, ...]:
    cuts = np.flatnonzero(np.diff(at_s) > merge_s)
    starts = at_s[np.concatenate(([0], cuts + 1))]
    ends = at_s[np.concatenate((cuts, [len(at_s) - 1]))]
    return tuple(zip(starts.tolist(), ends.tolist(), strict=True))
