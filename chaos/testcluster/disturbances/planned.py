"""What is planned for a cluster, so that whoever is to notice it before a fault can be tried."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from chaos.testcluster.disturbances.base import LONGEST_S, Ending
from chaos.testcluster.disturbances.commands import OfCluster
from chaos.testcluster.identifiers import arn
from chaos.testcluster.planned import Deployment, Maintenance
from chaos.testcluster.records import ACCOUNT

if TYPE_CHECKING:
    from chaos.testcluster.aurora.core import Core
    from chaos.testcluster.estate import Estate

_ID_LENGTH = 16


class PendingMaintenance(OfCluster):
    """DescribePendingMaintenanceActions shows an action on a cluster or an instance; it never comes."""

    kind: Literal["pending-maintenance"] = "pending-maintenance"
    instance: str | None = Field(None, description="An instance, instead of the cluster.")
    action: Literal[
        "system-update",
        "db-upgrade",
        "hardware-maintenance",
        "os-upgrade",
        "ca-certificate-rotation",
    ] = "system-update"
    in_s: float = Field(
        3600.0, ge=0, le=30 * LONGEST_S, description="Seconds until it would be applied by itself."
    )

    def begin(self, estate: Estate) -> Ending:
        """Show it.

        Raises:
            ApiError: there is no such cluster or instance.
        """
        core = self._core(estate)
        instance = self.instance.lower() if self.instance is not None else None
        if instance is not None and instance != core.spec.id:
            with core.lock:
                core.require_member(instance)
        is_cluster = instance is None and estate.database(core.spec.id).snapshot().is_cluster
        identifier = instance or core.spec.id
        return estate.ground.planned.plan_maintenance(
            Maintenance(
                region=core.spec.region,
                arn=arn(core.spec.region, ACCOUNT, "cluster" if is_cluster else "db", identifier),
                identifier=identifier,
                is_cluster=is_cluster,
                action=self.action,
                description=f"A {self.action} that the test cluster only shows",
                at=core.now() + timedelta(seconds=self.in_s),
            )
        )

    def _core(self, estate: Estate) -> Core:
        if self.instance is not None:
            return estate.cluster_of(self.instance.lower()).core
        return estate.database(self.cluster).core


class BlueGreenDeployment(OfCluster):
    """DescribeBlueGreenDeployments shows one of a cluster; its green side does not exist."""

    kind: Literal["blue-green-deployment"] = "blue-green-deployment"
    status: Literal[
        "PROVISIONING",
        "AVAILABLE",
        "SWITCHOVER_IN_PROGRESS",
        "SWITCHOVER_COMPLETED",
        "SWITCHOVER_FAILED",
        "INVALID_CONFIGURATION",
        "DELETING",
    ] = "AVAILABLE"

    def begin(self, estate: Estate) -> Ending:
        """Show it.

        Raises:
            ApiError: there is no such cluster.
        """
        database = estate.database(self.cluster)
        core, is_cluster = database.core, database.snapshot().is_cluster
        kind = "cluster" if is_cluster else "db"
        now = core.now()
        digits = hashlib.sha256(f"{core.hash} {core.spec.id} {now}".encode()).hexdigest()
        blue, green = (
            arn(core.spec.region, ACCOUNT, kind, identifier)
            for identifier in (core.spec.id, f"{core.spec.id}-green-{digits[:6]}")
        )
        return estate.ground.planned.plan_deployment(
            Deployment(
                region=core.spec.region,
                id=f"bgd-{digits[:_ID_LENGTH]}",
                name=f"{core.spec.id}-blue-green",
                source_arn=blue,
                target_arn=green,
                status=self.status,
                created_at=now,
            )
        )
