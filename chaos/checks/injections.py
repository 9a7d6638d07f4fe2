"""The injections of a run as its journal tells them, and which of them were under way at once.

        requested    effect      recovered
    A   |------------------------|                     A, B and C are one group: what was before A was
    B          |---------|            .                undisturbed, what comes after C is again.
    C                        |--------|
    D                                     |-----|      D begins the next one.

The period of an injection, in which what happens is counted as its doing, ends with the first
injection that begins after its recovery: A's and C's with D, B's with C.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chaos.model.record import Event

NO_EFFECT_EXPECTED = frozenset({"noop"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Injections that were under way at the same time; instants in monotonic nanoseconds."""

    from_ns: int
    """The first request."""
    over_ns: int | None
    """When the last of them had recovered; None where one never did."""
    until_ns: int
    """The next request after that, or the end of the recording."""

    @property
    def ended_ns(self) -> int:
        """When all had recovered; where one never did, the end of the period."""
        return self.until_ns if self.over_ns is None else self.over_ns


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One injection of a fault; instants in monotonic nanoseconds."""

    fault_id: str
    fault: str
    step: int
    place: str
    """Where its step stands, as `2 of parallel 1`; empty at the top level of the method."""
    repeat: int
    parameters: Mapping[str, Any]
    requested_target: str
    actual_target: str
    effect: str
    """`taken`, `none`, or empty where the journal ends before it was known."""
    error: str
    unanswered: str
    """Why the request may or may not have arrived; empty where it was answered."""
    requests: int
    again_ns: tuple[int, ...]
    """When it was requested again."""
    requested_ns: int
    staged_ns: int
    """When the last of its stages was requested; of a fault that has one, `requested_ns`."""
    accepted_ns: int | None
    effect_ns: int | None
    recover_ns: int | None
    """When undoing it began."""
    recovered_ns: int | None
    until_ns: int
    """The end of its period: the next injection after its recovery, or the recording's end."""
    group: Group

    @property
    def disturbed_ns(self) -> int:
        """From when it disturbed, as far as is known."""
        return self.effect_ns or self.accepted_ns or self.requested_ns

    @property
    def ended_ns(self) -> int:
        """When it had recovered; where it never did, the end of its period."""
        return self.until_ns if self.recovered_ns is None else self.recovered_ns

    @property
    def counts(self) -> bool:
        """Whether it did what it was to do, so that it is one of the repeats of its fault."""
        return self.effect == "taken" or self.fault in NO_EFFECT_EXPECTED


def find_injections(events: Iterable[Event], end_ns: int) -> tuple[Injection, ...]:
    """Return every injection that was begun, in order; `end_ns` is the end of the recording."""
    verbs: dict[str, list[Event]] = {}
    for event in events:
        if event.type == "fault":
            verbs.setdefault(str(event.data.get("fault_id")), []).append(event)
    begun = [
        _injection(fault_id, told, start, end_ns)
        for fault_id, told in verbs.items()
        if (start := _instant(told, "inject", "started")) is not None
    ]
    begun.sort(key=lambda injection: injection.requested_ns)
    over = [_over_ns(injection, verbs[injection.fault_id]) for injection in begun]
    periods = [_next(begun, over_ns, end_ns) for over_ns in over]
    found = [
        replace(injection, until_ns=max(until_ns, injection.requested_ns))
        for injection, until_ns in zip(begun, periods, strict=True)
    ]
    return tuple(
        replace(found[position], group=group)
        for group, positions in _groups(found, over, end_ns)
        for position in positions
    )


def _over_ns(injection: Injection, events: Sequence[Event]) -> int:
    """Return when it had recovered, or was given up: the last that the journal tells of it."""
    return injection.recovered_ns or events[-1].at_ns


def _next(injections: Sequence[Injection], after_ns: int, end_ns: int) -> int:
    """Return the first request from an instant on, or the end of the recording."""
    return min((i.requested_ns for i in injections if i.requested_ns >= after_ns), default=end_ns)


def _groups(
    injections: Sequence[Injection], over: Sequence[int], end_ns: int
) -> Iterator[tuple[Group, Sequence[int]]]:
    """Yield each group with the positions of its injections."""
    position = 0
    while position < len(injections):
        members, last_ns = [position], over[position]
        position += 1
        while position < len(injections) and injections[position].requested_ns < last_ns:
            members.append(position)
            last_ns = max(last_ns, over[position])
            position += 1
        recovered = [injections[member].recovered_ns for member in members]
        group = Group(
            from_ns=injections[members[0]].requested_ns,
            over_ns=last_ns if all(recovered) else None,
            until_ns=_next(injections[position:], last_ns, max(end_ns, last_ns)),
        )
        yield group, members


def _injection(fault_id: str, events: list[Event], start: int, end_ns: int) -> Injection:
    def told(name: str) -> Any:
        values = (e.data[name] for e in reversed(events) if e.data.get(name))
        return next(values, "")

    effects = [str(e.data["effect"]) for e in events if e.data.get("effect")]
    return Injection(
        fault_id=fault_id,
        fault=str(told("fault")),
        step=int(told("step") or 0),
        place=str(told("place")),
        repeat=int(told("repeat") or 0),
        parameters=told("parameters") or {},
        requested_target=str(told("requested_target")),
        actual_target=str(told("actual_target")),
        effect="none" if "none" in effects else next(iter(effects), ""),
        error=str(told("error")),
        unanswered=str(told("unanswered")),
        requests=max((int(e.data.get("requests") or 1) for e in events), default=1),
        again_ns=tuple(e.at_ns for e in _begun(events) if e.data.get("again")),
        requested_ns=start,
        staged_ns=max((e.at_ns for e in _begun(events) if not e.data.get("again")), default=start),
        accepted_ns=_instant(events, "inject", "ended", failed=False),
        effect_ns=_instant(events, "effect", "ended", failed=False),
        recover_ns=_instant(events, "recover", "started"),
        recovered_ns=_instant(events, "recovered", "ended", failed=False),
        until_ns=end_ns,
        group=Group(from_ns=start, over_ns=None, until_ns=end_ns),
    )


def _begun(events: list[Event]) -> Iterator[Event]:
    """Yield what tells of a request that was sent."""
    return (e for e in events if (e.data.get("verb"), e.data.get("state")) == ("inject", "started"))


def _instant(events: list[Event], verb: str, state: str, *, failed: bool = True) -> int | None:
    """Return when a verb began or ended; with `failed` false, only where it ended well."""
    found = (
        e.at_ns
        for e in events
        if e.data.get("verb") == verb
        and e.data.get("state") == state
        and (failed or not any(e.data.get(why) for why in ("error", "unanswered", "refused")))
    )
    return next(found, None)
