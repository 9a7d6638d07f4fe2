"""An experiment: exactly what its YAML file may hold."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from chaos.checks import CATALOGUE as CHECKS
from chaos.checks.base import Check
from chaos.definition.embedded import EmbeddedCluster
from chaos.definition.felt import require_traffic
from chaos.definition.part import Part
from chaos.definition.steps import Step, faults_of, require_injections
from chaos.definition.workload import Workload
from chaos.faults.base import Fault
from chaos.safety.limits import Limits
from chaos.safety.stops import Condition

if TYPE_CHECKING:  # The union grows with the catalogue; mypy sees the base class.
    Objective = Check
else:
    Objective = Annotated[reduce(or_, CHECKS), Field(discriminator="check")]


_T = TypeVar("_T")


def _is_felt(part: _T, info: ValidationInfo) -> _T:
    if "workload" in info.data:  # else the workload is wrong, which is told already
        require_traffic(part, info.data["workload"], (info.context or {}).get("profiles"))
    return part


Felt = Annotated[_T, AfterValidator(_is_felt)]
"""A part that looks at traffic: refused where it is read if the workload has no such traffic."""


class SteadyState(Part):
    """A tolerance of normal service: required before the method, observed again after it."""

    arm: str = Field(description="Arm whose operations are looked at.")
    operation: Literal["write", "read", "transaction"] = Field(description="Kind of operation.")
    success_ratio_min: float = Field(
        0.99, ge=0, le=1, description="Share of operations that must succeed at the first outcome."
    )
    latency_ms_p99_max: float | None = Field(
        None, gt=0, description="Bound of the 99th percentile from the intended start, in ms."
    )
    over_s: float = Field(
        3.0, ge=1, le=600, description="Length of the stretch looked at, up to the present."
    )


class Experiment(Part):
    """A claim, the traffic that feels, the faults that disturb, the objectives that judge."""

    version: Literal[1] = Field(description="Version of this language.")
    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Lower-case letters, digits, hyphens."
    )
    claim: str = Field(min_length=1, description="One sentence a reader can disagree with.")
    owner: str | None = Field(None, description="Team that answers for it.")
    test_cluster: EmbeddedCluster | None = Field(
        None, description="What the embedded cluster must be like; a named one is as it is."
    )
    workload: Workload = Field(default_factory=Workload, description="Traffic of every arm.")
    steady_state: tuple[Felt[SteadyState], ...] = Field(
        (), description="Required before the method, observed again after it."
    )
    method: tuple[Step, ...] = Field(min_length=1, description="Faults and composites, in order.")
    guards: Limits = Field(Limits(), description="What this experiment's own guards demand.")
    stop_when: tuple[Felt[Condition], ...] = Field(
        (), description="Stop conditions: one that holds ends the method, and the run recovers."
    )
    objectives: tuple[Felt[Objective], ...] = Field(
        min_length=1, description="What the verdict rests on, judged from recorded data alone."
    )
    rollback: tuple[Literal["restore-writer"], ...] = Field(
        (), description="What is put back beside the faults' own changes."
    )

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Every fault of the method once, in the order in which steps are numbered from 1."""
        return tuple(faults_of(self.method))

    @field_validator("method")
    @classmethod
    def _bounded(cls, method: tuple[Step, ...]) -> tuple[Step, ...]:
        require_injections(method)
        return method

    def resolved(self) -> dict[str, Any]:
        """Return the definition with every default spelled out, as the run folder keeps it."""
        return self.model_dump(mode="json", exclude_none=True)
