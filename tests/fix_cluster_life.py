"""Clusters that boto3 makes in a served estate, and sessions on their instances."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from fix_control_plane import unique_id
from fix_rds_model import Served

from chaos.wait import wait_until

USER, SECRET, DATABASE = "postgres", "first-secret", "shop"


def create_cluster(served: Served, **more: Any) -> str:
    """Create a cluster without instances; return its identifier once it is available."""
    name = unique_id("life")
    made = served.rds.create_db_cluster(
        **{
            "DBClusterIdentifier": name.upper(),
            "Engine": "aurora-postgresql",
            "MasterUsername": USER,
            "MasterUserPassword": SECRET,
            "DatabaseName": DATABASE,
            "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4},
            **more,
        }
    )["DBCluster"]
    assert made["DBClusterIdentifier"] == name
    assert made["Status"] in {"creating", "available"}, "the latter where nobody ran for a while"
    assert made["DBClusterMembers"] == []
    served.await_available(name, 0)
    return name


def add_instance(served: Served, cluster: str, number: int, **more: Any) -> str:
    """Begin to create `CLUSTER-NUMBER`."""
    name = f"{cluster}-{number}"
    served.rds.create_db_instance(
        **{
            "DBInstanceIdentifier": name,
            "DBClusterIdentifier": cluster,
            "DBInstanceClass": "db.serverless",
            "Engine": "aurora-postgresql",
            **more,
        }
    )
    return name


def connect(
    served: Served, instance: str, secret: str = SECRET, **options: Any
) -> psycopg.Connection[Any]:
    """Open a session of the master user at an instance's address."""
    port = served.instance(instance)["Endpoint"]["Port"]
    return psycopg.connect(
        host=served.address(instance),
        autocommit=True,
        connect_timeout=30,
        **{"port": port, "user": USER, "password": secret, "dbname": DATABASE, **options},
    )


def event_ids(served: Served, source: str, kind: str = "db-cluster") -> list[str]:
    """Return the last four digits of each event about a cluster or (`db-instance`) an instance.

    That is once nothing goes on that may add to them: events follow a status.
    """
    region = served.estate.region("eu-west-1")
    wait_until(
        lambda: not any(cluster.core.busy for cluster in region.clusters()),
        "what goes on to end",
        timeout_s=60,
    )
    found = region.events()
    return [e.event_id[-4:] for e in found if (e.source_id, e.source_type) == (source, kind)]


def gone(served: Served, cluster: str) -> bool:
    """Tell whether the API knows no cluster of that identifier."""
    try:
        served.cluster(cluster)
    except served.rds.exceptions.DBClusterNotFoundFault:
        return True
    return False


@pytest.fixture
def created(served: Served) -> str:
    """The identifier of a cluster of the test's own, without instances."""
    return create_cluster(served)
