"""How long each instance took to the capacity that a fault, or a step of the load, made it need.

A fault tells which capacity it wants: within new bounds, the last of a series from when these were
requested, or so much above what it was, where a datapoint tells what it was. The load tells
none, so there it is the highest that was reached before the next step: the capacity that served it.
Either was reached between two instants, which lie as far apart as CloudWatch's datapoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaos.checks.capacity_series import Level, levels
from chaos.checks.injections import Injection
from chaos.checks.recording import Recording
from chaos.clock import NS

_ANY = float("inf")
_EDGE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityStep:
    """One instance after one cause; instants in monotonic nanoseconds."""

    cause: str
    instance: str
    wanted: str
    from_ns: int
    """When the cause began."""
    until_ns: int
    """Until when it was looked for."""
    before_acu: float | None
    reached_acu: float | None
    earliest_ns: int | None
    reached_ns: int | None
    """It was reached between these two; None where it never was, as far as was told."""
    told_ns: int
    """Until when datapoints tell of the instance."""

    @property
    def at_once(self) -> bool:
        """Whether nothing had to change."""
        return self.reached_ns is not None and self.reached_ns <= self.from_ns

    @property
    def measured_s(self) -> float | None:
        """From the cause until it was reached, at most."""
        return None if self.reached_ns is None else max(0, self.reached_ns - self.from_ns) / NS

    @property
    def uncertainty_s(self) -> float:
        """How much less it may have been."""
        if self.reached_ns is None or self.earliest_ns is None:
            return 0.0
        return max(0, self.reached_ns - max(self.earliest_ns, self.from_ns)) / NS


def capacity_steps(recording: Recording) -> list[CapacityStep]:
    """Return every step of every instance that a datapoint tells of, in order of causes."""
    series = levels(recording)
    return [*_of_faults(recording, series), *_of_load(recording, series)]


def _of_faults(recording: Recording, told: Mapping[str, Sequence[Level]]) -> Iterator[CapacityStep]:
    for injection in recording.injections:
        bounds = _bounds(injection)
        for instance, known in sorted(told.items()):
            before = _at(known, injection.staged_ns)
            if bounds is not None:
                low, high = bounds
            elif (
                injection.fault == "force-scale-up"
                and injection.actual_target == instance
                and before is not None
            ):
                low, high = before + float(injection.parameters.get("rise_acu") or 0), _ANY
            else:
                continue
            yield _step(
                f"{injection.fault} {_number(recording, injection)}",
                instance,
                known,
                (injection.staged_ns, injection.recover_ns or injection.until_ns),
                (low, high),
            )


def _bounds(injection: Injection) -> tuple[float, float] | None:
    """Return the capacities that a fault sets bounds to, those of its last stage."""
    told = injection.parameters
    if injection.fault == "scale-storm" and told.get("series"):
        told = told["series"][-1]
    elif injection.fault != "scale-capacity":
        return None
    return float(told.get("min_acu") or 0), float(told.get("max_acu") or _ANY)


def _of_load(recording: Recording, told: Mapping[str, Sequence[Level]]) -> Iterator[CapacityStep]:
    begun = list(load_steps(recording))
    ends = [*(at_ns for at_ns, _ in begun[1:]), recording.until_ns]
    for (at_ns, factor), until_ns in zip(begun, ends[: len(begun)], strict=True):
        for instance, known in sorted(told.items()):
            after = [one.acu for one in known if one.to_ns >= at_ns and one.shown_ns < until_ns]
            before = _at(known, at_ns)
            if not after or before is None or max(after) <= before + _EDGE:
                continue
            yield _step(
                f"load times {factor:g}", instance, known, (at_ns, until_ns), (max(after), _ANY)
            )


def load_steps(recording: Recording) -> Iterator[tuple[int, float]]:
    """Yield when the load stepped up or down, and to which factor."""
    shape = (recording.history.experiment.get("workload") or {}).get("shape")
    steps: Sequence[dict[str, float]] = shape.get("step") or () if isinstance(shape, dict) else ()
    zero_ns = next(
        (
            e.at_ns
            for e in recording.history.events
            if (e.type, e.data.get("state")) == ("load", "shaped")
        ),
        None,
    )
    if zero_ns is not None:
        for step in steps:
            yield zero_ns + round(float(step["at_s"]) * NS), float(step["factor"])


def _step(
    cause: str,
    instance: str,
    known: Sequence[Level],
    period: tuple[int, int],
    wanted: tuple[float, float],
) -> CapacityStep:
    (from_ns, until_ns), (low, high) = period, wanted
    reached = next(
        (
            one
            for one in known
            if one.to_ns >= from_ns
            and one.shown_ns <= until_ns
            and low - _EDGE <= one.acu <= high + _EDGE
        ),
        None,
    )
    before = _at(known, from_ns)
    # What the first datapoint shows may have been there before anybody looked.
    unseen = before is None and reached is not None and reached is known[0]
    words = f"{low:g} ACU or more" if high == _ANY else f"{low:g} to {high:g} ACU"
    return CapacityStep(
        cause=cause,
        instance=instance,
        wanted=words,
        from_ns=from_ns,
        until_ns=until_ns,
        before_acu=before,
        reached_acu=reached.acu if reached else None,
        earliest_ns=from_ns if unseen else reached.changed_ns if reached else None,
        reached_ns=reached.from_ns if reached else None,
        told_ns=known[-1].to_ns if known else from_ns,
    )


def _at(known: Sequence[Level], at_ns: int) -> float | None:
    """Return the last capacity that was told of by an instant."""
    return next((one.acu for one in reversed(known) if one.shown_ns <= at_ns), None)


def _number(recording: Recording, injection: Injection) -> int:
    return recording.injections.index(injection) + 1
