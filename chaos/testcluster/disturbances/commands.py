"""What the control plane was asked for, accepted, and does not do, or never finishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from chaos.testcluster.aurora.core import AVAILABLE, Core
from chaos.testcluster.disturbances.base import Disturbance, Ending
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate

CLUSTER = "DB cluster identifier; absent: the one that the server was started for."
TIMES = "So many requests, then it works; absent: every one."


class OfCluster(Disturbance):
    """One that concerns a cluster, or the Multi-AZ instance that the server was started for."""

    cluster: str | None = Field(None, description=CLUSTER)


class IgnoreFailover(OfCluster):
    """FailoverDBCluster is accepted, answered `failing-over`, and not done."""

    kind: Literal["ignore-failover"] = "ignore-failover"
    times: int | None = Field(None, ge=1, description=TIMES)

    def begin(self, estate: Estate) -> Ending:
        """Ignore from now on."""
        core = estate.database(self.cluster).core
        fake_failovers(core, "ignored", self.kind, self.times)
        return lambda: fake_failovers(core, "", self.kind)


class IgnoreCapacity(OfCluster):
    """New Serverless v2 bounds are accepted by ModifyDBCluster, and never set."""

    kind: Literal["ignore-capacity"] = "ignore-capacity"
    times: int | None = Field(None, ge=1, description=TIMES)

    def begin(self, estate: Estate) -> Ending:
        """Ignore from now on.

        Raises:
            ApiError: the cluster is provisioned, or ignores them already.
        """
        core = _serverless(estate, self)
        defects = core.defects
        with core.lock:
            if defects.ignores_bounds:
                raise _already(self, core)
            defects.ignores_bounds, defects.bounds_left = True, self.times

        def ending() -> None:
            with core.lock:
                defects.ignores_bounds = False

        return ending


class CapacityStuck(OfCluster):
    """No instance's capacity (ACU) changes, whatever its load and the bounds, which the API shows."""

    kind: Literal["capacity-stuck"] = "capacity-stuck"

    def begin(self, estate: Estate) -> Ending:
        """Leave capacities as they are.

        Raises:
            ApiError: the cluster is provisioned, or they are stuck already.
        """
        core = _serverless(estate, self)
        with core.lock:
            if core.defects.capacity_stays:
                raise _already(self, core)
            core.defects.capacity_stays = True

        def ending() -> None:
            core.defects.capacity_stays = False

        return ending


class NeverReturns(Disturbance):
    """An instance that goes down is `rebooting`, and is not started again until this ends."""

    kind: Literal["instance-never-returns"] = "instance-never-returns"
    instance: str

    def begin(self, estate: Estate) -> Ending:
        """Start it no more.

        Raises:
            ApiError: there is no such instance, or it is kept away already.
        """
        core = estate.cluster_of(self.instance.lower()).core
        with core.lock:
            member = core.require_member(self.instance.lower())
            if member.id in core.defects.absent:
                raise ApiError(
                    "InvalidParameterCombination",
                    f"{self.kind} is in force for instance {member.id} already",
                )
            core.defects.absent |= {member.id}

        def ending() -> None:
            with core.lock:
                core.defects.absent -= {member.id}

        return ending


class DeletionsLinger(OfCluster):
    """A deleted instance is gone, and the API lists it as `deleting` until this ends."""

    kind: Literal["deletions-linger"] = "deletions-linger"

    def begin(self, estate: Estate) -> Ending:
        """List what is deleted on.

        Raises:
            ApiError: it is so already.
        """
        core = estate.database(self.cluster).core
        with core.lock:
            if core.defects.deletions_stay:
                raise _already(self, core)
            core.defects.deletions_stay = True

        def ending() -> None:
            core.defects.deletions_stay = False

        return ending


def fake_failovers(
    core: Core, how: Literal["", "ignored", "pretended"], kind: str, times: int | None = None
) -> None:
    """Let a cluster not do the next failovers that it is asked for; `how` "" ends that.

    Raises:
        ApiError: it does not do them already.
    """
    with core.lock:
        if how and core.defects.failover:
            raise ApiError(
                "InvalidParameterCombination",
                f"{kind}: failovers of cluster {core.spec.id} are {core.defects.failover} already",
            )
        core.defects.failover, core.defects.failovers_left = how, times
        if not how and core.status == AVAILABLE:
            core.shown_writer = core.writer


def _serverless(estate: Estate, disturbance: OfCluster) -> Core:
    core = estate.database(disturbance.cluster).core
    if core.bounds is None:
        raise ApiError(
            "InvalidDBClusterStateFault",
            f"{disturbance.kind} needs Serverless v2 capacity in cluster {core.spec.id}",
        )
    return core


def _already(disturbance: OfCluster, core: Core) -> ApiError:
    return ApiError(
        "InvalidParameterCombination",
        f"{disturbance.kind} is in force for cluster {core.spec.id} already",
    )
