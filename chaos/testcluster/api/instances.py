"""DB instances: making, describing, changing, rebooting and deleting them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaos.testcluster.api import describe, instance_requests
from chaos.testcluster.api.describe_standalone import db_instance, find
from chaos.testcluster.api.engine import Engine, Region
from chaos.testcluster.api.lookup import (
    Action,
    Result,
    named_cluster,
    named_instance,
)
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.identifiers import arn
from chaos.testcluster.records import ACCOUNT, ApiError, InstanceRecord


def describe_db_instances(region: Region, parameters: Parameters) -> Result:
    """DescribeDBInstances, of members of clusters and of stand-alone instances."""
    wanted = parameters.get("DBInstanceIdentifier")
    standalone = find(region, wanted) if wanted is not None else None
    if standalone is not None:
        shown = [db_instance(region, standalone)]
    elif wanted is not None:
        _, cluster, instance = named_instance(region, wanted)
        shown = [describe.db_instance(cluster, instance)]
    else:
        clusters = [engine.snapshot() for engine in region.clusters()]
        shown = [describe.db_instance(c, i) for c in clusters for i in c.instances]
        shown += [db_instance(region, s) for s in region.standalones.all()]
    found = matching(
        shown,
        parameters.get("Filters", ()),
        {
            "db-cluster-id": lambda i: _cluster_names(region, i),
            "db-instance-id": lambda i: (i["DBInstanceIdentifier"], i["DBInstanceArn"]),
            "dbi-resource-id": lambda i: (i["DbiResourceId"],),
            "domain": lambda _: (),
            "engine": lambda i: (i["Engine"],),
        },
    )
    answer, marker = page([(i["DBInstanceIdentifier"], i) for i in found], parameters)
    return {"DBInstances": answer, "Marker": marker}


def reboot_db_instance(region: Region, parameters: Parameters) -> Result:
    """RebootDBInstance; the answer already shows `rebooting`."""
    engine, _, instance = named_instance(region, parameters["DBInstanceIdentifier"])
    engine.reboot(instance.id, force_failover=parameters.get("ForceFailover", False))
    return _shown(engine, instance)


def create_db_instance(region: Region, parameters: Parameters) -> Result:
    """CreateDBInstance, of a member of a cluster."""
    if "DBClusterIdentifier" not in parameters:
        raise ApiError(
            "InvalidParameterCombination",
            "The test cluster offers only members of DB clusters; set DBClusterIdentifier.",
        )
    engine = named_cluster(region, parameters["DBClusterIdentifier"])
    spec = instance_requests.new_member(engine.snapshot(), parameters)
    region.require_free_instance(spec.id)
    engine.create_instance(spec)
    _, after, made = named_instance(region, spec.id)
    return {"DBInstance": describe.db_instance(after, made)}


def delete_db_instance(region: Region, parameters: Parameters) -> Result:
    """DeleteDBInstance; members of a cluster have no snapshots of their own."""
    engine, _, instance = named_instance(region, parameters["DBInstanceIdentifier"])
    if "FinalDBSnapshotIdentifier" in parameters:
        raise ApiError(
            "InvalidParameterCombination",
            "FinalDBSnapshotIdentifier can not be specified when deleting a cluster instance",
        )
    engine.delete_instance(instance.id)
    return _shown(engine, instance)


def modify_db_instance(region: Region, parameters: Parameters) -> Result:
    """ModifyDBInstance; a request for what is already so changes nothing."""
    engine, cluster, instance = named_instance(region, parameters["DBInstanceIdentifier"])
    changes = instance_requests.changes(cluster, instance, parameters)
    engine.modify_instance(instance.id, changes)
    return _shown(engine, instance)


def start_db_instance(region: Region, parameters: Parameters) -> Result:
    """StartDBInstance, which is not for members of a cluster."""
    raise _not_single(region, parameters)


def stop_db_instance(region: Region, parameters: Parameters) -> Result:
    """StopDBInstance, which is not for members of a cluster."""
    raise _not_single(region, parameters)


def promote_read_replica(region: Region, parameters: Parameters) -> Result:
    """PromoteReadReplica, which is not for members of a cluster."""
    _, _, instance = named_instance(region, parameters["DBInstanceIdentifier"])
    raise ApiError("InvalidDBInstanceState", f"DB Instance {instance.id} is not a read replica.")


ACTIONS: Mapping[str, Action] = {
    "CreateDBInstance": create_db_instance,
    "DeleteDBInstance": delete_db_instance,
    "DescribeDBInstances": describe_db_instances,
    "ModifyDBInstance": modify_db_instance,
    "PromoteReadReplica": promote_read_replica,
    "RebootDBInstance": reboot_db_instance,
    "StartDBInstance": start_db_instance,
    "StopDBInstance": stop_db_instance,
}


def _cluster_names(region: Region, instance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the identifier and the ARN of the cluster of a described instance."""
    cluster = instance.get("DBClusterIdentifier")
    return (cluster, arn(region.name, ACCOUNT, "cluster", cluster)) if cluster else ()


def _shown(engine: Engine, before: InstanceRecord) -> Result:
    """Describe an instance after a command, or as it was if the command has removed it already."""
    cluster = engine.snapshot()
    now = next((i for i in cluster.instances if i.id == before.id), before)
    return {"DBInstance": describe.db_instance(cluster, now)}


def _not_single(region: Region, parameters: Parameters) -> ApiError:
    """Return the refusal of what only an instance without a cluster can do."""
    _, cluster, _ = named_instance(region, parameters["DBInstanceIdentifier"])
    return ApiError(
        "InvalidParameterCombination",
        f"{cluster.engine} DB instances are not eligible for stopping and starting.",
    )
