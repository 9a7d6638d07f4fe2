"""The AWS CLI, as it is installed, against a real cluster's control plane."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fix_server import LiveCluster

from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(20)

AWS = Path(sys.executable).parent / "aws"


@pytest.fixture
def aws(live: LiveCluster, plain_environment: dict[str, str], tmp_path: Path):  # noqa: ANN201
    """Run `aws rds ...` with nothing configured but a Region, an endpoint and dummy credentials."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, AWS, "rds", *arguments, "--endpoint-url", live.state.api_url],
            env={
                **plain_environment,
                "HOME": str(tmp_path),
                "AWS_ACCESS_KEY_ID": "any",
                "AWS_SECRET_ACCESS_KEY": "any",
                "AWS_DEFAULT_REGION": live.state.region,
                "AWS_DEFAULT_OUTPUT": "json",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_the_cli_describes_and_queries(aws) -> None:  # noqa: ANN001
    done = aws(
        "describe-db-clusters",
        "--db-cluster-identifier",
        "live",
        "--query",
        "DBClusters[0].[DBClusterIdentifier,Engine,length(DBClusterMembers)]",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["live", "aurora-postgresql", 3]


def test_the_cli_sees_the_modelled_error(aws) -> None:  # noqa: ANN001
    done = aws("failover-db-cluster", "--db-cluster-identifier", "nope")
    assert done.returncode in {254, 255}, "by version of the CLI"
    assert "(DBClusterNotFoundFault)" in done.stderr
    assert "DBCluster nope not found" in done.stderr


def test_the_cli_fails_a_cluster_over(aws, live: LiveCluster) -> None:  # noqa: ANN001
    target = next(i for i in live.instances() if i != live.api_writer())
    done = aws(
        *("failover-db-cluster", "--db-cluster-identifier", "live"),
        *("--target-db-instance-identifier", target),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["DBCluster"]["Status"] == "failing-over"
    live.await_available(members=3)
    assert live.api_writer() == target


def test_the_cli_makes_awaits_and_deletes_a_cluster(aws, live: LiveCluster) -> None:  # noqa: ANN001
    named = ("--db-cluster-identifier", "by-cli")
    made = aws(
        *("create-db-cluster", *named, "--engine", "aurora-postgresql"),
        *("--master-username", "boss", "--master-user-password", "a-secret-of-mine"),
        *("--serverless-v2-scaling-configuration", "MinCapacity=0.5,MaxCapacity=4"),
        *("--tags", "Key=gameday,Value=allowed", "--no-deletion-protection"),
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["DBCluster"]["Status"] in {"creating", "available"}

    def statuses() -> list[str]:
        found = live.rds.describe_db_clusters()["DBClusters"]
        return [c["Status"] for c in found if c["DBClusterIdentifier"] == "by-cli"]

    wait_until(lambda: statuses() == ["available"], "the cluster", timeout_s=30)
    # Each waits half a minute between two looks, so it is to be content with the first one.
    assert aws("wait", "db-cluster-available", *named).returncode == 0
    deleted = aws("delete-db-cluster", *named, "--skip-final-snapshot")
    assert deleted.returncode == 0, deleted.stderr
    wait_until(lambda: statuses() == [], "its end", timeout_s=30)
    assert aws("wait", "db-cluster-deleted", *named).returncode == 0
