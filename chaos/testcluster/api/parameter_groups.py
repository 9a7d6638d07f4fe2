"""DB parameter groups and DB cluster parameter groups, which differ in little but their names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from chaos.testcluster.api.engine import Engine, Region
from chaos.testcluster.api.lookup import Action, Result, tags_by_key
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.identifiers import arn, bare
from chaos.testcluster.parameters.offered import (
    AURORA,
    DYNAMIC,
    FORCE_SSL,
    PARAMETERS,
    POSTGRES,
    Parameter,
    default_group,
    offered,
    require_family,
)
from chaos.testcluster.parameters.parameter_groups import (
    IMMEDIATE,
    PENDING_REBOOT,
    Change,
    Group,
    Level,
)
from chaos.testcluster.records import ACCOUNT, ApiError

DEFAULTS_ENGINE = {Level.CLUSTER: (AURORA,), Level.INSTANCE: (AURORA, POSTGRES)}


def create(level: Level, region: Region, parameters: Parameters) -> Result:
    """CreateDBParameterGroup, CreateDBClusterParameterGroup."""
    group = region.parameter_groups.create(
        region.name,
        Group(
            level=level,
            name=parameters[f"{level.words}Name"].lower(),
            family=parameters["DBParameterGroupFamily"].lower(),
            description=parameters["Description"],
            tags=tags_by_key(parameters.get("Tags", ())),
        ),
    )
    return {level.words: _described(region, group)}


def copy(level: Level, region: Region, parameters: Parameters) -> Result:
    """CopyDBParameterGroup, CopyDBClusterParameterGroup."""
    source = _group(region, level, parameters[f"Source{level.words}Identifier"])
    if source.is_default:
        raise ApiError("InvalidParameterValue", "A default parameter group cannot be copied.")
    group = region.parameter_groups.create(
        region.name,
        Group(
            level=level,
            name=parameters[f"Target{level.words}Identifier"].lower(),
            family=source.family,
            description=parameters[f"Target{level.words}Description"],
            values=source.values,
            methods=source.methods,
            tags=tags_by_key(parameters.get("Tags", ())),
        ),
    )
    return {level.words: _described(region, group)}


def describe(level: Level, region: Region, parameters: Parameters) -> Result:
    """DescribeDBParameterGroups, DescribeDBClusterParameterGroups."""
    matching([], parameters.get("Filters", ()), {})
    wanted = parameters.get(f"{level.words}Name")
    if wanted is not None:
        groups = [_group(region, level, wanted)]
    else:
        defaults = [
            region.parameter_groups.get(
                region.name, level, default_group(engine, region.engine_version)
            )
            for engine in DEFAULTS_ENGINE[level]
        ]
        groups = [*defaults, *region.parameter_groups.all(region.name, level)]
    shown, marker = page([(g.name, _described(region, g)) for g in groups], parameters)
    return {f"{level.words}s": shown, "Marker": marker}


def modify(level: Level, region: Region, parameters: Parameters) -> Result:
    """ModifyDBParameterGroup, ModifyDBClusterParameterGroup."""
    group = _group(region, level, parameters[f"{level.words}Name"])
    changes = []
    for given in parameters["Parameters"]:
        if "ParameterValue" not in given:
            raise ApiError(
                "InvalidParameterCombination",
                "The parameters ParameterName and ParameterValue must be provided.",
            )
        changes.append(_change(given, given["ParameterValue"]))
    _require_tls(region, changes)
    region.parameter_groups.change(region.name, level, group.name, changes)
    return _applied(region, group, changes)


def reset(level: Level, region: Region, parameters: Parameters) -> Result:
    """ResetDBParameterGroup, ResetDBClusterParameterGroup: all parameters, or those named."""
    group = _group(region, level, parameters[f"{level.words}Name"])
    named = parameters.get("Parameters", ())
    if named and parameters.get("ResetAllParameters"):
        raise ApiError(
            "InvalidParameterCombination",
            "ResetAllParameters cannot be given together with a list of Parameters.",
        )
    if named:
        changes = [_change(given, None) for given in named]
        region.parameter_groups.change(region.name, level, group.name, changes)
    else:
        changes = region.parameter_groups.reset(region.name, level, group.name)
    return _applied(region, group, changes)


def delete(level: Level, region: Region, parameters: Parameters) -> Result:
    """DeleteDBParameterGroup, DeleteDBClusterParameterGroup."""
    group = _group(region, level, parameters[f"{level.words}Name"])
    users = [user for c in region.clusters() for user in c.parameters.used_by(level, group.name)]
    users += [
        standalone.id
        for standalone in region.standalones.all()
        if standalone.parameters.used_by(level, group.name)
    ]
    region.parameter_groups.delete(region.name, level, group.name, users)
    return {}


def describe_parameters(level: Level, region: Region, parameters: Parameters) -> Result:
    """DescribeDBParameters, DescribeDBClusterParameters."""
    group = _group(region, level, parameters[f"{level.words}Name"])
    shown = [_parameter(p, group) for p in group.offered.values()]
    source = parameters.get("Source")
    found, marker = _listed([p for p in shown if source in {None, p["Source"]}], parameters)
    return {"Parameters": found, "Marker": marker}


def describe_defaults(level: Level, _: Region, parameters: Parameters) -> Result:
    """DescribeEngineDefaultParameters, DescribeEngineDefaultClusterParameters."""
    family = parameters["DBParameterGroupFamily"].lower()
    require_family(family)
    known = offered(family, cluster_level=level is Level.CLUSTER)
    found, marker = _listed([_parameter(p, None) for p in known.values()], parameters)
    defaults = {"DBParameterGroupFamily": family, "Parameters": found, "Marker": marker}
    return {"EngineDefaults": defaults}


ACTIONS: Mapping[str, Action] = {
    "CopyDBClusterParameterGroup": partial(copy, Level.CLUSTER),
    "CopyDBParameterGroup": partial(copy, Level.INSTANCE),
    "CreateDBClusterParameterGroup": partial(create, Level.CLUSTER),
    "CreateDBParameterGroup": partial(create, Level.INSTANCE),
    "DeleteDBClusterParameterGroup": partial(delete, Level.CLUSTER),
    "DeleteDBParameterGroup": partial(delete, Level.INSTANCE),
    "DescribeDBClusterParameterGroups": partial(describe, Level.CLUSTER),
    "DescribeDBClusterParameters": partial(describe_parameters, Level.CLUSTER),
    "DescribeDBParameterGroups": partial(describe, Level.INSTANCE),
    "DescribeDBParameters": partial(describe_parameters, Level.INSTANCE),
    "DescribeEngineDefaultClusterParameters": partial(describe_defaults, Level.CLUSTER),
    "DescribeEngineDefaultParameters": partial(describe_defaults, Level.INSTANCE),
    "ModifyDBClusterParameterGroup": partial(modify, Level.CLUSTER),
    "ModifyDBParameterGroup": partial(modify, Level.INSTANCE),
    "ResetDBClusterParameterGroup": partial(reset, Level.CLUSTER),
    "ResetDBParameterGroup": partial(reset, Level.INSTANCE),
}


def _databases(region: Region) -> list[Engine]:
    return [*region.clusters(), *region.standalones.all()]


def _group(region: Region, level: Level, name: str) -> Group:
    """Return a group, by name or ARN."""
    return region.parameter_groups.get(region.name, level, bare(name, level.value))


def _change(given: Mapping[str, Any], value: str | None) -> Change:
    name = given.get("ParameterName", "")
    known = PARAMETERS.get(name)
    usual = IMMEDIATE if known is None or known.apply_type == DYNAMIC else PENDING_REBOOT
    return Change(name, value, given.get("ApplyMethod", usual))


def _require_tls(region: Region, changes: Iterable[Change]) -> None:
    """Refuse to force what the servers do not have."""
    if region.ca_file is None and any(change[:2] == (FORCE_SSL, "1") for change in changes):
        raise ApiError(
            "InvalidParameterCombination",
            f"{FORCE_SSL} cannot be on: this PostgreSQL was built without TLS.",
        )


def _applied(region: Region, group: Group, changes: Iterable[Change]) -> Result:
    """Tell the clusters of a change, and answer it."""
    changes = list(changes)
    for database in _databases(region):
        database.parameters.changed(group.level, group.name, changes)
    return {f"{group.level.words}Name": group.name}


def _described(region: Region, group: Group) -> dict[str, Any]:
    words = group.level.words
    return {
        f"{words}Name": group.name,
        "DBParameterGroupFamily": group.family,
        "Description": group.description,
        f"{words}Arn": arn(region.name, ACCOUNT, group.level.value, group.name),
    }


def _listed(
    shown: Iterable[Mapping[str, Any]], parameters: Parameters
) -> tuple[list[Mapping[str, Any]], str | None]:
    found = matching(
        shown, parameters.get("Filters", ()), {"parameter-name": lambda p: (p["ParameterName"],)}
    )
    return page([(p["ParameterName"], p) for p in found], parameters)


def _parameter(parameter: Parameter, group: Group | None) -> dict[str, Any]:
    """Describe a parameter with its value in a group, or with the engine's default."""
    own = group is not None and parameter.name in group.values
    source = "engine-default" if parameter.default is None else "system"
    usual = PENDING_REBOOT if parameter.apply_type != DYNAMIC else IMMEDIATE
    return {
        "ParameterName": parameter.name,
        "ParameterValue": group.values[parameter.name] if group and own else parameter.default,
        "Description": parameter.description,
        "Source": "user" if own else source,
        "ApplyType": parameter.apply_type,
        "DataType": parameter.data_type,
        "AllowedValues": parameter.allowed or None,
        "IsModifiable": True,
        "ApplyMethod": group.methods[parameter.name] if group and own else usual,
        "SupportedEngineModes": ["provisioned"],
    }
