"""What only a test cluster can suffer: begun and taken back over its control address.

A fault of this kind says which disturbance it is, whom it strikes, and how its effect is seen from
outside. Its own parameters are the disturbance's, with the same names and bounds.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from chaos.faults.base import TEST_CLUSTER, Before, Context, Fault
from chaos.faults.sight import is_silent
from chaos.faults.targets import ONE, select
from chaos.model.topology import Topology
from chaos.safety.undo import EndDisturbance, Undo


class Disturbance(Fault):
    """Asks the control address for a disturbance; recovery takes it back by its name."""

    works_on: ClassVar[str] = TEST_CLUSTER
    undoes: ClassVar[str] = "ends it, over the control address"
    expected_s: ClassVar[float] = 10.0
    kind: ClassVar[str] = ""
    """The disturbance's kind, where it is not the fault's name."""

    def parameters(self, before: Before) -> dict[str, Any]:
        """Return the disturbance's parameters: the fault's own, and whom it strikes."""
        own = set(type(self).model_fields) - set(Fault.model_fields) - {"target"}
        return self.model_dump(mode="json", exclude_none=True, include=own)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Any:
        """Refuse a real cluster."""
        context.test_cluster.in_force("")
        return None

    def undo(self, before: Before) -> tuple[Undo, ...]:
        """End it."""
        return (EndDisturbance(name=before.key, fields=self._asked(before)),)

    def inject(self, context: Context, before: Before) -> None:
        """Begin it, once."""
        context.test_cluster.begin(before.key, self._asked(before))

    def _asked(self, before: Before) -> dict[str, Any]:
        return {"kind": self.kind or self.fault, **self.parameters(before)}


class OfInstance(Disturbance):
    """A disturbance of one instance."""

    target: str = Field("writer", description=ONE)

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the instance that the selector means now."""
        return (select(self.target, topology).id,)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> Any:
        """Have each target answer: of one that is silent already no silence could be told."""
        seen = super().see(context, topology, targets)
        for target in targets:
            context.database.identify(target)
        return seen

    def parameters(self, before: Before) -> dict[str, Any]:
        """Add the instance."""
        return {**super().parameters(before), "instance": before.target}

    def is_recovered(self, context: Context, before: Before) -> bool:
        """Tell whether every member is back, and the targets answer SQL."""
        back = super().is_recovered(context, before)
        return back and not any(is_silent(context, target) for target in before.targets)
