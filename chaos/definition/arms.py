"""An arm as an experiment names it: which client configuration, with how much traffic."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from chaos.definition.part import Part
from chaos.errors import nearest


class Arm(Part):
    """One client configuration under test, by its name in the catalogue (`gameday arms`)."""

    arm: str = Field(description="Name in the catalogue of arms.")
    writes_per_s: float | None = Field(
        None, gt=0, le=5000, description="Arrivals of writes per second; absent: the workload's."
    )
    reads_per_s: float | None = Field(
        None, gt=0, le=5000, description="Arrivals of reads per second; absent: the workload's."
    )

    @field_validator("arm")
    @classmethod
    def _in_catalogue(cls, name: str, info: ValidationInfo) -> str:
        """Hold the name to the catalogue that the loader was given; definitions know none."""
        allowed = (info.context or {}).get("arms")
        if allowed is not None and name not in allowed:
            raise ValueError(
                f"unknown arm {name!r}; allowed are {', '.join(allowed)}{nearest(name, allowed)}"
            )
        return name
