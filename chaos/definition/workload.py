"""The traffic of an experiment: which arms, how much of what, for how long."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import (
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from chaos.definition.arms import Arm, known
from chaos.definition.part import Part

DEFAULT_PROFILE = "oltp-small"
"""The one whose writes and reads may have rates of their own."""
_EACH_PER_S = 40.0
_FACTOR_MAX = 100


class Profile(Protocol):
    """What the loader is told of a profile by who knows them all; definitions know none."""

    @property
    def stream_names(self) -> tuple[str, ...]:
        """Endpoint and kind of operation of each of its streams: `cluster write`."""

    @property
    def moves_money(self) -> bool:
        """Whether it has accounts, whose balances can be added up."""


class Step(Part):
    """A rate from an instant on."""

    at_s: float = Field(ge=0, le=86_400, description="Seconds after the method began.")
    factor: float = Field(
        gt=0, le=_FACTOR_MAX, description="Times the arm's own rate, from then on."
    )


class Steps(Part):
    """A rate that changes at once, at certain instants; the arm's own before the first."""

    step: tuple[Step, ...] = Field(
        min_length=1, description="Steps in the order of their instants."
    )

    @field_validator("step")
    @classmethod
    def _in_order(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        for before, after in pairwise(steps):
            if after.at_s <= before.at_s:
                raise ValueError(
                    f"step at {after.at_s:g} s comes after that at {before.at_s:g} s; order them"
                )
        return steps


class Ramp(Part):
    """A rate that changes in a straight line between two instants, and stays as it is then."""

    from_s: float = Field(0.0, ge=0, le=86_400, description="Seconds after the method began.")
    to_s: float = Field(gt=0, le=86_400, description="The same, when the ramp ends.")
    from_factor: float = Field(
        1.0, gt=0, le=_FACTOR_MAX, description="Times the arm's own rate, until the ramp begins."
    )
    to_factor: float = Field(gt=0, le=_FACTOR_MAX, description="The same, once it has ended.")

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.to_s <= self.from_s:
            raise ValueError(f"to_s {self.to_s:g} is not after from_s {self.from_s:g}")
        return self


class Ramped(Part):
    """A ramp, under its name."""

    ramp: Ramp = Field(description="From when to when, from which factor to which.")


def _which_shape(told: Any) -> str:
    """Tell the shapes apart, in a file and as a model alike."""
    if isinstance(told, str):
        return "constant"
    names = told if isinstance(told, dict) else getattr(type(told), "model_fields", ())
    return "ramp" if "ramp" in names else "step"


Shape = Annotated[
    Annotated[Literal["constant"], Tag("constant")]
    | Annotated[Steps, Tag("step")]
    | Annotated[Ramped, Tag("ramp")],
    Discriminator(_which_shape),
]


class Workload(Part):
    """Traffic of every arm. Arrivals follow a schedule, however slowly the cluster answers."""

    arms: tuple[Arm, ...] = Field(
        (Arm(arm="default-pool"), Arm(arm="resilient")),
        min_length=1,
        description="Client configurations that run at the same time under the same faults.",
    )
    profile: str = Field(
        DEFAULT_PROFILE,
        description="What clients ask: a name in the catalogue (`gameday profiles`).",
    )
    operations_per_s: float | None = Field(
        None,
        gt=0,
        le=10_000,
        description="Arrivals per second of each arm in all, divided by the shares of its profile.",
    )
    writes_per_s: float | None = Field(
        None,
        gt=0,
        le=5000,
        description=f"Of {DEFAULT_PROFILE} instead: writes per second of each arm; absent: 40.",
    )
    reads_per_s: float | None = Field(
        None,
        gt=0,
        le=5000,
        description=f"Of {DEFAULT_PROFILE} instead: reads per second of each arm; absent: 40.",
    )
    shape: Shape = Field(
        "constant", description="How every rate goes over time: constant, {step: ...}, {ramp: ...}."
    )
    think_time_s: float = Field(
        0.0, ge=0, le=60, description="Pause of a user between an operation and the next it takes."
    )
    users: int = Field(
        20, ge=1, le=1000, description="Operations of one arm and stream that may run at once."
    )
    queue_max: int = Field(
        1000, ge=1, le=1_000_000, description="Arrivals that may wait for a user; more fail."
    )
    warmup_s: float = Field(
        5.0, ge=3, le=3600, description="Traffic before anything is judged or disturbed."
    )
    cooldown_s: float = Field(
        5.0, ge=1, le=3600, description="Traffic after the last step, before the end is judged."
    )

    @field_validator("profile")
    @classmethod
    def _is_a_profile(cls, name: str, info: ValidationInfo) -> str:
        return known(name, "profile", info)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError(f"an arm is listed twice: {', '.join(sorted(names))}")
        return self

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        """Refuse rates that contradict each other, or that a profile does not have."""
        parts: list[tuple[str, Workload | Arm, str]] = [("", self, self.profile)]
        parts += [(f"{arm.name}: ", arm, arm.profile or self.profile) for arm in self.arms]
        for where, part, profile in parts:
            each = [name for name in ("writes_per_s", "reads_per_s") if getattr(part, name)]
            if each and part.operations_per_s:
                raise ValueError(f"{where}give operations_per_s or {' and '.join(each)}, not both")
            if each and profile != DEFAULT_PROFILE:
                raise ValueError(
                    f"{where}{' and '.join(each)} are of {DEFAULT_PROFILE}; "
                    f"give {profile} operations_per_s"
                )
        return self

    def rates(self, arm: Arm) -> dict[str, Any]:
        """Return the profile of one of the arms and its rates: in all, or of writes and of reads."""
        profile = arm.profile or self.profile
        each = arm.writes_per_s or arm.reads_per_s
        total = arm.operations_per_s or (None if each else self.operations_per_s)
        if total is None and profile != DEFAULT_PROFILE:
            total = 2 * _EACH_PER_S
        if total is not None:
            return {"profile": profile, "operations_per_s": total}
        return {
            "profile": profile,
            "writes_per_s": arm.writes_per_s or self.writes_per_s or _EACH_PER_S,
            "reads_per_s": arm.reads_per_s or self.reads_per_s or _EACH_PER_S,
        }
