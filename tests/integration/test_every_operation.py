"""Every operation of RDS is offered, or refused in words that tell what is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from fix_control_plane import rds_client
from fix_rds_model import Served
from rds_model import COMMON_ERRORS

from chaos.testcluster.api.account import ABSENT
from chaos.testcluster.api.actions import ACTIONS


@pytest.fixture(scope="module")
def careless(served: Served) -> Iterator[Any]:
    """A client that sends whatever it is told, required or not."""
    client = rds_client(
        served.url,
        config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def answer(client: Any, operation: str) -> str:
    """Return the code with which an operation without parameters is refused, empty if it is not."""
    method = next(m for m, name in client.meta.method_to_api_mapping.items() if name == operation)
    try:
        getattr(client, method)()
    except ClientError as error:
        message = error.response["Error"]["Message"]
        if error.response["Error"]["Code"] == "InvalidAction":
            assert f"does not offer {operation}" in message
            assert "DescribeDBClusters" in message, "it says what is offered"
        return str(error.response["Error"]["Code"])
    return ""


def test_each_operation_answers_with_a_modelled_error_or_as_it_should(careless: Any) -> None:
    model = careless.meta.service_model
    errors = [(shape.name, shape.metadata.get("error") or {}) for shape in model.error_shapes]
    modelled = {error.get("code", name) for name, error in errors}
    codes = {operation: answer(careless, operation) for operation in model.operation_names}
    assert len(codes) > 150
    refused = {operation for operation, code in codes.items() if code == "InvalidAction"}
    assert refused == set(codes) - set(ACTIONS)
    for operation in ACTIONS:
        code = codes[operation]
        assert code in modelled | COMMON_ERRORS | {""}, operation
        required = model.operation_model(operation).input_shape.required_members
        assert (code == "MissingParameter") == bool(required), (operation, code)


def test_what_there_is_none_of_is_an_empty_list_and_not_found_by_name(
    served: Served, careless: Any
) -> None:
    for operation, kind in ABSENT.items():
        method = next(
            m for m, name in served.rds.meta.method_to_api_mapping.items() if name == operation
        )
        assert getattr(served.rds, method)()[kind.result] == []
        if kind.named_by:
            with pytest.raises(ClientError) as refused:
                getattr(careless, method)(**{kind.named_by: "nobody"})
            assert refused.value.response["Error"]["Code"] == kind.error
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in {400, 404}


def test_an_account_knows_its_quotas_zones_and_categories(served: Served) -> None:
    rds = served.rds
    quotas = {q["AccountQuotaName"]: q for q in rds.describe_account_attributes()["AccountQuotas"]}
    assert quotas["DBClusters"] == {"AccountQuotaName": "DBClusters", "Used": 0, "Max": 40}
    (group,) = rds.describe_db_subnet_groups()["DBSubnetGroups"]
    zones = [subnet["SubnetAvailabilityZone"]["Name"] for subnet in group["Subnets"]]
    assert zones == ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    with pytest.raises(rds.exceptions.DBSubnetGroupNotFoundFault, match="other"):
        rds.describe_db_subnet_groups(DBSubnetGroupName="other")
    (of_clusters,) = rds.describe_event_categories(SourceType="db-cluster")[
        "EventCategoriesMapList"
    ]
    assert {"failover", "creation", "serverless"} <= set(of_clusters["EventCategories"])
    assert len(rds.describe_event_categories()["EventCategoriesMapList"]) == 8
    with pytest.raises(ClientError, match="Invalid source type: db-planet"):
        rds.describe_event_categories(SourceType="db-planet")
    assert rds.describe_pending_maintenance_actions()["PendingMaintenanceActions"] == []
    arn = "arn:aws:rds:eu-west-1:000000000000:cluster:nobody"
    for operation, more in (
        (rds.describe_pending_maintenance_actions, {}),
        (
            rds.apply_pending_maintenance_action,
            {"ApplyAction": "system-update", "OptInType": "immediate"},
        ),
    ):
        with pytest.raises(rds.exceptions.ResourceNotFoundFault, match="nobody"):
            operation(ResourceIdentifier=arn, **more)
