"""What a fault is: its fields are the YAML of a step, its methods the verbs that differ.

A fault neither waits, retries, logs nor catches: `chaos.run.session` owns order, deadlines, journal and
recovery. `took_effect` and `is_recovered` only watch; they may be called many times or never.
Recovery is the replay of the undo records that `undo` gave before the injection, so what a live run
does and what `gameday recover` does after a crash is the same thing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from chaos.db.identity import Identity
from chaos.model.topology import Capacity, Topology
from chaos.safety.undo import Undo


class Rds(Protocol):
    """The calls of `chaos.aws.rds.ControlPlane` that faults use."""

    def topology(self) -> Topology:
        """Describe the cluster."""

    def failover(self, target: str | None) -> None:
        """FailoverDBCluster."""

    def reboot(self, instance: str) -> None:
        """RebootDBInstance."""

    def delete_instance(self, instance: str) -> None:
        """DeleteDBInstance."""

    def set_capacity(self, capacity: Capacity) -> None:
        """ModifyDBCluster."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a fault acts through. `identify` asks an instance over SQL who it is, since when."""

    rds: Rds
    identify: Callable[[str], Identity]


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The cluster just before an injection, and the target resolved in it."""

    topology: Topology
    target: str
    """The instance that is asked for, `any reader` where the service chooses, or the cluster."""
    identity: Identity | None
    """The target's own word, where the fault watches its uptime."""


class Fault(BaseModel):
    """One way to disturb a cluster, with its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    works_on: ClassVar[str] = "Aurora and the test cluster"
    watches_uptime: ClassVar[bool] = False

    fault: str
    repeat: int = Field(1, ge=1, le=100, description="How many times the step is done in a row.")
    hold_s: float = Field(0.0, ge=0, le=86_400, description="Seconds between effect and recovery.")
    settle_s: float = Field(
        3.0, ge=0, le=3600, description="Seconds of quiet observation after recovery."
    )
    effect_timeout_s: float = Field(
        120.0, gt=0, le=3600, description="Seconds within which the effect must show."
    )
    recovery_timeout_s: float = Field(
        900.0, gt=0, le=7200, description="Seconds within which every member must be back."
    )

    @abstractmethod
    def resolve(self, topology: Topology) -> str:
        """Name the target in this topology.

        Raises:
            GuardRefused: there is none, or disturbing it is not what the fault claims.
        """

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Return the inverse of each lasting change; none where the service heals by itself."""
        return ()

    @abstractmethod
    def inject(self, context: Context, before: Before) -> None:
        """Send the request that disturbs."""

    @abstractmethod
    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return what was really disturbed once the effect shows, else None."""

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether the cluster has the members it had, all available."""
        now = context.rds.topology()
        return now.all_available() and {m.id for m in now.members} == {
            m.id for m in before.topology.members
        }
