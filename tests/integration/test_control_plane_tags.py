"""Tags of clusters and instances."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fix_control_plane import (
    CLUSTER_ARN,
    READER,
    READER_ARN,
    ControlPlane,
)


def test_tags_belong_to_a_resource(control_plane: ControlPlane, boto_rds: Any) -> None:
    cluster = control_plane.cluster
    cluster.record = replace(cluster.record, tags={"team": "payments", "empty": ""})
    assert boto_rds.list_tags_for_resource(ResourceName=CLUSTER_ARN)["TagList"] == [
        {"Key": "team", "Value": "payments"},
        {"Key": "empty", "Value": ""},
    ]
    assert boto_rds.list_tags_for_resource(ResourceName=READER_ARN)["TagList"] == [
        {"Key": "gameday", "Value": "allowed"}
    ]
    with pytest.raises(boto_rds.exceptions.DBInstanceNotFoundFault):
        boto_rds.list_tags_for_resource(ResourceName=READER_ARN + "x")
    with pytest.raises(ClientError, match="Invalid resource name"):
        boto_rds.list_tags_for_resource(ResourceName="orders")


def test_tags_are_changed_where_their_arn_says(control_plane: ControlPlane, boto_rds: Any) -> None:
    boto_rds.add_tags_to_resource(ResourceName=CLUSTER_ARN, Tags=[{"Key": "a"}])
    boto_rds.remove_tags_from_resource(ResourceName=READER_ARN, TagKeys=["gameday", "x"])
    assert control_plane.cluster.calls == [
        ("retag", (None, {"a": ""}, [])),
        ("retag", (READER, {}, ["gameday", "x"])),
    ]
    for key in ("", "aws:mine", "AWS:mine"):
        with pytest.raises(ClientError, match="cannot be a tag's key"):
            boto_rds.add_tags_to_resource(ResourceName=CLUSTER_ARN, Tags=[{"Key": key}])
