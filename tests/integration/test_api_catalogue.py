"""What may be ordered, through boto3 on an estate without clusters."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from fix_rds_model import Refused, Served


@pytest.fixture(scope="module")
def version(served: Served) -> str:
    found: str = served.estate.ground.binaries.version
    return found


def test_the_installed_version_is_the_one_that_is_offered_of_each_engine(
    served: Served, version: str
) -> None:
    major = version.partition(".")[0]
    found = served.rds.describe_db_engine_versions()["DBEngineVersions"]
    assert {v["Engine"]: v["EngineVersion"] for v in found} == {
        "aurora-postgresql": version,
        "postgres": version,
    }

    def engines(**wanted: Any) -> list[str]:
        answer = served.rds.describe_db_engine_versions(**wanted)
        return [v["Engine"] for v in answer["DBEngineVersions"]]

    assert engines(Engine="postgres", EngineVersion=major) == ["postgres"]
    assert engines(DBParameterGroupFamily=f"aurora-postgresql{major}") == ["aurora-postgresql"]
    assert engines(Engine="mysql") == []
    assert engines(EngineVersion="9.6.1") == []
    assert engines(Filters=[{"Name": "engine", "Values": ["postgres"]}]) == ["postgres"]
    assert len(engines(DefaultOnly=True)) == 2


def test_orderable_options_differ_by_engine_and_come_in_pages(served: Served, version: str) -> None:
    def options(engine: str, **wanted: Any) -> list[dict[str, Any]]:
        pages = served.rds.get_paginator("describe_orderable_db_instance_options").paginate(
            Engine=engine, PaginationConfig={"PageSize": 20}, **wanted
        )
        return [o for page in pages for o in page["OrderableDBInstanceOptions"]]

    aurora, postgres = options("aurora-postgresql"), options("postgres")
    assert len({(o["DBInstanceClass"], o["StorageType"]) for o in postgres}) == len(postgres) > 20
    assert {o["DBInstanceClass"] for o in aurora} - {o["DBInstanceClass"] for o in postgres} == {
        "db.serverless"
    }
    assert {o["MultiAZCapable"] for o in aurora} == {False}
    assert {o["MultiAZCapable"] for o in postgres} == {True}
    (one, other) = options("aurora-postgresql", DBInstanceClass="db.serverless")
    assert (one["StorageType"], other["StorageType"]) == ("aurora", "aurora-iopt1")
    assert [zone["Name"][-1] for zone in one["AvailabilityZones"]] == ["a", "b", "c"]
    assert options("postgres", EngineVersion="1.0") == []
    whole = served.rds.describe_orderable_db_instance_options(Engine="postgres", MaxRecords=1000)
    assert len(whole["OrderableDBInstanceOptions"]) == len(postgres)
    assert options("postgres", EngineVersion=version, Vpc=False) == []


def test_the_certificate_authority_is_the_one_that_signs_here(
    served: Served, refused: Refused
) -> None:
    ca_file = served.estate.security.ca_file
    if ca_file is None:
        assert served.rds.describe_certificates()["Certificates"] == []
        return
    (shown,) = served.rds.describe_certificates()["Certificates"]
    context = ssl.create_default_context(cafile=str(ca_file))
    (trusted,) = context.get_ca_certs()
    assert shown["ValidTill"].timestamp() == ssl.cert_time_to_seconds(str(trusted["notAfter"]))
    assert len(shown["Thumbprint"]) == 40
    name = shown["CertificateIdentifier"]
    found = served.rds.describe_certificates(CertificateIdentifier=name.upper())
    assert found["Certificates"] == [shown]
    refused("CertificateNotFound", served.rds.describe_certificates, CertificateIdentifier="x")


def test_a_member_of_a_cluster_has_no_storage_to_modify(served: Served, refused: Refused) -> None:
    served.start_cluster(id="one", readers=0)
    call = served.rds.describe_valid_db_instance_modifications
    shown = call(DBInstanceIdentifier="one-instance-1")["ValidDBInstanceModificationsMessage"]
    assert shown["Storage"] == []
    refused("DBInstanceNotFound", call, DBInstanceIdentifier="nobody")
