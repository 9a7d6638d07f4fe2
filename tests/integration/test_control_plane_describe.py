"""Describing clusters and instances: names, filters, pages; the answers' shapes."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from fix_control_plane import (
    CLUSTER_ARN,
    CREATE_INSTANCE,
    CREATED,
    READER,
    READER_ARN,
    ControlPlane,
    cluster_record,
)

from chaos.testcluster.records import (
    ApiError,
)


def test_a_cluster_is_described_where_clients_look(boto_rds: Any) -> None:
    (cluster,) = boto_rds.describe_db_clusters()["DBClusters"]
    assert cluster["DBClusterArn"] == CLUSTER_ARN
    assert cluster["Endpoint"] == "orders.cluster-abc123def456.eu-west-1.rds.amazonaws.com"
    assert cluster["ReaderEndpoint"] == "orders.cluster-ro-abc123def456.eu-west-1.rds.amazonaws.com"
    assert [m["IsClusterWriter"] for m in cluster["DBClusterMembers"]] == [True, False, False]
    assert cluster["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 0.5, "MaxCapacity": 8.0}
    assert cluster["TagList"] == [{"Key": "gameday", "Value": "allowed"}]
    assert cluster["ClusterCreateTime"] == CREATED
    assert cluster["MultiAZ"] is True
    assert (cluster["Port"], cluster["Status"]) == (5432, "available")


def test_an_instance_has_no_endpoint_until_it_is_created(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    made = boto_rds.create_db_instance(**CREATE_INSTANCE)["DBInstance"]
    assert made["DBInstanceStatus"] == "creating"
    assert "Endpoint" not in made
    (other,) = boto_rds.describe_db_instances(DBInstanceIdentifier=READER)["DBInstances"]
    assert other["Endpoint"]["Address"] == f"{READER}.abc123def456.eu-west-1.rds.amazonaws.com"
    assert other["Endpoint"]["Port"] == 5432


@pytest.mark.parametrize("name", ["orders", "ORDERS", CLUSTER_ARN])
def test_a_cluster_is_found_by_name_or_arn_in_any_case(boto_rds: Any, name: str) -> None:
    assert boto_rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]["Status"]
    by_filter = boto_rds.describe_db_clusters(Filters=[{"Name": "db-cluster-id", "Values": [name]}])
    assert len(by_filter["DBClusters"]) == 1


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([{"Name": "db-cluster-id", "Values": ["orders"]}], 3),
        ([{"Name": "db-cluster-id", "Values": [CLUSTER_ARN]}], 3),
        ([{"Name": "db-cluster-id", "Values": ["other"]}], 0),
        ([{"Name": "db-instance-id", "Values": [READER, "orders-instance-003"]}], 2),
        ([{"Name": "db-instance-id", "Values": [READER_ARN]}], 1),
        ([{"Name": "engine", "Values": ["aurora-postgresql"]}], 3),
        ([{"Name": "engine", "Values": ["mysql"]}], 0),
        ([{"Name": "domain", "Values": ["corp"]}], 0),
        (
            [
                {"Name": "db-cluster-id", "Values": ["orders"]},
                {"Name": "db-instance-id", "Values": [READER]},
            ],
            1,
        ),
    ],
)
def test_filters_choose_instances(boto_rds: Any, filters: list[dict[str, Any]], found: int) -> None:
    assert len(boto_rds.describe_db_instances(Filters=filters)["DBInstances"]) == found


def test_an_unknown_filter_is_refused(boto_rds: Any) -> None:
    with pytest.raises(ClientError, match="Unrecognized filter name: colour") as refused:
        boto_rds.describe_db_instances(Filters=[{"Name": "colour", "Values": ["red"]}])
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_pages_are_complete_and_without_repetition(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    control_plane.cluster.record = cluster_record(instances=47)
    pages = list(
        boto_rds.get_paginator("describe_db_instances").paginate(PaginationConfig={"PageSize": 20})
    )
    assert [len(page["DBInstances"]) for page in pages] == [20, 20, 7]
    ids = [instance["DBInstanceIdentifier"] for page in pages for instance in page["DBInstances"]]
    assert ids == sorted(ids)
    assert len(set(ids)) == 47


def test_a_page_after_a_deleted_instance_skips_nothing(
    control_plane: ControlPlane, boto_rds: Any
) -> None:
    control_plane.cluster.record = cluster_record(instances=30)
    first = boto_rds.describe_db_instances(MaxRecords=20)
    control_plane.cluster.delete_instance(first["DBInstances"][-1]["DBInstanceIdentifier"])
    second = boto_rds.describe_db_instances(MaxRecords=20, Marker=first["Marker"])
    assert second["DBInstances"][0]["DBInstanceIdentifier"] == "orders-instance-021"


@pytest.mark.parametrize(
    "parameters", [{"MaxRecords": 19}, {"MaxRecords": 101}, {"Marker": "not ours"}]
)
def test_wrong_paging_is_refused(boto_rds: Any, parameters: dict[str, Any]) -> None:
    with pytest.raises(ClientError) as refused:
        boto_rds.describe_db_clusters(**parameters)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


def test_unknown_names_raise_the_modelled_classes(boto_rds: Any) -> None:
    with pytest.raises(
        boto_rds.exceptions.DBClusterNotFoundFault, match="DBCluster nope not found"
    ) as f:
        boto_rds.describe_db_clusters(DBClusterIdentifier="nope")
    assert f.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    with pytest.raises(
        boto_rds.exceptions.DBInstanceNotFoundFault, match="DBInstance nope not found"
    ):
        boto_rds.describe_db_instances(DBInstanceIdentifier="nope")
    for call in (boto_rds.reboot_db_instance, boto_rds.delete_db_instance):
        with pytest.raises(boto_rds.exceptions.DBInstanceNotFoundFault):
            call(DBInstanceIdentifier="nope")
    for call in (boto_rds.failover_db_cluster, boto_rds.modify_db_cluster):
        with pytest.raises(boto_rds.exceptions.DBClusterNotFoundFault):
            call(DBClusterIdentifier="nope")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("InvalidDBClusterStateFault", "InvalidDBClusterStateFault"),
        ("InvalidDBInstanceState", "InvalidDBInstanceStateFault"),
        ("InvalidDBInstanceStateFault", "InvalidDBInstanceStateFault"),
    ],
)
def test_the_cluster_s_own_refusal_reaches_the_client(
    control_plane: ControlPlane, boto_rds: Any, code: str, name: str
) -> None:
    control_plane.cluster.refusal = ApiError(code, "not now")
    with pytest.raises(getattr(boto_rds.exceptions, name), match="not now"):
        boto_rds.failover_db_cluster(DBClusterIdentifier="orders")
