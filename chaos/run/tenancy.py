"""Holding the lease on a cluster while a run goes on: taken, renewed in a thread, released."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import uuid4

from chaos.clock import NS, Clock
from chaos.errors import ControlPlaneError, GamedayError, GuardRefused, WaitTimeout
from chaos.model.topology import Topology
from chaos.run.journal import Journal
from chaos.safety.lease import LASTS, LEASE_TAG, RENEWED_EVERY_S, WRITE_WITHIN_S, Lease
from chaos.safety.ports import Rds
from chaos.safety.undo import ReleaseLease
from chaos.safety.undo.base import UndoRecord
from chaos.wait import wait_until

SETTLE_S = {"test": 1.0, "aws": 2.0}
"""Seconds between writing the lease and reading it back, by the kind of cluster."""
_SHOWN_WITHIN_S = 20.0
_RETRY_S = 10.0
_JOIN_S = 15.0


class Tenancy:
    """The lease of one run on its cluster. `now` gives UTC; `lost` is told why it is ours no more."""

    def __init__(
        self,
        rds: Rds,
        clock: Clock,
        run: str,
        *,
        now: Callable[[], datetime],
        settle_s: float,
        lost: Callable[[str], None],
    ) -> None:
        """Prepare; nothing is read or written."""
        self._rds = rds
        self._clock = clock
        self._now = now
        self._settle_s = settle_s
        self._lost = lost
        self._lease = self._next(Lease.of(run, uuid4().hex[:12], platform.node(), now()))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def take(self, journal: Journal) -> str:
        """Take the lease and keep it; return the id of the undo record that releases it.

        Raises:
            GuardRefused: another run has it, or took it at the same moment.
            ControlPlaneError: the cluster cannot be described or tagged.
        """
        arn = self._rds.topology().arn
        record = ReleaseLease(run=self._lease.run, lease=self._lease.id, arn=arn)
        number = journal.undo(record, self._rds.cluster)
        read_ns = self._clock.now_ns()  # After the disk, which may take its time.
        held = self._held()
        if held:
            raise GuardRefused(f"cluster {self._rds.cluster} has a run on it: {held}")
        self._write()
        late_s = (self._clock.now_ns() - read_ns) / NS
        if late_s > WRITE_WITHIN_S:
            raise GuardRefused(
                f"it took {late_s:.0f} s to write tag {LEASE_TAG} on {self._rds.cluster}, so that "
                "another run may have begun meanwhile; run again once the API answers sooner"
            )
        self._clock.sleep(self._settle_s)
        self.confirm()
        self._thread.start()
        return number

    def confirm(self) -> None:
        """Hold the lease on the cluster to be ours.

        Raises:
            GuardRefused: another run has it, or nobody.
            ControlPlaneError: the cluster cannot be described.
        """
        try:
            found = wait_until(
                self._held,
                f"tag {LEASE_TAG} to show on {self._rds.cluster}",
                timeout_s=_SHOWN_WITHIN_S,
                interval_s=0.5,
                clock=self._clock,
            )
        except WaitTimeout as error:
            raise GuardRefused(f"the lease was taken away: {error}; run again") from error
        assert found is not None, "wait_until"
        if found.id != self._lease.id:
            raise GuardRefused(
                f"another run took cluster {self._rds.cluster} at the same moment: {found}; "
                "wait for its end"
            )

    def renew(self) -> None:
        """Extend the lease, unless another run has it.

        Raises:
            GuardRefused: another run has it.
            ControlPlaneError: the cluster cannot be described or tagged.
        """
        held = self._held()
        if held and held.id != self._lease.id:
            raise GuardRefused(f"another run has taken cluster {self._rds.cluster}: {held}")
        extended = self._next(self._lease)
        self._rds.set_tags(extended.as_tag())
        self._lease = extended  # Only now: until it is written, the old deadline counts.

    def stop(self) -> None:
        """Renew no more; what is on the cluster is for the undo record to release."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(_JOIN_S)

    def _held(self) -> Lease | None:
        """Return the valid lease on the cluster."""
        lease = Lease.on(self._rds.topology())
        return lease if lease and lease.is_valid(self._now()) else None

    def _write(self) -> None:
        self._rds.set_tags(self._lease.as_tag())

    def _next(self, lease: Lease) -> Lease:
        return Lease.of(lease.run, lease.id, lease.host, self._now() + LASTS)

    def _run(self) -> None:
        pause_s = RENEWED_EVERY_S
        while not self._ended.wait(pause_s):
            try:
                self.renew()
                pause_s = RENEWED_EVERY_S
            except ControlPlaneError as error:
                pause_s = _RETRY_S
                if not self._lease.is_valid(self._now()):
                    self._lost(f"the lease on {self._rds.cluster} has expired unrenewed: {error}")
                    return
            except GamedayError as error:
                self._lost(str(error))
                return
            except Exception as bug:  # noqa: BLE001 - the run must not go on without its lease
                why = f"{type(bug).__name__}: {bug}"
                self._lost(
                    f"the lease on {self._rds.cluster} is renewed no more, our own error: {why}"
                )
                return


def require_free(topology: Topology, records: Iterable[UndoRecord], now: datetime) -> None:
    """Hold a cluster to be free for the recovery of a run with these open records.

    Raises:
        GuardRefused: another run has it.
    """
    held = Lease.on(topology)
    own = {record.lease for record in records if isinstance(record, ReleaseLease)}
    if held and held.is_valid(now) and held.id not in own:
        raise GuardRefused(
            f"cluster {topology.cluster} has another run on it: {held}; recover after its end"
        )
