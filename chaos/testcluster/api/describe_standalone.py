"""Stand-alone instances in the shape that RDS describes instances with."""

from __future__ import annotations

from typing import Any

from chaos.testcluster.api import describe
from chaos.testcluster.api.engine import Region
from chaos.testcluster.identifiers import arn, bare, parse_arn
from chaos.testcluster.parameters.offered import POSTGRES, default_group
from chaos.testcluster.parameters.parameter_state import GROUP_SETTING
from chaos.testcluster.records import ACCOUNT, ApiError
from chaos.testcluster.standalone.database import Standalone
from chaos.testcluster.standalone.records import StandaloneRecord

_WITHOUT_ENDPOINT = {"creating", "deleting", "failed"}


def find(region: Region, name: str) -> Standalone | None:
    """Return a stand-alone instance, by identifier or ARN; None where there is none."""
    parsed = parse_arn(name)
    if parsed is not None and parsed[0] != "db":
        return None
    return region.standalones.find(bare(name, "db"))


def require(region: Region, name: str) -> Standalone:
    """Return a stand-alone instance, by identifier or ARN.

    Raises:
        ApiError: DBInstanceNotFound.
    """
    found = find(region, name)
    if found is None:
        raise ApiError("DBInstanceNotFound", f"DBInstance {name} not found.")
    return found


def db_instance(region: Region, instance: Standalone) -> dict[str, Any]:
    """Return the `DBInstance` of the API; its zones follow a failover late."""
    record, settings = instance.record(), instance.spec.settings
    return {
        "DBInstanceIdentifier": record.id,
        "DBInstanceArn": arn(record.region, ACCOUNT, "db", record.id),
        "DbiResourceId": record.resource_id,
        "DBInstanceStatus": record.status,
        "DBInstanceClass": record.instance_class,
        "Engine": POSTGRES,
        "EngineVersion": record.engine_version,
        "MasterUsername": record.user,
        "DBName": record.database,
        "Endpoint": (
            None
            if record.status in _WITHOUT_ENDPOINT
            else {
                "Address": record.endpoint,
                "Port": record.port,
                "HostedZoneId": describe.HOSTED_ZONE,
            }
        ),
        "DbInstancePort": 0,  # AWS's answer too: the port is the endpoint's
        "AvailabilityZone": record.zone,
        "SecondaryAvailabilityZone": record.secondary_zone,
        "MultiAZ": record.multi_az,
        "InstanceCreateTime": None if record.status == "creating" else record.created_at,
        "TagList": describe.tags(record.tags),
        "DBParameterGroups": [
            {
                "DBParameterGroupName": settings.get(
                    GROUP_SETTING, default_group(POSTGRES, record.engine_version)
                ),
                "ParameterApplyStatus": record.parameter_status,
            }
        ],
        "ReadReplicaSourceDBInstanceIdentifier": record.source,
        "ReadReplicaDBInstanceIdentifiers": [r.id for r in region.standalones.replicas(instance)],
        "StatusInfos": _replication(record),
        "PendingModifiedValues": {
            "DBInstanceClass": record.pending.instance_class,
            "MultiAZ": record.pending.multi_az,
        },
        "AllocatedStorage": record.storage_gib,
        "BackupRetentionPeriod": settings.get("BackupRetentionPeriod", 1),
        "PreferredBackupWindow": settings.get("PreferredBackupWindow", describe.BACKUP_WINDOW),
        "StorageType": settings.get("StorageType", "gp2"),
        "DeletionProtection": settings.get("DeletionProtection", False),
        "StorageEncrypted": False,
        "IAMDatabaseAuthenticationEnabled": False,
        "CustomerOwnedIpEnabled": False,
        "DBSecurityGroups": [],
        "VpcSecurityGroups": [],
        "OptionGroupMemberships": [],
        "DomainMemberships": [],
        "AssociatedRoles": [],
        **{
            shown: settings.get(member, default)
            for member, (shown, default) in describe.KEPT_SETTINGS.items()
        },
    }


def _replication(record: StandaloneRecord) -> list[dict[str, Any]]:
    """Return the state of a read replica's replication; of others there is none."""
    if record.source is None or record.status == "creating":
        return []
    status = "replicating" if record.replicates else "stopped"
    return [
        {"StatusType": "read replication", "Normal": record.replicates, "Status": status},
    ]
