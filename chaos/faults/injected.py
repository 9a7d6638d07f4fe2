"""Faults that Aurora injects when it is asked by SQL, and ends by itself after some seconds."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

from pydantic import Field, model_validator

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context, Fault
from chaos.faults.sight import COMMIT, is_slower, trips
from chaos.model.answers import RoundTrips
from chaos.model.topology import Topology

_VOLUME = "SELECT * FROM pg_catalog.aurora_show_volume_status()"


class Injected(Fault):
    """Lasts for `for_s`, whatever becomes of the run; nothing can end it sooner.

    Syntax: AuroraPostgreSQL.Managing.FaultInjectionQueries in Aurora's user guide.
    """

    works_on: ClassVar[str] = "Aurora PostgreSQL and the test cluster"
    undoes: ClassVar[str] = "nothing: it ends by itself after `for_s`, which recovery waits for"

    percent: float = Field(100.0, gt=0, le=100, description="Share of the requests it strikes.")
    for_s: int = Field(15, ge=1, le=3600, description="It ends by itself after so many seconds.")

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.hold_s >= self.for_s:
            raise ValueError("hold_s must be less than for_s, after which the fault ends by itself")
        return self

    def require_aurora_postgresql(self, topology: Topology) -> None:
        """Refuse another engine.

        Raises:
            GuardRefused: it has other statements for this, or none.
        """
        if topology.engine != "aurora-postgresql":
            raise GuardRefused(
                f"{self.fault}: {topology.cluster} runs {topology.engine}; only Aurora PostgreSQL "
                "has this function"
            )

    def ask(self, context: Context, before: Before, call: str) -> None:
        """Have the writer inject it; it answers at once."""
        assert before.topology.writer is not None
        context.database.query(before.topology.writer.id, f"SELECT pg_catalog.{call}")


class OfDisk(Injected):
    """A fault of a disk of the cluster volume, or of a storage node: commits are late."""

    index: int = Field(0, ge=0, description="Which one; `aurora_show_volume_status()` counts them.")
    is_disk: bool = Field(True, description="A disk; false: a storage node.")

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the writer, through which the volume is felt."""
        self.require_aurora_postgresql(topology)
        if topology.writer is None:
            raise GuardRefused(f"{self.fault}: {topology.cluster} has no writer now")
        return (topology.writer.id,)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> RoundTrips:
        """Measure a commit; refuse an index that there is not."""
        ((disks, nodes),) = context.database.query(targets[0], _VOLUME)
        if self.index >= (disks if self.is_disk else nodes):
            raise GuardRefused(
                f"{self.fault}: the volume of {topology.cluster} has {disks} disks and {nodes} nodes, "
                f"counted from 0; choose an index below"
            )
        return trips(context, targets[0], COMMIT)

    @abstractmethod
    def late_s(self) -> float:
        """Return by how much a commit is late on average."""

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the writer once commits take at least half of that longer than before."""
        return before.target if self._is_late(context, before) else None

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and commits as fast as before."""
        return super().is_recovered(context, before) and not self._is_late(context, before)

    def _is_late(self, context: Context, before: Before) -> bool:
        return is_slower(trips(context, before.target, COMMIT), before.seen, self.late_s())
