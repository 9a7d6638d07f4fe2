"""The Resource Groups Tagging API: the tagged resources of a Region, whatever their kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from chaos.testcluster.api import describe
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.selection import Parameters, following
from chaos.testcluster.identifiers import arn
from chaos.testcluster.parameters.parameter_groups import Level
from chaos.testcluster.records import ACCOUNT, ApiError

RESOURCES_MAX = 100
RESOURCES_DEFAULT = 50
KEYS_PAGE = 1_000

_REFUSED = ("IncludeComplianceDetails", "ExcludeCompliantResources", "TagsPerPage")

Result = Mapping[str, Any]


class Tagged(NamedTuple):
    """A resource; `kind` as in filters (`rds:cluster`)."""

    arn: str
    kind: str
    tags: Mapping[str, str]


def resources(region: Region) -> Iterator[Tagged]:
    """Yield everything in a Region that has at least one tag."""
    return (resource for resource in _everything(region) if resource.tags)


def _everything(region: Region) -> Iterator[Tagged]:
    def named(kind: str, identifier: str, tags: Mapping[str, str]) -> Tagged:
        return Tagged(arn(region.name, ACCOUNT, kind, identifier), f"rds:{kind}", tags)

    for engine in region.clusters():
        cluster = engine.snapshot()
        yield named("cluster", cluster.id, cluster.tags)
        for instance in cluster.instances:
            yield named("db", instance.id, instance.tags)
        for endpoint in cluster.custom_endpoints:
            yield named("cluster-endpoint", endpoint.id, endpoint.tags)
    for standalone in region.standalones.all():
        yield named("db", standalone.id, standalone.record().tags)
    for level in Level:
        for group in region.parameter_groups.all(region.name, level):
            yield named(level.value, group.name, group.tags)


def get_resources(region: Region, parameters: Parameters) -> Result:
    """GetResources, by tags, by kinds, or by ARNs."""
    refused = [name for name in _REFUSED if parameters.get(name)]
    if refused:
        raise _invalid(f"The test cluster does not offer {', '.join(refused)} in GetResources.")
    arns = parameters.get("ResourceARNList")
    if arns and any(parameters.get(name) for name in ("TagFilters", "ResourceTypeFilters")):
        raise _invalid("ResourceARNList cannot be given beside TagFilters or ResourceTypeFilters.")
    size = parameters.get("ResourcesPerPage", RESOURCES_DEFAULT)
    if not 1 <= size <= RESOURCES_MAX:
        raise _invalid(f"ResourcesPerPage must be between 1 and {RESOURCES_MAX}.")
    kinds = parameters.get("ResourceTypeFilters") or None
    found = (
        resource
        for resource in resources(region)
        if (not arns or resource.arn in arns)
        and (kinds is None or resource.kind in kinds or resource.kind.partition(":")[0] in kinds)
        and all(_has(resource.tags, condition) for condition in parameters.get("TagFilters", ()))
    )
    shown, token = _page(
        (
            (resource.arn, {"ResourceARN": resource.arn, "Tags": describe.tags(resource.tags)})
            for resource in found
        ),
        parameters,
        size,
    )
    return {"ResourceTagMappingList": shown, "PaginationToken": token}


def get_tag_keys(region: Region, parameters: Parameters) -> Result:
    """GetTagKeys."""
    keys = {key for resource in resources(region) for key in resource.tags}
    shown, token = _page(((key, key) for key in keys), parameters, KEYS_PAGE)
    return {"TagKeys": shown, "PaginationToken": token}


def get_tag_values(region: Region, parameters: Parameters) -> Result:
    """GetTagValues, of one key."""
    key = parameters["Key"]
    values = {resource.tags[key] for resource in resources(region) if key in resource.tags}
    shown, token = _page(((f"={value}", value) for value in values), parameters, KEYS_PAGE)
    return {"TagValues": shown, "PaginationToken": token}


TAGGING_OPERATIONS: Mapping[str, Callable[[Region, Parameters], Result]] = {
    "GetResources": get_resources,
    "GetTagKeys": get_tag_keys,
    "GetTagValues": get_tag_values,
}


def _has(tags: Mapping[str, str], condition: Mapping[str, Any]) -> bool:
    key = condition.get("Key")
    if key is None:
        raise _invalid("Every one of TagFilters must have a Key.")
    values = condition.get("Values", ())
    return key in tags and (not values or tags[key] in values)


def _page(
    items: Iterable[tuple[str, Any]], parameters: Parameters, size: int
) -> tuple[list[Any], str]:
    """Return one page, and the next page's token or '', as this API says that there is none."""
    try:
        shown, token = following(items, parameters.get("PaginationToken"), size)
    except ValueError as error:
        raise ApiError("PaginationTokenExpiredException", str(error)) from error
    return shown, token or ""


def _invalid(message: str) -> ApiError:
    return ApiError("InvalidParameterException", message)
