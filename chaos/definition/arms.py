"""An arm as an experiment names it: which client configuration, with how much traffic."""

from __future__ import annotations

from pydantic import Field, ValidationInfo, field_validator

from chaos.definition.part import Part
from chaos.errors import nearest


class Arm(Part):
    """One client configuration under test, by its name in the catalogue (`gameday arms`)."""

    arm: str = Field(description="Name in the catalogue of arms.")
    profile: str | None = Field(
        None, description="What its clients ask (`gameday profiles`); absent: the workload's."
    )
    operations_per_s: float | None = Field(
        None, gt=0, le=10_000, description="Arrivals per second in all; absent: the workload's."
    )
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
        return known(name, "arm", info)

    @field_validator("profile")
    @classmethod
    def _is_a_profile(cls, name: str | None, info: ValidationInfo) -> str | None:
        return None if name is None else known(name, "profile", info)


def known(name: str, what: str, info: ValidationInfo) -> str:
    """Return a name that is in the loader's catalogue of arms or profiles, where it was given one.

    Raises:
        ValueError: it is not; names all and the nearest.
    """
    allowed = (info.context or {}).get(f"{what}s")
    if allowed is not None and name not in allowed:
        raise ValueError(
            f"unknown {what} {name!r}; allowed are {', '.join(allowed)}{nearest(name, allowed)}"
        )
    return name
