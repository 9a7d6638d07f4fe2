"""Tags of clusters and instances, which an ARN names."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.testcluster.api import describe
from chaos.testcluster.api.engine import Engine, Region
from chaos.testcluster.api.lookup import (
    Action,
    Result,
    named_cluster,
    named_instance,
    tags_by_key,
)
from chaos.testcluster.api.selection import Parameters, matching
from chaos.testcluster.identifiers import parse_arn
from chaos.testcluster.records import ApiError, InstanceRecord


def list_tags_for_resource(region: Region, parameters: Parameters) -> Result:
    """ListTagsForResource, of a cluster or an instance."""
    matching([], parameters.get("Filters", ()), {})
    engine, instance = _tagged(region, parameters["ResourceName"])
    return {"TagList": describe.tags((instance or engine.snapshot()).tags)}


def add_tags_to_resource(region: Region, parameters: Parameters) -> Result:
    """AddTagsToResource; a tag that is there already gets the new value."""
    engine, instance = _tagged(region, parameters["ResourceName"])
    add = tags_by_key(parameters["Tags"])
    engine.retag(instance.id if instance else None, add=add, remove=())
    return {}


def remove_tags_from_resource(region: Region, parameters: Parameters) -> Result:
    """RemoveTagsFromResource; a key that is not there is no error."""
    engine, instance = _tagged(region, parameters["ResourceName"])
    engine.retag(instance.id if instance else None, add={}, remove=parameters["TagKeys"])
    return {}


ACTIONS: Mapping[str, Action] = {
    "AddTagsToResource": add_tags_to_resource,
    "ListTagsForResource": list_tags_for_resource,
    "RemoveTagsFromResource": remove_tags_from_resource,
}


def _tagged(region: Region, name: str) -> tuple[Engine, InstanceRecord | None]:
    """Return the cluster, and the instance where an ARN names one."""
    match parse_arn(name):
        case ("cluster", identifier):
            return named_cluster(region, identifier), None
        case ("db", identifier):
            engine, _, instance = named_instance(region, identifier)
            return engine, instance
    raise ApiError("InvalidParameterValue", f"Invalid resource name: {name}")
