"""What a stand-alone instance is asked to be, and what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StandaloneSpec:
    """What CreateDBInstance and CreateDBInstanceReadReplica ask for."""

    id: str
    region: str
    instance_class: str
    user: str
    database: str | None = None  # None: only `postgres`
    port: int | None = None
    multi_az: bool = False
    availability_zone: str | None = None
    storage_gib: int = 20
    tags: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandaloneChanges:
    """What ModifyDBInstance asks for; None stays as it is."""

    instance_class: str | None = None
    multi_az: bool | None = None
    password: str | None = field(default=None, repr=False)
    settings: Mapping[str, object] = field(default_factory=dict)
    immediately: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StandaloneRecord:
    """One stand-alone instance as the API shows it, plus what only the control address shows."""

    id: str
    status: str
    region: str
    instance_class: str
    engine_version: str
    user: str
    database: str | None
    endpoint: str  # DNS name
    port: int
    storage_gib: int
    multi_az: bool
    zone: str | None
    secondary_zone: str | None
    created_at: datetime
    resource_id: str  # db-XXXXXXXX
    source: str | None  # of a read replica
    replicates: bool
    parameter_status: str
    pending: StandaloneChanges
    tags: Mapping[str, str]
    settings: Mapping[str, object]
    address: str | None  # the active node's, None while there is none
    pid: int | None
