"""Who was the writer by SQL, and which instances were astray: answering, and demoted.

An instance is *astray* while it answers, had been the writer, and is not: it says that it is a reader,
or another one has said later that it is the writer. Whatever a client sends it there is refused as a
write, or is a stale read. While an instance does not answer, its connections are broken, which
is an interruption and not this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

from chaos.checks.recording import Recording
from chaos.model.record import Observation

_WRITER, _READER, _SILENT = "writer", "reader", "unreachable"


@dataclass(frozen=True, slots=True)
class Change:
    """An instant between two samples: after `since_ns`, not later than `at_ns`."""

    since_ns: int
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """An instance said for the first time that it is the writer now; another one was before."""

    instance: str
    before: str
    change: Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Astray:
    """A stretch in which a demoted writer answered; `ended` is None where it lasted to the end."""

    instance: str
    began: Change
    ended: Change | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What the instances said of themselves over the run."""

    promotions: tuple[Promotion, ...]
    astray: tuple[Astray, ...]


@dataclass(slots=True)
class _Walk:
    """The instances as they were last seen."""

    role: dict[str, str] = field(default_factory=dict)
    writer: str = ""
    last_writer: str = ""
    were: set[str] = field(default_factory=set)

    def see(self, instance: str, value: str) -> bool:
        """Take what one said of itself; tell whether it took over from another."""
        self.role[instance] = value
        if value == _WRITER:
            before, self.writer = self.last_writer, instance
            self.last_writer = instance
            self.were.add(instance)
            return before not in {"", instance}
        if value == _READER and self.writer == instance:
            self.writer = ""
        return False

    @property
    def astray(self) -> set[str]:
        return {i for i in self.were if i != self.writer and self.role[i] in {_WRITER, _READER}}


_read: WeakKeyDictionary[Recording, Roles] = WeakKeyDictionary()


def roles(recording: Recording) -> Roles:
    """Return the promotions of a run, and the stretches in which demoted writers answered."""
    if recording not in _read:
        _read[recording] = _roles(recording)
    return _read[recording]


def _roles(recording: Recording) -> Roles:
    walk = _Walk()
    promotions: list[Promotion] = []
    open_since: dict[str, Change] = {}
    found: list[Astray] = []
    for seen in _told(recording):
        change = Change(recording.since_ns if seen.since_ns is None else seen.since_ns, seen.at_ns)
        before = walk.last_writer
        if walk.see(seen.subject, seen.value):
            promotions.append(Promotion(instance=seen.subject, before=before, change=change))
        astray = walk.astray
        for instance in astray - set(open_since):
            open_since[instance] = change
        for instance in set(open_since) - astray:
            began = open_since.pop(instance)
            found.append(Astray(instance=instance, began=began, ended=change))
    found += [Astray(instance=i, began=began, ended=None) for i, began in open_since.items()]
    found.sort(key=lambda one: (one.began.at_ns, one.instance))
    return Roles(promotions=tuple(promotions), astray=tuple(found))


def restarts(recording: Recording, instance: str) -> tuple[Change, ...]:
    """Return when the server of an instance was seen to have started anew."""
    return tuple(
        Change(o.since_ns, o.at_ns)
        for o in recording.observed("postmaster", instance)
        if o.since_ns is not None
    )


def astray_within(found: Roles, since_ns: int, until_ns: int) -> tuple[Astray, ...]:
    """Return the stretches within an interval, cut off at its end."""
    return tuple(
        replace(one, ended=one.ended if one.ended and one.ended.at_ns < until_ns else None)
        for one in found.astray
        if one.began.at_ns < until_ns and (one.ended is None or one.ended.at_ns > since_ns)
    )


def _told(recording: Recording) -> Iterator[Observation]:
    return (o for o in recording.observed("role") if o.value in {_WRITER, _READER, _SILENT})
