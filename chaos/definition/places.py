"""Where each step of a method stands: its number and its place, for journal, plan and report."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from chaos.definition.steps import Composite, Nested, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A step, and the steps in it, each with its place.

    Faults are numbered from 1 in the order in which they are read; composites, for each `do` apart.
    """

    step: Step
    number: int
    place: str
    """`2 of parallel 1`; empty at the top level."""
    within: tuple[Placed, ...] = ()

    @property
    def name(self) -> str:
        """A composite's name, as `parallel 1`."""
        return f"{self.step.do} {self.number}" if isinstance(self.step, Composite) else ""

    @property
    def faults(self) -> Iterator[Placed]:
        """Every fault in it, itself included, by number."""
        if isinstance(self.step, Composite):
            for child in self.within:
                yield from child.faults
        else:
            yield self


def placed(steps: Iterable[Step]) -> tuple[Placed, ...]:
    """Return the steps of a method with their places."""
    counted = _Counted()
    return tuple(counted.placed(step, "") for step in steps)


@dataclass(slots=True)
class _Counted:
    """Numbers what it is given, in order."""

    faults: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    composites: dict[str, int] = field(default_factory=dict)

    def placed(self, step: Step, place: str) -> Placed:
        if not isinstance(step, Composite):
            return Placed(step=step, number=next(self.faults), place=place)
        number = self.composites[step.do] = self.composites.get(step.do, 0) + 1
        name, outside = f"{step.do} {number}", f", {place}" if place else ""
        return Placed(
            step=step,
            number=number,
            place=place,
            within=tuple(
                self.placed(child, f"{told}{outside}")
                for child, told in zip(step.children, _places(step, name), strict=True)
            ),
        )


def _places(composite: Composite, name: str) -> Iterator[str]:
    while_so = ""
    if isinstance(composite, Nested):
        yield f"outer of {name}"
        part = "is in force" if composite.when == "in-force" else "recovers"
        while_so = f", while {composite.outer.fault} {part}"
    for number in range(1, len(composite.steps) + 1):
        yield f"{number} of {name}{while_so}"
