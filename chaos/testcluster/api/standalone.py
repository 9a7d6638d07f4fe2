"""DB instances of RDS for PostgreSQL; what names a cluster's member goes on to `instances`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.testcluster.api import describe, instances
from chaos.testcluster.api.catalogue import availability_zones
from chaos.testcluster.api.cluster_requests import (
    RETENTION_DAYS,
    database_name,
    database_port,
    master_password,
    master_user,
)
from chaos.testcluster.api.describe_standalone import db_instance, find, require
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import Action, Result, refuse, tags_by_key
from chaos.testcluster.api.selection import Parameters
from chaos.testcluster.identifiers import checked
from chaos.testcluster.parameters.offered import POSTGRES
from chaos.testcluster.records import ApiError
from chaos.testcluster.standalone.database import Standalone
from chaos.testcluster.standalone.modification import modify
from chaos.testcluster.standalone.records import StandaloneChanges, StandaloneSpec

STORAGE_MIN_GIB = 20
STORAGE_MAX_GIB = 65536

_KEPT = {
    "BackupRetentionPeriod",
    "DBParameterGroupName",
    "DeletionProtection",
    "PreferredBackupWindow",
    "StorageType",
    *describe.KEPT_SETTINGS,
}
_CREATE = {
    "AllocatedStorage",
    "AvailabilityZone",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBName",
    "Engine",
    "EngineVersion",
    "MasterUserPassword",
    "MasterUsername",
    "MultiAZ",
    "Port",
    "Tags",
}
_REPLICA = {
    "AvailabilityZone",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "MultiAZ",
    "SourceDBInstanceIdentifier",
    "SourceRegion",
    "Tags",
}
_MODIFY = {
    "ApplyImmediately",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "MasterUserPassword",
    "MultiAZ",
}


def create_db_instance(region: Region, parameters: Parameters) -> Result:
    """CreateDBInstance, with engine `postgres` and without a cluster."""
    if parameters["Engine"] != POSTGRES or "DBClusterIdentifier" in parameters:
        return instances.create_db_instance(region, parameters)
    refuse(set(parameters) - _CREATE - _KEPT, "CreateDBInstance")
    version = parameters.get("EngineVersion", region.engine_version)
    if version not in {region.engine_version, region.engine_version.partition(".")[0]}:
        raise ApiError(
            "InvalidParameterCombination",
            f"Cannot find version {version} for {POSTGRES}; the test cluster has "
            f"{region.engine_version}.",
        )
    storage = parameters.get("AllocatedStorage")
    if storage is None:
        raise ApiError(
            "MissingParameter", "The request must contain the parameter AllocatedStorage."
        )
    if not STORAGE_MIN_GIB <= storage <= STORAGE_MAX_GIB:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid storage size for engine name {POSTGRES}: {storage}; it must be "
            f"{STORAGE_MIN_GIB} to {STORAGE_MAX_GIB} GiB.",
        )
    spec = StandaloneSpec(
        **_common(region, parameters),
        user=master_user(parameters),
        database=database_name({"DatabaseName": parameters.get("DBName")}),
        port=database_port(parameters),
        storage_gib=storage,
    )
    password = master_password(_required(parameters, "MasterUserPassword"))
    region.require_free_instance(spec.id)
    return _shown(region, region.standalones.create(spec, password))


def create_db_instance_read_replica(region: Region, parameters: Parameters) -> Result:
    """CreateDBInstanceReadReplica, in the source's Region."""
    refuse(set(parameters) - _REPLICA - _KEPT, "CreateDBInstanceReadReplica")
    if parameters.get("MultiAZ"):
        raise ApiError(
            "InvalidParameterCombination", "The test cluster does not offer Multi-AZ read replicas."
        )
    source = require(region, _required(parameters, "SourceDBInstanceIdentifier"))
    before = source.record()
    given = {"DBInstanceClass": before.instance_class, **parameters}
    spec = StandaloneSpec(
        **_common(region, given),
        user=before.user,
        database=before.database,
        port=before.port,
        storage_gib=before.storage_gib,
    )
    region.require_free_instance(spec.id)
    return _shown(region, region.standalones.create(spec, source.core.password, source))


def delete_db_instance(region: Region, parameters: Parameters) -> Result:
    """DeleteDBInstance."""
    found = find(region, parameters["DBInstanceIdentifier"])
    if found is None:
        return instances.delete_db_instance(region, parameters)
    skipped = parameters.get("SkipFinalSnapshot", False)
    final = parameters.get("FinalDBSnapshotIdentifier")
    if found.source is None and not skipped and final is None:
        raise ApiError(
            "InvalidParameterCombination",
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
        )
    if final is not None:
        raise ApiError(
            "InvalidParameterCombination",
            "The test cluster has no snapshots; set SkipFinalSnapshot instead of "
            "FinalDBSnapshotIdentifier.",
        )
    region.standalones.delete(found)
    return _shown(region, found)


def modify_db_instance(region: Region, parameters: Parameters) -> Result:
    """ModifyDBInstance."""
    found = find(region, parameters["DBInstanceIdentifier"])
    if found is None:
        return instances.modify_db_instance(region, parameters)
    refuse(set(parameters) - _MODIFY - _KEPT, "ModifyDBInstance")
    password = parameters.get("MasterUserPassword")
    modify(
        found,
        StandaloneChanges(
            instance_class=_class(parameters) if "DBInstanceClass" in parameters else None,
            multi_az=parameters.get("MultiAZ"),
            password=master_password(password) if password is not None else None,
            settings=_settings(parameters),
            immediately=parameters.get("ApplyImmediately", False),
        ),
    )
    return _shown(region, found)


def reboot_db_instance(region: Region, parameters: Parameters) -> Result:
    """RebootDBInstance, perhaps by a failover."""
    found = find(region, parameters["DBInstanceIdentifier"])
    if found is None:
        return instances.reboot_db_instance(region, parameters)
    found.reboot(found.id, force_failover=parameters.get("ForceFailover", False))
    return _shown(region, found)


def promote_read_replica(region: Region, parameters: Parameters) -> Result:
    """PromoteReadReplica."""
    found = find(region, parameters["DBInstanceIdentifier"])
    if found is None:
        return instances.promote_read_replica(region, parameters)
    refuse(set(parameters) - {"DBInstanceIdentifier"} - _KEPT, "PromoteReadReplica")
    found.promote()
    found.put_settings(_settings(parameters))
    return _shown(region, found)


def stop_db_instance(region: Region, parameters: Parameters) -> Result:
    """StopDBInstance, neither of a replica nor of what is replicated."""
    found = find(region, parameters["DBInstanceIdentifier"])
    if found is None:
        return instances.stop_db_instance(region, parameters)
    refuse(set(parameters) - {"DBInstanceIdentifier"}, "StopDBInstance")
    found.require_available()
    if found.source is not None or region.standalones.replicas(found):
        raise ApiError(
            "InvalidDBInstanceState",
            f"Cannot stop or start instance {found.id}: it is a read replica, or has read replicas.",
        )
    found.stop()
    return _shown(region, found)


def start_db_instance(region: Region, parameters: Parameters) -> Result:
    """StartDBInstance."""
    found = find(region, parameters["DBInstanceIdentifier"])
    if found is None:
        return instances.start_db_instance(region, parameters)
    if found.status != "stopped":
        raise ApiError(
            "InvalidDBInstanceState",
            f"Instance {found.id} cannot be started as it is not in one of the following statuses: "
            "'stopped, inaccessible-encryption-credentials-recoverable'.",
        )
    found.start()
    return _shown(region, found)


ACTIONS: Mapping[str, Action] = {
    "CreateDBInstance": create_db_instance,
    "CreateDBInstanceReadReplica": create_db_instance_read_replica,
    "DeleteDBInstance": delete_db_instance,
    "ModifyDBInstance": modify_db_instance,
    "PromoteReadReplica": promote_read_replica,
    "RebootDBInstance": reboot_db_instance,
    "StartDBInstance": start_db_instance,
    "StopDBInstance": stop_db_instance,
}


def _common(region: Region, parameters: Parameters) -> dict[str, Any]:
    """Return the fields that new instances and new replicas have alike."""
    zone = parameters.get("AvailabilityZone")
    zones = [zone_["Name"] for zone_ in availability_zones(region)]
    if zone is not None and parameters.get("MultiAZ"):
        raise ApiError(
            "InvalidParameterCombination",
            "Requesting a specific availability zone is not valid for Multi-AZ instances.",
        )
    if zone is not None and zone not in zones:
        raise ApiError(
            "InvalidParameterValue", f"Invalid Availability Zone {zone}: there are {zones}."
        )
    return {
        "id": checked(parameters["DBInstanceIdentifier"], "DBInstanceIdentifier"),
        "region": region.name,
        "instance_class": _class(parameters),
        "multi_az": parameters.get("MultiAZ", False),
        "availability_zone": zone,
        "tags": tags_by_key(parameters.get("Tags", ())),
        "settings": _settings(parameters),
    }


def _class(parameters: Parameters) -> str:
    name: str = parameters["DBInstanceClass"]
    if not name.startswith("db.") or name == "db.serverless":
        raise ApiError("InvalidParameterValue", f"Invalid DB Instance class: {name}")
    return name


def _settings(parameters: Parameters) -> dict[str, object]:
    days = parameters.get("BackupRetentionPeriod", 0)
    if days != 0 and days not in RETENTION_DAYS:
        raise ApiError(
            "InvalidParameterValue", f"Invalid backup retention period {days}: it must be 0 to 35."
        )
    return {name: value for name, value in parameters.items() if name in _KEPT}


def _required(parameters: Parameters, member: str) -> str:
    if member not in parameters:
        raise ApiError("MissingParameter", f"The request must contain the parameter {member}.")
    value: str = parameters[member]
    return value


def _shown(region: Region, instance: Standalone) -> Result:
    return {"DBInstance": db_instance(region, instance)}
