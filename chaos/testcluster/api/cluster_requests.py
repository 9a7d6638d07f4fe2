"""What CreateDBCluster and ModifyDBCluster may ask for, by AWS's rules and in its words.

Messages are those that AWS's own answers were seen to have; limits are the service model's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chaos.testcluster.api import describe
from chaos.testcluster.api.lookup import refuse, tags_by_key
from chaos.testcluster.api.selection import Parameters
from chaos.testcluster.aurora.cloning import Origin
from chaos.testcluster.aurora.core import Core
from chaos.testcluster.identifiers import checked
from chaos.testcluster.records import (
    ApiError,
    ClusterChanges,
    ClusterRecord,
    ClusterSpec,
    ServerlessBounds,
)
from chaos.testcluster.serverless.bounds import completed, validate

ENGINE = "aurora-postgresql"
PORTS = range(1150, 65536)
RETENTION_DAYS = range(1, 36)
PASSWORD_LENGTHS = range(8, 100)

_USER = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_DATABASE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_PASSWORD = re.compile(r"[!-~]*")
_RESERVED_USERS = re.compile(r"(rds|pg_).*|admin|all|any|default|none|public|user")
_RESERVED_DATABASES = frozenset({"rdsadmin", "template0", "template1"})
_TIME = r"([01]\d|2[0-3]):[0-5]\d"
_DAY = r"(mon|tue|wed|thu|fri|sat|sun)"
_WINDOWS = {
    "PreferredBackupWindow": re.compile(f"{_TIME}-{_TIME}"),
    "PreferredMaintenanceWindow": re.compile(f"{_DAY}:{_TIME}-{_DAY}:{_TIME}", re.IGNORECASE),
}
_INHERITED = {
    "DatabaseName": "database name",
    "MasterUserPassword": "password",
    "MasterUsername": "user name",
}
_MULTI_AZ_CLUSTER = ("AllocatedStorage", "DBClusterInstanceClass", "Iops")
_CREATE = {
    "AvailabilityZones",
    "DBClusterParameterGroupName",
    "DBClusterIdentifier",
    "DatabaseName",
    "Engine",
    "EngineMode",
    "EngineVersion",
    "MasterUserPassword",
    "MasterUsername",
    "Port",
    "ServerlessV2ScalingConfiguration",
    "Tags",
}
_MODIFY = {
    "AllowMajorVersionUpgrade",
    "ApplyImmediately",
    "CloudwatchLogsExportConfiguration",
    "DBClusterIdentifier",
    "DBClusterParameterGroupName",
    "EngineVersion",
    "MasterUserPassword",
    "NewDBClusterIdentifier",
    "Port",
    "ServerlessV2ScalingConfiguration",
}


def new_cluster(parameters: Parameters, *, region: str, version: str) -> tuple[ClusterSpec, str]:
    """Return the cluster that CreateDBCluster asks for, and its master user's password.

    Raises:
        ApiError: as AWS refuses it, or as the test cluster does not offer it.
    """
    _require_offered(parameters, _CREATE, "CreateDBCluster")
    if parameters["Engine"] != ENGINE:
        raise ApiError(
            "InvalidParameterCombination",
            f"The test cluster offers DB clusters of {ENGINE}, not of {parameters['Engine']}.",
        )
    if parameters.get("EngineMode", "provisioned") != "provisioned":
        raise ApiError(
            "InvalidParameterCombination",
            f"The engine mode {parameters['EngineMode']} you requested is currently unavailable.",
        )
    asked = parameters.get("EngineVersion", version)
    if asked not in {version, version.partition(".")[0]}:
        raise ApiError(
            "InvalidParameterCombination",
            f"Cannot find version {asked} for {ENGINE}. The test cluster runs {version}.",
        )
    zones = {f"{region}{letter}" for letter in "abc"}
    if not set(parameters.get("AvailabilityZones", ())) <= zones:
        raise ApiError(
            "InvalidParameterValue",
            f"The Availability Zones of {region} are {', '.join(sorted(zones))}.",
        )
    scaling = parameters.get("ServerlessV2ScalingConfiguration")
    named = checked(parameters["DBClusterIdentifier"], "DBClusterIdentifier")
    spec = ClusterSpec(
        id=named,
        readers=0,
        region=region,
        port=database_port(parameters),
        serverless=bounds(None, scaling, named, version) if scaling else None,
        tags=tags_by_key(parameters.get("Tags", ())),
        user=master_user(parameters),
        database=database_name(parameters),
        parameter_group=parameters.get("DBClusterParameterGroupName"),
        settings=_settings(parameters),
    )
    return spec, master_password(_required(parameters, "MasterUserPassword"))


def secondary_cluster(
    parameters: Parameters, primary: Core, *, region: str, version: str
) -> tuple[ClusterSpec, str]:
    """Return the secondary that CreateDBCluster asks for: users and databases are the primary's.

    Raises:
        ApiError: as AWS refuses it, or as the test cluster does not offer it.
    """
    for member, what in _INHERITED.items():
        if member in parameters:
            raise ApiError(
                "InvalidParameterCombination",
                f"Cannot specify {what} for cross region replication cluster",
            )
    port = primary.foundation.port
    if parameters.get("Port", port) != port:
        raise ApiError(
            "InvalidParameterCombination",
            f"The members of a global cluster of the test cluster use one port, which is {port}.",
        )
    request = {**parameters, "Port": port}
    return _heir(request, primary.spec, primary.password, region=region, version=version)


def copied_cluster(
    parameters: Parameters, origin: Origin, *, region: str, version: str
) -> tuple[ClusterSpec, str]:
    """Return the cluster that a restore asks for: what it does not say is the source's.

    Raises:
        ApiError: as AWS refuses it, or as the test cluster does not offer it.
    """
    request = {"Engine": ENGINE, **parameters}
    spec, password = _heir(request, origin.spec, origin.password, region=region, version=version)
    given = origin.spec.settings
    return replace(
        spec,
        serverless=spec.serverless or origin.spec.serverless,
        parameter_group=spec.parameter_group or origin.spec.parameter_group,
        settings={
            **{name: value for name, value in given.items() if name != "DeletionProtection"},
            **spec.settings,
        },
    ), password


def _heir(
    request: Parameters, source: ClusterSpec, password: str, *, region: str, version: str
) -> tuple[ClusterSpec, str]:
    """Return a cluster with another one's users and databases."""
    spec, password = new_cluster(
        {**request, "MasterUsername": source.user, "MasterUserPassword": password},
        region=region,
        version=version,
    )
    return replace(spec, database=source.database), password


def changes(cluster: ClusterRecord, parameters: Parameters) -> ClusterChanges:
    """Return what ModifyDBCluster asks for.

    Raises:
        ApiError: as AWS refuses it, or as the test cluster does not offer it.
    """
    _require_offered(parameters, _MODIFY, "ModifyDBCluster")
    asked = parameters.get("EngineVersion", cluster.engine_version)
    if asked != cluster.engine_version:
        raise ApiError(
            "InvalidParameterCombination",
            f"Cannot upgrade {cluster.engine} from {cluster.engine_version} to {asked}: the test "
            "cluster runs the PostgreSQL that it was started with.",
        )
    scaling = parameters.get("ServerlessV2ScalingConfiguration")
    new = parameters.get("NewDBClusterIdentifier")
    new_id = checked(new, "NewDBClusterIdentifier") if new is not None else None
    password = parameters.get("MasterUserPassword")
    return ClusterChanges(
        new_id=None if new_id == cluster.id else new_id,
        port=None if parameters.get("Port") == cluster.port else database_port(parameters),
        password=master_password(password) if password is not None else None,
        serverless=(
            bounds(cluster.serverless, scaling, cluster.id, cluster.engine_version)
            if scaling
            else None
        ),
        parameter_group=parameters.get("DBClusterParameterGroupName"),
        settings={**_settings(parameters), **_log_exports(cluster, parameters)},
        immediately=parameters.get("ApplyImmediately", False),
    )


def bounds(
    before: ServerlessBounds | None, scaling: Mapping[str, Any], name: str, version: str
) -> ServerlessBounds:
    """Return the Serverless v2 bounds asked for; one that is not given stays as it is.

    Raises:
        ApiError: one is missing, or AWS refuses them.
    """
    found = completed(before, scaling, name)
    validate(found, engine_version=version)
    return found


def _require_offered(parameters: Parameters, known: set[str], operation: str) -> None:
    for member in _MULTI_AZ_CLUSTER:
        if member in parameters:
            raise ApiError(
                "InvalidParameterCombination",
                f"{member.replace('DBC', 'DbC')} isn't supported for DB engine {ENGINE}.",
            )
    # Switched off they are what the test cluster does anyway.
    off = {name for name, value in parameters.items() if value is False}
    refuse(set(parameters) - known - set(describe.KEPT_CLUSTER_SETTINGS) - off, operation)
    days = parameters.get("BackupRetentionPeriod", 1)
    if days not in RETENTION_DAYS:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid backup retention period: {days}. Must be between {RETENTION_DAYS[0]} and "
            f"{RETENTION_DAYS[-1]}.",
        )
    for member, pattern in _WINDOWS.items():
        if member in parameters and not pattern.fullmatch(parameters[member]):
            raise ApiError(
                "InvalidParameterValue", f"Invalid {member} format: {parameters[member]}"
            )


def _settings(parameters: Parameters) -> dict[str, object]:
    return {
        name: value for name, value in parameters.items() if name in describe.KEPT_CLUSTER_SETTINGS
    }


def _log_exports(cluster: ClusterRecord, parameters: Parameters) -> dict[str, object]:
    """Return which logs are exported after the change."""
    change = parameters.get("CloudwatchLogsExportConfiguration")
    if not change:
        return {}
    before: Any = cluster.settings.get("EnableCloudwatchLogsExports", ())
    off = change.get("DisableLogTypes", ())
    after = dict.fromkeys([*before, *change.get("EnableLogTypes", ())])
    return {"EnableCloudwatchLogsExports": [name for name in after if name not in off]}


def _required(parameters: Parameters, member: str) -> str:
    value: str = parameters.get(member, "")
    if not value:
        raise ApiError(
            "InvalidParameterValue",
            f"The parameter {member} must be provided and must not be blank.",
        )
    return value


def master_user(parameters: Parameters) -> str:
    """Return the master user that a request names.

    Raises:
        ApiError: AWS refuses it.
    """
    user = _required(parameters, "MasterUsername")
    if not _USER.fullmatch(user):
        raise ApiError("InvalidParameterValue", "Invalid master user name")
    if _RESERVED_USERS.fullmatch(user.lower()):
        raise ApiError(
            "InvalidParameterValue",
            f"MasterUsername {user} cannot be used as it is a reserved word used by the engine",
        )
    return user


def master_password(password: str) -> str:
    """Return a password that may be the master user's.

    Raises:
        ApiError: AWS refuses it.
    """
    wrong = "The parameter MasterUserPassword is not a valid password"
    if len(password) not in PASSWORD_LENGTHS:
        how = "shorter" if len(password) < PASSWORD_LENGTHS[0] else "longer"
        limit = PASSWORD_LENGTHS[0] if how == "shorter" else PASSWORD_LENGTHS[-1]
        raise ApiError(
            "InvalidParameterValue", f"{wrong} because it is {how} than {limit} characters."
        )
    if not _PASSWORD.fullmatch(password) or set(password) & set('/@"'):
        raise ApiError(
            "InvalidParameterValue",
            f"{wrong}. Only printable ASCII characters besides '/', '@', '\"', ' ' may be used.",
        )
    return password


def database_name(parameters: Parameters) -> str | None:
    """Return the first database that a request names, None for none.

    Raises:
        ApiError: AWS refuses it.
    """
    name: str | None = parameters.get("DatabaseName")
    if name is None:
        return None
    if not _DATABASE.fullmatch(name):
        raise ApiError(
            "InvalidParameterValue",
            "DatabaseName must begin with a letter and contain only alphanumeric characters.",
        )
    if name.lower() in _RESERVED_DATABASES:
        raise ApiError(
            "InvalidParameterValue",
            f"DatabaseName {name} cannot be used as it is a reserved word used by the engine",
        )
    return name


def database_port(parameters: Parameters) -> int | None:
    """Return the port that a request names, None for none.

    Raises:
        ApiError: AWS refuses it.
    """
    port: int | None = parameters.get("Port")
    if port is not None and port not in PORTS:
        raise ApiError(
            "InvalidParameterValue",
            f"Invalid database port {port}: it must be {PORTS[0]} to {PORTS[-1]}.",
        )
    return port
