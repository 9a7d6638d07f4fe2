"""What is wrong with a cluster on purpose, so that a check can be shown to notice it.

The control plane asks these switches at the few places where a healthy one does the right thing; all are
off until a defect is planted (`disturbances/defects.py`). What it then does instead is in `sabotage.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from chaos.testcluster.records import ServerlessBounds


@dataclass(slots=True, kw_only=True)
class Defects:
    """The switches of one cluster, guarded by its core's lock."""

    planted: set[str] = field(default_factory=set)
    """The kinds in force."""
    failover: Literal["", "ignored", "pretended"] = ""
    """FailoverDBCluster is accepted and forgotten, or told to be done without being done."""
    failovers_left: int | None = None
    """So many more are; None: all."""
    ignores_bounds: bool = False
    """ModifyDBCluster's bounds are accepted and not set."""
    bounds_left: int | None = None
    """So many more are not; None: none ever is."""
    capacity_stays: bool = False
    """No instance's capacity follows its load or the bounds."""
    absent: set[str] = field(default_factory=set)
    """Instances that are not started again once they are down."""
    deletions_stay: bool = False
    """What was deleted is listed on."""
    loses_tail: bool = False
    """A promoted reader lacks what it had not replayed."""
    keeps_old_writer: bool = False
    """After a requested failover the old writer goes on writing."""
    demotes_at_once: bool = False
    """The old writer is a reader before the new one is a writer."""
    dns_stays: bool = False
    """The cluster endpoint never follows a failover."""
    dns_extra_s: float = 0.0
    """It follows so much later."""
    readers_stay_away: bool = False
    """A reader that went down is not started again."""
    slow_s: float = 0.0
    """Promotions and restarts take so much longer."""
    api_names: str = ""
    """The instance that the API names as the writer; empty for the one that it is."""
    sql_names: str = ""
    """The same for `aurora_replica_status()`."""
    kept_from: ServerlessBounds | None = None
    """Bounds that ModifyDBCluster accepts and does not set."""

    def fakes_failover(self) -> bool:
        """Count one more FailoverDBCluster, and tell whether it is not to be done."""
        if not self.failover or self.failovers_left == 0:
            return False
        if self.failovers_left is not None:
            self.failovers_left -= 1
        return True

    def settable(
        self, wanted: ServerlessBounds, now: ServerlessBounds | None
    ) -> ServerlessBounds | None:
        """Return the bounds that a cluster has after ModifyDBCluster asked for some."""
        if self.ignores_bounds and self.bounds_left != 0:
            if self.bounds_left is not None:
                self.bounds_left -= 1
            return now
        refused = self.kept_from
        same = refused and (refused.min_acu, refused.max_acu) == (wanted.min_acu, wanted.max_acu)
        return now if same and now is not None else wanted
