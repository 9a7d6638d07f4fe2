"""Serverless v2 bounds, through ModifyDBCluster."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from fix_control_plane import (
    ControlPlane,
)

from chaos.testcluster.records import (
    ClusterChanges,
    ServerlessBounds,
)


@pytest.mark.parametrize(
    ("scaling", "bounds"),
    [
        ({"MinCapacity": 1, "MaxCapacity": 64}, ServerlessBounds(min_acu=1, max_acu=64)),
        ({"MaxCapacity": 2.5}, ServerlessBounds(min_acu=0.5, max_acu=2.5)),
        ({"MinCapacity": 8}, ServerlessBounds(min_acu=8, max_acu=8)),
    ],
)
def test_capacity_changes_what_it_names_and_keeps_the_rest(
    control_plane: ControlPlane, boto_rds: Any, scaling: dict[str, float], bounds: ServerlessBounds
) -> None:
    boto_rds.modify_db_cluster(
        DBClusterIdentifier="orders", ServerlessV2ScalingConfiguration=scaling
    )
    assert control_plane.cluster.calls == [("modify", ClusterChanges(serverless=bounds))]


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({}, "InvalidParameterCombination"),
        ({"Port": 80}, "InvalidParameterValue"),
        ({"ServerlessV2ScalingConfiguration": {"MinCapacity": 0.3}}, "InvalidParameterValue"),
        ({"ServerlessV2ScalingConfiguration": {"MaxCapacity": 0.5}}, "InvalidParameterValue"),
        ({"ServerlessV2ScalingConfiguration": {"MaxCapacity": 256.5}}, "InvalidParameterValue"),
        ({"ServerlessV2ScalingConfiguration": {"MinCapacity": 9.0}}, "InvalidParameterValue"),
        (
            {"ServerlessV2ScalingConfiguration": {"MinCapacity": float("nan")}},
            "InvalidParameterValue",
        ),
        (
            {"ServerlessV2ScalingConfiguration": {"MinCapacity": 1, "SecondsUntilAutoPause": 300}},
            "InvalidParameterCombination",
        ),
    ],
)
def test_a_capacity_that_aurora_would_not_take_is_refused(
    control_plane: ControlPlane, boto_rds: Any, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        boto_rds.modify_db_cluster(DBClusterIdentifier="orders", **parameters)
    assert refused.value.response["Error"]["Code"] == code
    assert control_plane.cluster.calls == []
