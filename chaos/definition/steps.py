"""The steps of a method: faults, and steps made of steps.

A composite says with `do` how its `steps` follow each other; they may be composites themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from chaos.faults import CATALOGUE as FAULTS
from chaos.faults.base import Fault
from chaos.model.steps import declared_injections

LEVELS_MAX = 3
INJECTIONS_MAX = 200
NEITHER = "neither_fault_nor_composite"
"""The type of the error that a step without `fault` and `do` is."""


class Composite(BaseModel):
    """Several steps, and how they follow each other."""

    # Built within `Experiment` alone, once: most processes need none of its own.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    do: str
    repeat: int = Field(1, ge=1, le=100, description="How many times all of it is done in a row.")
    steps: tuple[Step, ...] = Field(min_length=1, description="Faults or further composites.")

    @property
    def children(self) -> tuple[Step, ...]:
        """Every step directly in it, in the order in which they are numbered."""
        return self.steps

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        """Refuse what nobody can follow, or what would never end."""
        if levels_of(self) > LEVELS_MAX:
            raise ValueError(f"composites within composites: {LEVELS_MAX} levels at most")
        require_injections((self,))
        return self


class Sequential(Composite):
    """One step after the other, as at the top level."""

    do: Literal["sequence"] = "sequence"


class Parallel(Composite):
    """Every step begins at once; it ends when the last one has ended."""

    do: Literal["parallel"] = "parallel"
    steps: tuple[Step, ...] = Field(min_length=2, description="Faults or further composites.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        require_apart(self)
        return self


class Random(Composite):
    """Each step begins at random instants of a window, the same for the same seed.

    One that is due while another is under way waits for it, unless they may `overlap`.
    """

    do: Literal["random"] = "random"
    within_s: float = Field(gt=0, le=86_400, description="Length of the window, in seconds.")
    times: int = Field(1, ge=1, le=100, description="How many times each of the steps begins.")
    overlap: bool = Field(False, description="Whether steps may be under way at the same time.")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        require_apart(self)
        return self


class Nested(Composite):
    """Steps during another fault: while it is in force, or while it recovers (a second failure)."""

    do: Literal["nested"] = "nested"
    outer: OneFault = Field(description="The fault during which the steps are done.")
    when: Literal["in-force", "recovering"] = Field(
        "in-force", description="In which part of the outer fault's life the steps are done."
    )

    @property
    def children(self) -> tuple[Step, ...]:
        """The outer fault, then the steps."""
        return (self.outer, *self.steps)

    @model_validator(mode="after")
    def _once(self) -> Self:
        if self.outer.repeat > 1:
            raise ValueError("outer is done once; repeat the nested step instead")
        return self


COMPOSITES: tuple[type[Composite], ...] = (Sequential, Parallel, Random, Nested)


def _of_which_sort(step: Any) -> str | None:
    """Tell a fault from a composite, in a file and as a model alike."""
    has = step.__contains__ if isinstance(step, dict) else lambda name: hasattr(step, name)
    return "one fault" if has("fault") else "several steps" if has("do") else None


if TYPE_CHECKING:  # The unions grow with the catalogues; mypy sees the base classes.
    OneFault = Fault
    Step = Fault | Composite
else:
    OneFault = Annotated[reduce(or_, FAULTS), Field(discriminator="fault")]
    Step = Annotated[
        Annotated[OneFault, Tag("one fault")]
        | Annotated[
            Annotated[reduce(or_, COMPOSITES), Field(discriminator="do")], Tag("several steps")
        ],
        Discriminator(
            _of_which_sort,
            custom_error_type=NEITHER,
            custom_error_message="missing key 'fault', or 'do' for several steps",
        ),
    ]


def faults_of(steps: Iterable[Step]) -> Iterator[Fault]:
    """Yield every fault of some steps once, in the order in which steps are numbered."""
    for step in steps:
        if isinstance(step, Composite):
            yield from faults_of(step.children)
        else:
            yield step


def levels_of(step: Step) -> int:
    """Return how many composites lie within each other."""
    if not isinstance(step, Composite):
        return 0
    return 1 + max(levels_of(child) for child in step.children)


def require_injections(steps: Iterable[Step]) -> None:
    """Hold the number of injections of some steps to the limit.

    Raises:
        ValueError: there are too many.
    """
    count = declared_injections([step.model_dump() for step in steps])
    if count > INJECTIONS_MAX:
        raise ValueError(f"{count} injections with every repeat; {INJECTIONS_MAX} are allowed")


def rivals(composite: Composite) -> Iterator[tuple[Fault, Fault]]:
    """Yield every two faults of different steps of a composite that may be under way at once."""
    at_once = isinstance(composite, Parallel) or (
        isinstance(composite, Random) and composite.overlap
    )
    if not at_once:
        return
    itself = isinstance(composite, Random) and composite.times > 1
    for position, step in enumerate(composite.steps):
        others = composite.steps[position + (0 if itself else 1) :]
        yield from itertools.product(faults_of((step,)), faults_of(others))


def all_rivals(steps: Iterable[Step]) -> Iterator[tuple[Fault, Fault]]:
    """Yield every two faults of a method that may be under way at once."""
    for step in steps:
        if isinstance(step, Composite):
            yield from rivals(step)
            yield from all_rivals(step.children)


_HARMLESS = frozenset({"noop"})


def require_apart(composite: Composite) -> None:
    """Refuse faults that would change the same thing at once, where their words tell.

    Two of one kind do unless they name different targets. What only the cluster tells, the run
    refuses before its first injection (`chaos.run.apart`).

    Raises:
        ValueError: two of them do.
    """
    for one, other in rivals(composite):
        target = target_of(one)
        if one.fault == other.fault and target == target_of(other) and one.fault not in _HARMLESS:
            on = f" on {target!r}" if target else ""
            raise ValueError(
                f"two {one.fault}{on} would be under way at once; "
                "name different targets, or do them in sequence"
            )


def target_of(fault: Fault) -> str | None:
    """Return the selector that a step was given; None where its kind has none."""
    return getattr(fault, "target", None)
