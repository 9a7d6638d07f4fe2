"""Clusters that begin with the data of another one: clones, and restores to the present."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.testcluster.api import cluster_requests, describe
from chaos.testcluster.api.engine import Engine, Region
from chaos.testcluster.api.lookup import Action, Result, named_cluster
from chaos.testcluster.api.selection import Parameters
from chaos.testcluster.records import ApiError

RESTORE_TYPES = ("copy-on-write", "full-copy")
_OWN = {
    "RestoreType",
    "SourceDBClusterIdentifier",
    "SourceDbClusterResourceId",
    "UseLatestRestorableTime",
}


def restore_db_cluster_to_point_in_time(region: Region, parameters: Parameters) -> Result:
    """RestoreDBClusterToPointInTime, to the present: a clone, or a full copy; without instances."""
    kind = parameters.get("RestoreType", "full-copy")
    if kind not in RESTORE_TYPES:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid restore type {kind}. Valid values are {' and '.join(RESTORE_TYPES)}.",
        )
    if "RestoreToTime" in parameters:
        raise ApiError(
            "InvalidRestoreFault",
            "The test cluster keeps no history: it restores to the latest restorable time only. Set "
            "UseLatestRestorableTime instead of RestoreToTime.",
        )
    if kind == "full-copy" and not parameters.get("UseLatestRestorableTime"):
        raise ApiError(
            "InvalidParameterCombination",
            "Either RestoreToTime or UseLatestRestorableTime must be specified.",
        )
    origin = _source(region, parameters).origin()
    spec, password = cluster_requests.copied_cluster(
        {name: value for name, value in parameters.items() if name not in _OWN},
        origin,
        region=region.name,
        version=region.engine_version,
    )
    made = region.create_cluster(spec, password, origin=origin.node)
    return {"DBCluster": describe.db_cluster(made.snapshot())}


ACTIONS: Mapping[str, Action] = {
    "RestoreDBClusterToPointInTime": restore_db_cluster_to_point_in_time,
}


def _source(region: Region, parameters: Parameters) -> Engine:
    by_name = parameters.get("SourceDBClusterIdentifier")
    by_resource = parameters.get("SourceDbClusterResourceId")
    if (by_name is None) == (by_resource is None):
        raise ApiError(
            "InvalidParameterCombination",
            "Specify one of SourceDBClusterIdentifier and SourceDbClusterResourceId.",
        )
    if by_name is not None:
        return named_cluster(region, by_name)
    for cluster in region.clusters():
        if cluster.snapshot().resource_id == by_resource:
            return cluster
    raise ApiError("DBClusterNotFoundFault", f"DBCluster {by_resource} not found.")
