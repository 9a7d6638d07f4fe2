"""Which Serverless instances pause, and which wake with which: rules without time or processes.

The writer and the readers of promotion tiers 0 and 1 pause and wake together: once none of them has
had a connection for the idle time, every other reader is paused, and no instance is provisioned. The
other readers pause on their own; waking one wakes the writer, and so its group, first.
Source: the user guide's "Scaling to zero ACUs with automatic pause and resume".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from chaos.testcluster.serverless.capacity import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """One instance as far as pausing depends on it."""

    place: Place
    idle_s: float
    """How long it has been without a user's connection."""
    paused: bool
    available: bool
    """Whether nothing else is being done with it."""

    @property
    def id(self) -> str:
        """The instance identifier."""
        return self.place.id


def to_pause(
    instances: Sequence[Resting], after_s: float, *, writer_needed: bool = False
) -> tuple[str, ...]:
    """Return the instances to pause now, all or none of them; a writer comes first.

    `writer_needed`: something other than connections keeps the writer's group awake, as a global
    cluster does.
    """
    alone = [
        i for i in instances if i.place.serverless and not i.place.tied and _may_pause(i, after_s)
    ]
    if alone:
        return tuple(i.id for i in alone)
    group = [i for i in instances if i.place.tied]
    rest = [i for i in instances if not i.place.tied]
    if (
        not group
        or writer_needed
        or not all(i.place.serverless for i in instances)
        or not all(i.paused for i in rest)
        or not all(_may_pause(i, after_s) for i in group)
    ):
        return ()
    return tuple(i.id for i in _writer_first(group))


def to_wake(instances: Sequence[Resting], called: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Return the paused instances to wake because of `called`, in the order of waking.

    First the writer's group, the writer ahead; then the other readers that were called.
    """
    if not called:
        return ()
    group = _writer_first(i for i in instances if i.place.tied and i.paused)
    others = [i for i in instances if not i.place.tied and i.paused and i.id in called]
    waves = (tuple(i.id for i in group), tuple(i.id for i in others))
    return tuple(wave for wave in waves if wave)


def _writer_first(instances: Iterable[Resting]) -> list[Resting]:
    return sorted(instances, key=lambda i: not i.place.is_writer)


def _may_pause(instance: Resting, after_s: float) -> bool:
    return instance.available and not instance.paused and instance.idle_s >= after_s
