"""Slow down an instance's commits, its statements, or both."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from chaos.errors import GuardRefused
from chaos.faults.base import Before, Context
from chaos.faults.disturbance import OfInstance
from chaos.faults.sight import COMMIT, READ, is_slower, trips
from chaos.model.answers import RoundTrips
from chaos.model.topology import Role, Topology


class SlowStorage(OfInstance):
    """Commits wait within the server; a share of the statements waits before it is read.

    The effect is a commit (on a reader: a statement) that takes at least half of that longer than
    before, on average.
    """

    fault: Literal["slow-storage"] = "slow-storage"
    commit_ms: float = Field(0.0, ge=0, le=100, description="So long each commit waits.")
    statement_ms_min: float = Field(
        0.0, ge=0, le=10_000, description="So long a statement waits at least."
    )
    statement_ms_max: float = Field(
        0.0, ge=0, le=10_000, description="So long a statement waits at most."
    )
    percent: float = Field(100.0, gt=0, le=100, description="Share of the statements that waits.")

    @model_validator(mode="after")
    def _something_is_slow(self) -> Self:
        if self.statement_ms_max < self.statement_ms_min:
            raise ValueError("statement_ms_max must not be less than statement_ms_min")
        if not self.commit_ms and not self.statement_ms_max:
            raise ValueError("set commit_ms, statement_ms_max, or both")
        return self

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instance; refuse slow commits of one that commits nothing."""
        targets = super().resolve(topology)
        member = topology.member(targets[0])
        if member and member.role is Role.READER and not self.statement_ms_max:
            raise GuardRefused(f"slow-storage: {member.id} is a reader, which commits nothing")
        return targets

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> RoundTrips:
        """Measure a commit."""
        super().see(context, topology, targets)
        return trips(context, targets[0], self._statement(topology, targets[0]))

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once commits, or statements, are late."""
        statement = self._statement(before.topology, before.target)
        late_ms = (self.statement_ms_min + self.statement_ms_max) / 2 * self.percent / 100
        if statement == COMMIT:
            late_ms += self.commit_ms
        now = trips(context, before.target, statement)
        return before.target if is_slower(now, before.seen, late_ms / 1000) else None

    def _statement(self, topology: Topology, target: str) -> str:
        return COMMIT if topology.writer and topology.writer.id == target else READ
