"""Stop every process of an instance's server, while its kernel goes on to answer for it."""

from __future__ import annotations

from typing import ClassVar, Literal

from chaos.faults.base import Before, Context
from chaos.faults.disturbance import OfInstance
from chaos.faults.sight import is_silent


class HangInstance(OfInstance):
    """A server that accepts connections and data and never answers, until it is ended or restarted.

    Only a client's own time-out ends its wait. The cluster notices after a while, and restarts it or
    fails over. The effect is that it does not answer SQL.
    """

    kind: ClassVar[str] = "hang"
    expected_s: ClassVar[float] = 30.0

    fault: Literal["hang-instance"] = "hang-instance"

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the target once it does not answer SQL."""
        return before.target if is_silent(context, before.target) else None
