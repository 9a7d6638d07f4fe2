"""What an operation names: clusters and instances by identifier or ARN; and what it may not name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from chaos.testcluster.api.engine import Engine, Region
from chaos.testcluster.api.selection import Parameters
from chaos.testcluster.identifiers import bare
from chaos.testcluster.records import ApiError, ClusterRecord, InstanceRecord

Result = Mapping[str, Any]
Action = Callable[[Region, Parameters], Result]


def named_cluster(region: Region, name: str) -> Engine:
    """Return the cluster that an identifier or an ARN names.

    Raises:
        ApiError: DBClusterNotFoundFault.
    """
    return region.cluster(bare(name, "cluster"))


def named_instance(region: Region, name: str) -> tuple[Engine, ClusterRecord, InstanceRecord]:
    """Return an instance, by identifier or ARN, with its cluster.

    Raises:
        ApiError: DBInstanceNotFound.
    """
    wanted = bare(name, "db")
    engine = region.cluster_of(wanted)
    cluster = engine.snapshot()
    for instance in cluster.instances:
        if instance.id == wanted:
            return engine, cluster, instance
    raise ApiError("DBInstanceNotFound", f"DBInstance {name} not found.")


def refuse(members: Collection[str], operation: str) -> None:
    """Refuse request members that would have no effect here.

    Raises:
        ApiError: InvalidParameterCombination, if there are any.
    """
    if members:
        raise ApiError(
            "InvalidParameterCombination",
            f"The test cluster does not offer {', '.join(sorted(members))} in {operation}.",
        )


def tags_by_key(given: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return tags by key; AWS takes one without a value as empty, and keeps `aws:` for itself.

    Raises:
        ApiError: InvalidParameterValue.
    """
    for tag in given:
        if not tag.get("Key") or tag["Key"].lower().startswith("aws:"):
            raise ApiError(
                "InvalidParameterValue",
                f"{tag.get('Key', '')!r} cannot be a tag's key: it must not be empty, nor begin "
                "with 'aws:'.",
            )
    return {tag["Key"]: tag.get("Value", "") for tag in given}
