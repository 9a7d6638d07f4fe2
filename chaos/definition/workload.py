"""The traffic of an experiment: which arms, how much of what, for how long."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from chaos.definition.arms import Arm
from chaos.definition.part import Part


class Workload(Part):
    """Traffic of every arm. Arrivals follow a schedule, however slowly the cluster answers."""

    arms: tuple[Arm, ...] = Field(
        (Arm(arm="default-pool"), Arm(arm="resilient")),
        min_length=1,
        description="Client configurations that run at the same time under the same faults.",
    )
    writes_per_s: float = Field(
        40.0, gt=0, le=5000, description="Writes per second of each arm, to the cluster endpoint."
    )
    reads_per_s: float = Field(
        40.0, gt=0, le=5000, description="Reads per second of each arm, from the reader endpoint."
    )
    users: int = Field(
        20, ge=1, le=1000, description="Operations of one arm and kind that may run at once."
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

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [arm.arm for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError(f"an arm is listed twice: {', '.join(sorted(names))}")
        return self
