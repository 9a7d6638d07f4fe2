"""What may be ordered: engine versions, instance classes, certificate authorities.

There is one version of each engine, that of the PostgreSQL on this machine. Classes have AWS's names;
here they differ in the connections, the settings and the promotion order that go with their size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from chaos.testcluster.api.describe import CERTIFICATE_AUTHORITY
from chaos.testcluster.api.describe_standalone import find
from chaos.testcluster.api.engine import Region
from chaos.testcluster.api.lookup import Action, Result, named_instance
from chaos.testcluster.api.selection import Parameters, matching, page
from chaos.testcluster.parameters.offered import AURORA, POSTGRES, family_of
from chaos.testcluster.records import ApiError

ORDERABLE_MAX = 1000
CAPACITY_MAX_ACU = 256.0
STORAGE_GIB = {"gp2": (20, 65536), "gp3": (20, 65536), "io1": (100, 65536), "io2": (100, 65536)}

_ZONES = "abc"
_LARGE_TO = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")
_CLASSES: Mapping[str, tuple[str, ...]] = {
    "db.r6g": _LARGE_TO,
    "db.r6i": _LARGE_TO,
    "db.r7g": _LARGE_TO,
    "db.t3": ("medium", "large"),
    "db.t4g": ("medium", "large"),
}
_POSTGRES_CLASSES: Mapping[str, tuple[str, ...]] = {
    **_CLASSES,
    "db.m6g": _LARGE_TO,
    "db.m7g": _LARGE_TO,
    "db.t4g": ("micro", "small", "medium", "large", "xlarge", "2xlarge"),
}


class _Engine(NamedTuple):
    name: str
    description: str
    classes: tuple[str, ...]
    storage: tuple[str, ...]

    @property
    def is_aurora(self) -> bool:
        return self.name == AURORA


def _names(classes: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    return (f"{family}.{size}" for family, sizes in classes.items() for size in sizes)


ENGINES = (
    _Engine(
        AURORA,
        "Aurora (PostgreSQL)",
        ("db.serverless", *_names(_CLASSES)),
        ("aurora", "aurora-iopt1"),
    ),
    _Engine(POSTGRES, "PostgreSQL", tuple(_names(_POSTGRES_CLASSES)), tuple(STORAGE_GIB)),
)


def describe_db_engine_versions(region: Region, parameters: Parameters) -> Result:
    """DescribeDBEngineVersions."""
    versions = [_version(region, engine) for engine in ENGINES]
    for member in ("Engine", "EngineVersion", "DBParameterGroupFamily"):
        if member in parameters:
            versions = [v for v in versions if _fits(v, member, parameters[member])]
    found = matching(
        versions,
        parameters.get("Filters", ()),
        {
            "db-parameter-group-family": lambda v: (v["DBParameterGroupFamily"],),
            "engine": lambda v: (v["Engine"],),
            "engine-mode": lambda v: v["SupportedEngineModes"],
            "engine-version": lambda v: (v["EngineVersion"], v["MajorEngineVersion"]),
            "status": lambda v: (v["Status"],),
        },
    )
    shown, marker = page([(v["Engine"], v) for v in found], parameters)
    return {"DBEngineVersions": shown, "Marker": marker}


def describe_orderable_db_instance_options(region: Region, parameters: Parameters) -> Result:
    """DescribeOrderableDBInstanceOptions."""
    matching([], parameters.get("Filters", ()), {})
    options = [
        _option(region, engine, instance_class, storage)
        for engine in ENGINES
        if engine.name == parameters["Engine"]
        for instance_class in engine.classes
        for storage in engine.storage
    ]
    for member in ("EngineVersion", "DBInstanceClass", "LicenseModel", "Vpc"):
        if member in parameters:
            options = [option for option in options if option[member] == parameters[member]]
    if "AvailabilityZoneGroup" in parameters:
        options = [o for o in options if parameters["AvailabilityZoneGroup"] == region.name]
    keyed = [(f"{o['DBInstanceClass']} {o['StorageType']}", o) for o in options]
    shown, marker = page(keyed, parameters, most=ORDERABLE_MAX)
    return {"OrderableDBInstanceOptions": shown, "Marker": marker}


def describe_certificates(region: Region, parameters: Parameters) -> Result:
    """DescribeCertificates: the server's own authority, under the name of AWS's usual one."""
    matching([], parameters.get("Filters", ()), {})
    wanted = parameters.get("CertificateIdentifier", CERTIFICATE_AUTHORITY).lower()
    found = [_certificate(region)] if region.ca_file is not None else []
    if wanted != CERTIFICATE_AUTHORITY or not found:
        if "CertificateIdentifier" in parameters:
            raise ApiError("CertificateNotFound", f"Certificate not found: {wanted}")
        found = []
    shown, marker = page([(c["CertificateIdentifier"], c) for c in found], parameters)
    return {
        "DefaultCertificateForNewLaunches": CERTIFICATE_AUTHORITY,
        "Certificates": shown,
        "Marker": marker,
    }


def describe_valid_db_instance_modifications(region: Region, parameters: Parameters) -> Result:
    """DescribeValidDBInstanceModifications: no storage, for none of it can be changed here."""
    if find(region, parameters["DBInstanceIdentifier"]) is None:
        named_instance(region, parameters["DBInstanceIdentifier"])
    return {
        "ValidDBInstanceModificationsMessage": {
            "Storage": [],
            "ValidProcessorFeatures": [],
            "SupportsDedicatedLogVolume": False,
        }
    }


ACTIONS: Mapping[str, Action] = {
    "DescribeCertificates": describe_certificates,
    "DescribeDBEngineVersions": describe_db_engine_versions,
    "DescribeOrderableDBInstanceOptions": describe_orderable_db_instance_options,
    "DescribeValidDBInstanceModifications": describe_valid_db_instance_modifications,
}


def availability_zones(region: Region) -> list[dict[str, str]]:
    """Return a Region's zones as the API lists them."""
    return [{"Name": region.name + zone} for zone in _ZONES]


def _version(region: Region, engine: _Engine) -> dict[str, Any]:
    version = region.engine_version
    return {
        "Engine": engine.name,
        "EngineVersion": version,
        "MajorEngineVersion": version.partition(".")[0],
        "DBParameterGroupFamily": family_of(engine.name, version),
        "DBEngineDescription": engine.description,
        "DBEngineVersionDescription": f"{engine.description} {version}",
        "ValidUpgradeTarget": [],
        "ExportableLogTypes": ["postgresql"],
        "SupportsLogExportsToCloudwatchLogs": False,
        "SupportsReadReplica": not engine.is_aurora,
        "SupportedEngineModes": ["provisioned"],
        "SupportedFeatureNames": [],
        "SupportedCACertificateIdentifiers": [CERTIFICATE_AUTHORITY],
        "Status": "available",
        "SupportsParallelQuery": False,
        "SupportsGlobalDatabases": engine.is_aurora,
        "SupportsBabelfish": False,
        "SupportsLimitlessDatabase": False,
        "SupportsCertificateRotationWithoutRestart": False,
        "SupportsLocalWriteForwarding": False,
        "SupportsIntegrations": False,
        "TagList": [],
        "ServerlessV2FeaturesSupport": (
            {"MinCapacity": 0.0, "MaxCapacity": CAPACITY_MAX_ACU} if engine.is_aurora else None
        ),
    }


def _fits(version: Mapping[str, Any], member: str, wanted: str) -> bool:
    """Tell whether a version is asked for; a major one asks for all of its minor ones."""
    shown = version[member]
    return bool(shown == wanted or (member == "EngineVersion" and wanted == _major(shown)))


def _major(version: str) -> str:
    return version.partition(".")[0]


def _option(region: Region, engine: _Engine, instance_class: str, storage: str) -> dict[str, Any]:
    sizes = STORAGE_GIB.get(storage)
    return {
        "Engine": engine.name,
        "EngineVersion": region.engine_version,
        "DBInstanceClass": instance_class,
        "LicenseModel": "postgresql-license",
        "AvailabilityZoneGroup": region.name,
        "AvailabilityZones": availability_zones(region),
        "MultiAZCapable": not engine.is_aurora,
        "ReadReplicaCapable": not engine.is_aurora,
        "Vpc": True,
        "SupportsStorageEncryption": False,
        "StorageType": storage,
        "SupportsIops": False,
        "SupportsStorageThroughput": False,
        "SupportsEnhancedMonitoring": False,
        "SupportsIAMDatabaseAuthentication": True,
        "SupportsPerformanceInsights": False,
        "MinStorageSize": sizes[0] if sizes else None,
        "MaxStorageSize": sizes[1] if sizes else None,
        "AvailableProcessorFeatures": [],
        "SupportedEngineModes": ["provisioned"],
        "SupportsStorageAutoscaling": False,
        "SupportsKerberosAuthentication": False,
        "OutpostCapable": False,
        "SupportedActivityStreamModes": [],
        "SupportsGlobalDatabases": engine.is_aurora,
        "SupportedNetworkTypes": ["IPV4"],
        "SupportsClusters": engine.is_aurora,
        "SupportsDedicatedLogVolume": False,
        "SupportsHttpEndpoint": False,
    }


def _certificate(region: Region) -> dict[str, Any]:
    assert region.ca_file is not None
    certificate = x509.load_pem_x509_certificate(region.ca_file.read_bytes())
    return {
        "CertificateIdentifier": CERTIFICATE_AUTHORITY,
        "CertificateType": "CA",
        "Thumbprint": certificate.fingerprint(hashes.SHA1()).hex(),  # noqa: S303 - AWS's too
        "ValidFrom": certificate.not_valid_before_utc,
        "ValidTill": certificate.not_valid_after_utc,
        "CertificateArn": f"arn:aws:rds:{region.name}::cert:{CERTIFICATE_AUTHORITY}",
        "CustomerOverride": False,
    }
