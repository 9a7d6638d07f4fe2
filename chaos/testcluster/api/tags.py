"""Tags of whatever an ARN names: (global) clusters, instances, custom endpoints, parameter groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from chaos.testcluster.api import describe
from chaos.testcluster.api.endpoints import ARN_KIND as ENDPOINT
from chaos.testcluster.api.endpoints import custom_endpoint
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import (
    Action,
    Result,
    named_cluster,
    named_instance,
    tags_by_key,
)
from chaos.testcluster.api.selection import Parameters, matching
from chaos.testcluster.identifiers import parse_arn
from chaos.testcluster.parameters.parameter_groups import Level
from chaos.testcluster.records import ApiError

Retag = Callable[..., None]
"""Changes a resource's tags: `retag(add={...}, remove=[...])`."""


def list_tags_for_resource(region: Region, parameters: Parameters) -> Result:
    """ListTagsForResource."""
    matching([], parameters.get("Filters", ()), {})
    tags, _ = _tagged(region, parameters["ResourceName"])
    return {"TagList": describe.tags(tags)}


def add_tags_to_resource(region: Region, parameters: Parameters) -> Result:
    """AddTagsToResource; a tag that is there already gets the new value."""
    _, retag = _tagged(region, parameters["ResourceName"])
    retag(add=tags_by_key(parameters["Tags"]), remove=())
    return {}


def remove_tags_from_resource(region: Region, parameters: Parameters) -> Result:
    """RemoveTagsFromResource; a key that is not there is no error."""
    _, retag = _tagged(region, parameters["ResourceName"])
    retag(add={}, remove=parameters["TagKeys"])
    return {}


ACTIONS: Mapping[str, Action] = {
    "AddTagsToResource": add_tags_to_resource,
    "ListTagsForResource": list_tags_for_resource,
    "RemoveTagsFromResource": remove_tags_from_resource,
}


def _tagged(region: Region, name: str) -> tuple[Mapping[str, str], Retag]:
    """Return the tags of what an ARN names, and what changes them."""
    match parse_arn(name):
        case ("cluster", identifier):
            engine = named_cluster(region, identifier)
            return engine.snapshot().tags, partial(engine.retag, None)
        case ("db", identifier) if (found := region.standalones.find(identifier)) is not None:
            return found.record().tags, partial(found.retag, None)
        case ("db", identifier):
            engine, _, instance = named_instance(region, identifier)
            return instance.tags, partial(engine.retag, instance.id)
        case (kind, identifier) if kind == ENDPOINT:
            engine, _, endpoint = custom_endpoint(region, identifier)
            return endpoint.tags, partial(engine.endpoints.retag, endpoint.id)
        case ("pg" | "cluster-pg" as kind, identifier):
            groups, level = region.parameter_groups, Level(kind)
            group = groups.get(region.name, level, identifier)
            return group.tags, partial(groups.retag, region.name, level, identifier)
        case ("global-cluster", identifier):
            worlds = region.global_clusters
            return worlds.get(identifier).tags, partial(worlds.retag, identifier)
    raise ApiError("InvalidParameterValue", f"Invalid resource name: {name}")
