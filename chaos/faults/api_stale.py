"""Describe clusters and instances as they were some seconds ago."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import DatabaseError
from chaos.faults.base import Before, Context
from chaos.faults.of_api import PROBABILITY, OfApi
from chaos.model.answers import ApiAnswer


class ApiStale(OfApi):
    """The API lags behind what happens; let the steps within it make something happen.

    The effect is a description that an instance's own word in SQL contradicts once they are done:
    another role, or a status in which it could not answer. `behind_s` must outlast what they cause.
    """

    shows_later: ClassVar[bool] = True

    fault: Literal["api-stale"] = "api-stale"
    operations: tuple[str, ...] = Field(
        ("Describe*",), min_length=1, description="Operations concerned, which change nothing."
    )
    behind_s: float = Field(
        gt=0, le=600, description="So old they are, or as old as the disturbance."
    )
    probability: float = PROBABILITY

    def shows(self, now: ApiAnswer) -> bool:
        """Tell nothing: an old answer looks like a new one."""
        return False

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the cluster once its description is contradicted."""
        return before.target if self._is_contradicted(context) else None

    def why_none(self, context: Context, before: Before) -> str:
        """Say what it takes."""
        return "let the steps within this one, as a nested step, restart or move something"

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether everything is back, and nobody contradicts the API."""
        return super().is_recovered(context, before) and not self._is_contradicted(context)

    def _is_contradicted(self, context: Context) -> bool:
        for member in context.rds.topology().members:
            try:
                role = context.database.identify(member.id).role
            except DatabaseError:
                continue
            if member.role is not role or member.status != "available":
                return True
        return False
