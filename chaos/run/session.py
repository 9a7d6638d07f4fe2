"""The life of one fault: legal order, deadlines, journal, always recovered.

    resolve -> undo records on disk -> inject -> effect (watch) -> hold -> recover -> recovered (watch)

Only `inject` and `recover` change the cluster. An effect that does not show in time is recorded as
`effect: none`; the run goes on and its verdict cannot be a pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from chaos.clock import Clock
from chaos.errors import ControlPlaneError, DatabaseError, RunAborted, WaitTimeout
from chaos.faults.base import Before, Context, Fault
from chaos.run.journal import Journal
from chaos.run.restore import replay
from chaos.safety.undo import DropTables, Restorer
from chaos.wait import wait_until

_WATCH_INTERVAL_S = 0.1
_TRANSIENT = (ControlPlaneError, DatabaseError)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSession:
    """Carries one injection of one fault through its life. `fault_id` is unique in the run."""

    fault: Fault
    fault_id: int
    step: int
    repeat: int
    context: Context
    restorer: Restorer
    journal: Journal
    clock: Clock

    def run(self) -> None:
        """Disturb, hold and recover.

        Raises:
            GuardRefused: there is no target now.
            ControlPlaneError: the request was refused.
            RunAborted: the cluster did not recover in time.
        """
        before = self._before()
        for record in self.fault.undo(before):
            self.journal.undo(record, before.topology.cluster)
        with self._verb("inject", before):
            self.fault.inject(self.context, before)
        self._await_effect(before)
        with self._verb("hold", before):
            self.clock.sleep(self.fault.hold_s)
        with self._verb("recover", before):
            left = replay(
                self.journal,
                self.restorer,
                self.clock,
                before.topology.cluster,
                only=lambda record: not isinstance(record, DropTables),
                timeout_s=self.fault.recovery_timeout_s,
            )
            if left:
                raise RunAborted("; ".join(left))
        with self._verb("recovered", before):
            self._await_recovered(before)
        self.clock.sleep(self.fault.settle_s)

    def _before(self) -> Before:
        topology = self.context.rds.topology()
        target = self.fault.resolve(topology)
        identity = self.context.identify(target) if self.fault.watches_uptime else None
        return Before(topology=topology, target=target, identity=identity)

    def _await_effect(self, before: Before) -> None:
        self._event("effect", before, state="started")
        try:
            actual = wait_until(
                lambda: self.fault.took_effect(self.context, before),
                f"{self.fault.fault} to take effect on {before.target}",
                timeout_s=self.fault.effect_timeout_s,
                interval_s=_WATCH_INTERVAL_S,
                errors=_TRANSIENT,
                clock=self.clock,
            )
        except WaitTimeout as error:
            self._event("effect", before, state="ended", effect="none", error=str(error))
        else:
            self._event("effect", before, state="ended", effect="taken", actual_target=actual)

    def _await_recovered(self, before: Before) -> None:
        try:
            wait_until(
                lambda: self.fault.is_recovered(self.context, before),
                f"{before.topology.cluster} to have all its members available again",
                timeout_s=self.fault.recovery_timeout_s,
                interval_s=_WATCH_INTERVAL_S,
                errors=_TRANSIENT,
                clock=self.clock,
            )
        except WaitTimeout as error:
            raise RunAborted(str(error)) from error

    @contextmanager
    def _verb(self, verb: str, before: Before) -> Iterator[None]:
        self._event(verb, before, state="started")
        try:
            yield
        except BaseException as error:
            self._event(verb, before, state="ended", error=str(error) or repr(error))
            raise
        self._event(verb, before, state="ended")

    def _event(self, verb: str, before: Before, **data: Any) -> None:
        self.journal.event(
            "fault",
            fault_id=self.fault_id,
            fault=self.fault.fault,
            step=self.step,
            repeat=self.repeat,
            verb=verb,
            requested_target=before.target,
            parameters=self.fault.model_dump(mode="json", exclude_none=True),
            **data,
        )
