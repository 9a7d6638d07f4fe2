"""What guards read of the AWS account around a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose credentials are in use: the account's twelve digits, and the ARN of user or role."""

    account: str
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceAction:
    """Maintenance that the service wants to carry out on a cluster or on one of its instances.

    `action` is the service's word: system-update, db-upgrade, hardware-maintenance,
    ca-certificate-rotation. `due_at` is the earliest instant at which it begins by itself, None
    while nobody has decided that.
    """

    resource_arn: str
    action: str
    description: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A blue/green deployment that a cluster is the source or the target of.

    `status` is the service's: PROVISIONING, AVAILABLE, SWITCHOVER_IN_PROGRESS,
    SWITCHOVER_COMPLETED, INVALID_CONFIGURATION, SWITCHOVER_FAILED, DELETING.
    """

    id: str
    name: str
    source_arn: str
    target_arn: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A CloudWatch alarm, of a metric or composite, and its state: OK, ALARM, INSUFFICIENT_DATA."""

    name: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyLever:
    """The FIS safety lever of a Region: disengaged, engaged, engaging; and why.

    Unless it is disengaged, nobody in the account may inject faults.
    """

    status: str
    reason: str

    @property
    def is_disengaged(self) -> bool:
        """Whether faults may be injected."""
        return self.status == "disengaged"
