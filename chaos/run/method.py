"""Walks the steps of a method: which fault when, after which other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chaos.clock import Clock
from chaos.errors import GuardRefused, RunAborted
from chaos.faults.base import Context, Fault
from chaos.model.topology import Topology
from chaos.run.journal import Journal
from chaos.run.session import FaultSession
from chaos.safety.ports import Restorer


@dataclass(slots=True, kw_only=True)
class Method:
    """The steps of one run, and what they are carried out with."""

    steps: Sequence[Fault]
    run: str
    first: Topology
    context: Context
    restorer: Restorer
    journal: Journal
    clock: Clock
    tell: Callable[[str], None]
    _faults: int = field(default=0, init=False)

    def carry_out(self) -> None:
        """Do every step.

        Raises:
            GuardRefused: the first fault had no target.
            RunAborted: a later one had none any more, or the cluster did not recover.
        """
        for number, fault in enumerate(self.steps, 1):
            for repeat in range(1, fault.repeat + 1):
                self._faults += 1
                times = f" ({repeat} of {fault.repeat})" if fault.repeat > 1 else ""
                self.tell(f"  step {number}: {fault.fault}{times}")
                try:
                    self._session(fault, number, repeat).carry_out()
                except GuardRefused as refusal:
                    if self._faults == 1:
                        raise
                    raise RunAborted(
                        f"step {number} had no target any more: {refusal}"
                    ) from refusal

    def _session(self, fault: Fault, step: int, repeat: int) -> FaultSession:
        return FaultSession(
            fault=fault,
            fault_id=self._faults,
            step=step,
            repeat=repeat,
            run=self.run,
            first=self.first,
            context=self.context,
            restorer=self.restorer,
            journal=self.journal,
            clock=self.clock,
        )
