"""Endpoints of clusters: custom ones made, changed and deleted, and all of them described."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chaos.testcluster.api.engine import Engine, Region
from chaos.testcluster.api.lookup import Action, Result, named_cluster, tags_by_key
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.aurora.endpoint_changes import new_group, not_found
from chaos.testcluster.identifiers import arn, bare, checked
from chaos.testcluster.records import ApiError, ClusterRecord, EndpointRecord

ARN_KIND = "cluster-endpoint"


def create_db_cluster_endpoint(region: Region, parameters: Parameters) -> Result:
    """CreateDBClusterEndpoint."""
    engine = named_cluster(region, parameters["DBClusterIdentifier"])
    identifier = checked(parameters["DBClusterEndpointIdentifier"], "DBClusterEndpointIdentifier")
    if any(e.id == identifier for _, _, e in _custom(region)):
        raise ApiError(
            "DBClusterEndpointAlreadyExistsFault",
            f"DBClusterEndpoint {identifier} already exists",
        )
    group = new_group(
        parameters["EndpointType"].upper(),
        _instances(parameters, "StaticMembers"),
        _instances(parameters, "ExcludedMembers"),
    )
    engine.endpoints.create(identifier, group, tags_by_key(parameters.get("Tags", ())))
    return _shown(region, identifier, "creating")


def modify_db_cluster_endpoint(region: Region, parameters: Parameters) -> Result:
    """ModifyDBClusterEndpoint; the answer already shows `modifying`."""
    engine, _, endpoint = custom_endpoint(region, parameters["DBClusterEndpointIdentifier"])
    if len(parameters) == 1:
        raise ApiError("InvalidParameterCombination", "No modifications were requested")
    kind = parameters.get("EndpointType")
    static = _instances(parameters, "StaticMembers")
    excluded = _instances(parameters, "ExcludedMembers")
    engine.endpoints.modify(
        endpoint.id,
        lambda before: new_group(kind.upper() if kind else None, static, excluded, before),
    )
    return _shown(region, endpoint.id, "modifying")


def delete_db_cluster_endpoint(region: Region, parameters: Parameters) -> Result:
    """DeleteDBClusterEndpoint; the answer shows `deleting`."""
    engine, cluster, endpoint = custom_endpoint(region, parameters["DBClusterEndpointIdentifier"])
    engine.endpoints.delete(endpoint.id)
    return {**_described(cluster, endpoint), "Status": "deleting"}


def describe_db_cluster_endpoints(region: Region, parameters: Parameters) -> Result:
    """DescribeDBClusterEndpoints: the cluster endpoint, the reader endpoint and the custom ones."""
    wanted = parameters.get("DBClusterIdentifier")
    engines = [named_cluster(region, wanted)] if wanted is not None else region.clusters()
    found = [endpoint for engine in engines for endpoint in _all(engine.snapshot())]
    identifier = parameters.get("DBClusterEndpointIdentifier")
    if identifier is not None:
        name = bare(identifier, ARN_KIND)
        found = [e for e in found if e.get("DBClusterEndpointIdentifier") == name]
        if not found:
            raise not_found(name)
    found = matching(
        found,
        parameters.get("Filters", ()),
        {
            "db-cluster-endpoint-type": lambda e: (e["EndpointType"],),
            "db-cluster-endpoint-custom-type": lambda e: _values(e, "CustomEndpointType"),
            "db-cluster-endpoint-id": lambda e: _values(e, "DBClusterEndpointIdentifier"),
            "db-cluster-endpoint-status": lambda e: (e["Status"],),
        },
    )
    shown, marker = page([(e["Endpoint"], e) for e in found], parameters)
    return {"DBClusterEndpoints": shown, "Marker": marker}


ACTIONS: Mapping[str, Action] = {
    "CreateDBClusterEndpoint": create_db_cluster_endpoint,
    "DeleteDBClusterEndpoint": delete_db_cluster_endpoint,
    "DescribeDBClusterEndpoints": describe_db_cluster_endpoints,
    "ModifyDBClusterEndpoint": modify_db_cluster_endpoint,
}


def custom_endpoint(region: Region, name: str) -> tuple[Engine, ClusterRecord, EndpointRecord]:
    """Return a custom endpoint, by identifier or ARN, with its cluster.

    Raises:
        ApiError: DBClusterEndpointNotFoundFault.
    """
    wanted = bare(name, ARN_KIND)
    for engine, cluster, endpoint in _custom(region):
        if endpoint.id == wanted:
            return engine, cluster, endpoint
    raise not_found(wanted)


def _custom(region: Region) -> Iterator[tuple[Engine, ClusterRecord, EndpointRecord]]:
    for engine in region.clusters():
        cluster = engine.snapshot()
        for endpoint in cluster.custom_endpoints:
            yield engine, cluster, endpoint


def _all(cluster: ClusterRecord) -> Iterator[dict[str, Any]]:
    status = "creating" if cluster.status == "creating" else "available"
    built_in = ((cluster.cluster_endpoint, "WRITER"), (cluster.reader_endpoint, "READER"))
    for name, kind in built_in:
        yield {
            "DBClusterIdentifier": cluster.id,
            "Endpoint": name,
            # The writer's endpoint of a secondary is there, but not to be used.
            "Status": "inactive" if cluster.is_secondary and kind == "WRITER" else status,
            "EndpointType": kind,
        }
    for endpoint in cluster.custom_endpoints:
        yield _described(cluster, endpoint)


def _shown(region: Region, identifier: str, status: str) -> Result:
    """Describe an endpoint as it was when the request was accepted, however long ago that is."""
    _, cluster, endpoint = custom_endpoint(region, identifier)
    return {**_described(cluster, endpoint), "Status": status}


def _described(cluster: ClusterRecord, endpoint: EndpointRecord) -> dict[str, Any]:
    return {
        "DBClusterEndpointIdentifier": endpoint.id,
        "DBClusterIdentifier": cluster.id,
        "DBClusterEndpointResourceIdentifier": endpoint.resource_id,
        "Endpoint": endpoint.endpoint,
        "Status": endpoint.status,
        "EndpointType": "CUSTOM",
        "CustomEndpointType": endpoint.kind,
        "StaticMembers": list(endpoint.static_members),
        "ExcludedMembers": list(endpoint.excluded_members),
        "DBClusterEndpointArn": arn(cluster.region, cluster.account, ARN_KIND, endpoint.id),
    }


def _values(endpoint: Mapping[str, Any], member: str) -> tuple[str, ...]:
    return (endpoint[member],) if member in endpoint else ()


def _instances(parameters: Parameters, member: str) -> list[str] | None:
    """Return the identifiers of a list, None where the request does not have it."""
    given = parameters.get(member)
    return None if given is None else [bare(name, "db") for name in given]
