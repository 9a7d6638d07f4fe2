"""What happens to storage, and to the replication that stands in for a shared volume."""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from chaos.testcluster.disturbances.base import Disturbance, Ending
from chaos.testcluster.disturbances.network import DELAY_MS_MAX
from chaos.testcluster.disturbances.node import available, require_first
from chaos.testcluster.machine.holding import HELD_BY, hold
from chaos.testcluster.machine.local_disk import NEEDS, FullLocalDisk
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate
    from chaos.testcluster.postgres.node import Node

_STALL_MS = (20.0, 100.0)
_chance = random.Random()

LAG_S_MAX = 3600.0
COMMIT_MS_MAX = 100.0  # PostgreSQL's own bound on commit_delay


def _reader(estate: Estate, instance: str, why: str) -> Node:
    """Return the server of an available reader.

    Raises:
        ApiError: there is no such instance, it is not available, or it is a writer; with `why`.
    """
    with available(estate, instance) as (core, member):
        if core.writer == member.id and core.source is None:
            raise ApiError("InvalidDBInstanceState", f"Instance {member.id} is the writer; {why}.")
        return member.node


class ReplicationLag(Disturbance):
    """Lets a reader show every commit later than the writer made it.

    Replication goes on and nothing is lost: a promotion ends the lag before it begins.
    """

    kind: Literal["replication-lag"] = "replication-lag"
    instance: str
    lag_s: Annotated[float, Field(gt=0, le=LAG_S_MAX)]

    def begin(self, estate: Estate) -> Ending:
        """Begin to lag.

        Raises:
            ApiError: there is no such reader, it is not available, or it lags already.
        """
        require_first(estate, self, self.instance)
        node = _reader(estate, self.instance, "only readers lag")
        node.replay.delay(self.lag_s)
        return lambda: node.replay.delay(None)


class ReplicaFailure(Disturbance):
    """Blocks the replication to a reader for a share of the time; afterwards it catches up.

    This is what `aurora_inject_replica_failure` does.
    """

    kind: Literal["replica-failure"] = "replica-failure"
    instance: str
    percent: Annotated[float, Field(gt=0, le=100)] = 100.0

    def begin(self, estate: Estate) -> Ending:
        """Begin to block.

        Raises:
            ApiError: there is no such reader, it is not available, or is blocked already.
        """
        require_first(estate, self, self.instance)
        node = _reader(estate, self.instance, "nothing is replicated to it")
        return node.replay.block(self.percent / 100)


class SlowStorage(Disturbance):
    """Slows down an instance's commits, its statements, or both.

    Commits wait within the server, holding what a slow flush holds (`commit_delay`). Statements wait
    before they are read, by the means and with the limits of `latency`: an approximation of reads that
    do not find their pages in memory.
    """

    kind: Literal["slow-storage"] = "slow-storage"
    instance: str
    commit_ms: Annotated[float, Field(ge=0, le=COMMIT_MS_MAX)] = 0.0
    statement_ms_min: Annotated[float, Field(ge=0, le=DELAY_MS_MAX)] = 0.0
    statement_ms_max: Annotated[float, Field(ge=0, le=DELAY_MS_MAX)] = 0.0
    percent: Annotated[float, Field(gt=0, le=100, description="of the statements")] = 100.0

    needs: ClassVar[str] = f"for statements: {HELD_BY}"

    @model_validator(mode="after")
    def _something_is_slow(self) -> Self:
        if self.statement_ms_max < self.statement_ms_min:
            raise ValueError("statement_ms_max must not be less than statement_ms_min")
        if not self.commit_ms and not self.statement_ms_max:
            raise ValueError("set commit_ms, statement_ms_max, or both")
        return self

    def begin(self, estate: Estate) -> Ending:
        """Begin to be slow.

        Raises:
            ApiError: there is no such instance, it is not available, or is slow already.
            HostError: the sessions' sockets cannot be reached.
        """
        require_first(estate, self, self.instance)
        with available(estate, self.instance) as (_, member):
            node = member.node
        with ExitStack() as stack:
            if self.statement_ms_max:
                range_ms = (self.statement_ms_min, self.statement_ms_max)
                stack.callback(hold(node, lambda: _drawn_s(self.percent, range_ms)))
            if self.commit_ms:
                # The delay belongs to the flush, which is switched off otherwise.
                slow = {"commit_delay": f"{self.commit_ms * 1000:.0f}", "commit_siblings": "0"}
                node.set({"fsync": "on", **slow})
                stack.callback(node.set, dict.fromkeys(["fsync", *slow]))
            return stack.pop_all().close


class DiskCongestion(Disturbance):
    """Slows down a share of the statements of all instances of a cluster, as a congested disk would.

    This is what `aurora_inject_disk_congestion` does; by the means and with the limits of `latency`.
    Whichever disk is named there: a small database lies on one.
    """

    needs: ClassVar[str] = HELD_BY

    kind: Literal["disk-congestion"] = "disk-congestion"
    cluster: str
    percent: Annotated[float, Field(gt=0, le=100)] = 100.0
    minimum_ms: Annotated[float, Field(ge=0, le=100)] = 0.0
    maximum_ms: Annotated[float, Field(gt=0, le=100)] = 100.0

    def begin(self, estate: Estate) -> Ending:
        """Begin to be slow.

        Raises:
            ApiError: there is no such cluster.
            HostError: the sessions' sockets cannot be reached.
        """
        return _hold_all(estate, self.cluster, self.percent, (self.minimum_ms, self.maximum_ms))


class DiskFailure(Disturbance):
    """Stalls a share of the statements of all instances of a cluster, which then go on.

    This is what `aurora_inject_disk_failure` does. Aurora reads from another copy when a disk fails, so
    nothing fails for a client; how long that takes is not published, here it is 20 to 100 ms.
    """

    needs: ClassVar[str] = HELD_BY

    kind: Literal["disk-failure"] = "disk-failure"
    cluster: str
    percent: Annotated[float, Field(gt=0, le=100)] = 100.0

    def begin(self, estate: Estate) -> Ending:
        """Begin to stall.

        Raises:
            ApiError: there is no such cluster.
            HostError: the sessions' sockets cannot be reached.
        """
        return _hold_all(estate, self.cluster, self.percent, _STALL_MS)


class FullDisk(Disturbance):
    """Leaves no space on an instance's local storage: what needs temporary files fails with 53100.

    The cluster volume grows by itself, as Aurora's does, so commits go on.
    """

    needs: ClassVar[str] = NEEDS

    kind: Literal["full-disk"] = "full-disk"
    instance: str

    def begin(self, estate: Estate) -> Ending:
        """Fill it.

        Raises:
            ApiError: there is no such instance, it is not available, or is full already.
            HostError: nothing can be mounted here.
        """
        require_first(estate, self, self.instance)
        with available(estate, self.instance) as (core, member):
            return FullLocalDisk(member.node.data, core.foundation.account).end


def _hold_all(
    estate: Estate, cluster: str, percent: float, range_ms: tuple[float, float]
) -> Ending:
    """Hold a share of the statements of a cluster's present instances."""
    found = [c for c in estate.clusters() if c.core.spec.id == cluster.lower()]
    if not found:
        raise ApiError("DBClusterNotFoundFault", f"DBCluster {cluster} not found.")
    with ExitStack() as stack:
        for member in found[0].core.others():
            stack.callback(hold(member.node, lambda: _drawn_s(percent, range_ms)))
        return stack.pop_all().close


def _drawn_s(percent: float, range_ms: tuple[float, float]) -> float:
    """Return how long the next statement is to wait: not at all, or something in the range."""
    if _chance.uniform(0, 100) >= percent:
        return 0.0
    return _chance.uniform(*range_ms) / 1000
