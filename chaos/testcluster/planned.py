"""What is planned for an account's databases: maintenance and blue/green deployments.

Nothing here is ever patched or deployed. These are shown and do nothing, for whoever has to notice them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """One pending action on a cluster or an instance."""

    region: str
    arn: str
    identifier: str
    is_cluster: bool
    action: str  # system-update, db-upgrade, ...
    description: str
    at: datetime
    """When it is applied by itself, in the maintenance window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One blue/green deployment; `target_arn` is of a database that does not exist."""

    region: str
    id: str  # bgd-...
    name: str
    source_arn: str
    target_arn: str
    status: str
    created_at: datetime


class Planned:
    """What is planned now, of all Regions; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._maintenance: tuple[Maintenance, ...] = ()
        self._deployments: tuple[Deployment, ...] = ()

    def maintenance(self, region: str) -> tuple[Maintenance, ...]:
        """Return the pending actions of a Region."""
        return tuple(one for one in self._maintenance if one.region == region)

    def deployments(self, region: str) -> tuple[Deployment, ...]:
        """Return the blue/green deployments of a Region."""
        return tuple(one for one in self._deployments if one.region == region)

    def plan_maintenance(self, maintenance: Maintenance) -> Callable[[], None]:
        """Show an action, and return what ends that."""
        with self._lock:
            self._maintenance = (*self._maintenance, maintenance)

        def end() -> None:
            with self._lock:
                self._maintenance = tuple(m for m in self._maintenance if m is not maintenance)

        return end

    def plan_deployment(self, deployment: Deployment) -> Callable[[], None]:
        """Show a deployment, and return what ends that."""
        with self._lock:
            self._deployments = (*self._deployments, deployment)

        def end() -> None:
            with self._lock:
                self._deployments = tuple(d for d in self._deployments if d is not deployment)

        return end
