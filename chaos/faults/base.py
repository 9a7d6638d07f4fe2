"""What a fault is: its fields are the YAML of a step, its methods the verbs that differ.

A fault neither waits, retries, logs nor catches: `chaos.run.session` owns order, deadlines, journal and
recovery. `resolve`, `see`, `took_effect` and `is_recovered` only watch; they may be called many times
or never. Recovery is the replay of the undo records that `undo` gave before the injection, so what a
live run does and what `gameday recover` does after a crash is the same thing.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from chaos.errors import GuardRefused
from chaos.model.topology import Topology
from chaos.safety.calls import Call
from chaos.safety.ports import Control, Database, Load, Names, Rds
from chaos.safety.undo import Undo

AURORA = "Aurora and the test cluster"
SERVERLESS = "Aurora Serverless v2 and the test cluster"
MULTI_AZ = "Aurora, RDS Multi-AZ instances and the test cluster"
GLOBAL = "Aurora global clusters and the test cluster"
TEST_CLUSTER = "the test cluster only"


def effect_within(usual_s: float) -> Any:
    """Return the field `effect_timeout_s` of a fault whose effect takes the service longer."""
    return Field(usual_s, gt=0, le=3600, description="Seconds within which the effect must show.")


def recovered_within(usual_s: float) -> Any:
    """Return the field `recovery_timeout_s` of a fault that takes the service longer to undo."""
    return Field(
        usual_s, gt=0, le=7200, description="Seconds within which every member must be back."
    )


@dataclass(frozen=True, slots=True)
class Context:
    """What a fault acts through; `control` is None on a real cluster, `load` where there is none."""

    rds: Rds
    database: Database
    control: Control | None = None
    names: Names | None = None
    load: Load | None = None

    @property
    def name_server(self) -> Names:
        """The cluster's names.

        Raises:
            GuardRefused: nobody can be asked for them here.
        """
        if self.names is None:
            raise GuardRefused(f"the names of {self.rds.cluster} cannot be asked for here")
        return self.names

    @property
    def test_cluster(self) -> Control:
        """The control address.

        Raises:
            GuardRefused: the cluster is a real one.
        """
        if self.control is None:
            raise GuardRefused(
                f"{self.rds.cluster} is no test cluster, and AWS has no call for this fault; "
                "run it on the embedded test cluster, without --cluster"
            )
        return self.control


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The cluster just before an injection, and what the selector meant in it."""

    topology: Topology
    first: Topology
    """Before the whole method, of which other steps may be under way: what recovery leads back to."""
    targets: tuple[str, ...]
    """The instances that are asked for, `any reader` where the service chooses, or the cluster."""
    key: str
    """Names this injection among all of all runs, in 60 ASCII characters without a blank."""
    seen: Any = None
    """What the fault's `see` returned."""
    spared: frozenset[str] = frozenset()
    """Instances that a fault around this one disturbs as long as this one lasts."""

    @property
    def target(self) -> str:
        """The targets in a word."""
        return ", ".join(self.targets)


class Fault(BaseModel):
    """One way to disturb a cluster, with its parameters."""

    # Built within `Experiment` alone, once: most processes need none of its own.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    works_on: ClassVar[str] = AURORA
    undoes: ClassVar[str] = "nothing: the service heals by itself"
    """What recovery does, for the catalogue."""
    asks_again: ClassVar[bool] = False
    """Whether a request that was accepted and had no effect may be sent again."""
    shows_later: ClassVar[bool] = False
    """Whether the effect only shows in what the steps within it disturb."""
    looks_every_s: ClassVar[float] = 0.1
    """How often the effect is looked for; less often where every look is paid for."""
    reads: ClassVar[tuple[Call, ...]] = ()
    """API calls by which it looks, beside describing cluster, instances and global cluster."""
    expected_s: ClassVar[float] = 30.0
    """Usual seconds from the request to the last member being back, without `hold_s`; for the plan's
    estimate only, never in a report."""

    fault: str
    repeat: int = Field(1, ge=1, le=100, description="How many times the step is done in a row.")
    hold_s: float = Field(0.0, ge=0, le=86_400, description="Seconds between effect and recovery.")
    settle_s: float = Field(
        3.0, ge=0, le=3600, description="Seconds of quiet observation after recovery."
    )
    effect_timeout_s: float = effect_within(120.0)
    requests_max: int = Field(
        2,
        ge=1,
        le=5,
        description="How often the request is sent at most, where it was accepted without effect.",
    )
    request_again_after_s: float = Field(
        30.0, gt=0, le=3600, description="Seconds without effect after which it is sent again."
    )
    recovery_timeout_s: float = recovered_within(900.0)

    @abstractmethod
    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the targets in this topology.

        Raises:
            GuardRefused: there is none, or disturbing it is not what the fault claims.
        """

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Any:
        """Read what the effect will be told by, and what the targets must be like.

        Raises:
            GuardRefused: they are not.
        """
        return None

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """Return the inverse of each lasting change; none where the service heals by itself."""
        return ()

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return the changing API calls of one injection, for the plan and the IAM policy."""
        return ()

    def stages(self) -> tuple[Fault, ...]:
        """Return what is injected in turn, each with an effect and a hold of its own."""
        return (self,)

    @property
    def held_s(self) -> float:
        """Seconds for which it is held, the holds of its stages included."""
        return self.hold_s + sum(s.hold_s for s in self.stages() if s is not self)

    @abstractmethod
    def inject(self, context: Context, before: Before) -> None:
        """Send the request that disturbs."""

    @abstractmethod
    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return what was really disturbed once the effect shows, else None."""

    def meanwhile(self, context: Context, before: Before) -> None:
        """Look at what happens while the steps within it are done, and note it in `before.seen`.

        Called again and again by a thread of its own, where the effect `shows_later`.
        """

    def forgotten(self, context: Context, before: Before) -> bool:
        """Tell whether the service is not even at the request any more; asked where `asks_again`."""
        return context.rds.topology().all_available()

    def why_none(self, context: Context, before: Before) -> str:
        """Say what keeps the effect from showing; asked once, when its time is over."""
        return ""

    def release(self, context: Context, before: Before) -> None:
        """End what lasts only while it is held, before anything is undone."""

    def is_released(self, context: Context, before: Before) -> bool:
        """Tell whether that has ended."""
        return True

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether the cluster has the members that it had, all available."""
        return context.rds.topology().is_back_to(before.first, but=before.spared)
