"""EnableIAMDatabaseAuthentication and parameter groups, asked for when a cluster is made or changed."""

from __future__ import annotations

import psycopg
import pytest
from fix_cluster_life import add_instance, connect, create_cluster
from fix_rds_model import Served

from chaos.wait import wait_until

IAM = "IAMDatabaseAuthenticationEnabled"


def by_token(served: Served, instance: str) -> str:
    """Who came in with a fresh token as joe, or why not."""
    endpoint = served.instance(instance)["Endpoint"]
    token = served.rds.generate_db_auth_token(endpoint["Address"], endpoint["Port"], "joe")
    try:
        with connect(served, instance, token, user="joe", sslmode="require") as session:
            row = session.execute("SELECT current_user").fetchone()
    except psycopg.OperationalError as error:
        return str(error)
    assert row is not None
    return str(row[0])


def test_tokens_let_in_while_the_cluster_says_so(served: Served) -> None:
    template = served.estate.ground.template
    if not template.ldap or not template.tls:
        pytest.skip("THIS POSTGRESQL WAS BUILT WITHOUT LDAP OR OPENSSL: no token is ever judged")
    rds = served.rds
    name = create_cluster(served, EnableIAMDatabaseAuthentication=True)
    writer = add_instance(served, name, 1)
    served.await_available(name, 1)
    assert served.cluster(name)[IAM] is served.instance(writer)[IAM] is True
    with connect(served, writer) as session:
        session.execute("CREATE ROLE joe LOGIN")
        session.execute("GRANT rds_iam TO joe")
    assert by_token(served, writer) == "joe"

    waits = rds.modify_db_cluster(DBClusterIdentifier=name, EnableIAMDatabaseAuthentication=False)[
        "DBCluster"
    ]
    assert (waits["Status"], waits[IAM]) == ("available", True)
    assert waits["PendingModifiedValues"] == {IAM: False}
    assert by_token(served, writer) == "joe"
    applied = rds.modify_db_cluster(
        DBClusterIdentifier=name, BackupRetentionPeriod=2, ApplyImmediately=True
    )["DBCluster"]
    assert applied["Status"] in {"update-iam-db-auth", "available"}
    assert applied[IAM] is False
    served.await_available(name, 1)
    wait_until(
        lambda: "authentication failed" in by_token(served, writer),
        "tokens to let nobody in",
        timeout_s=60,
    )


def test_a_cluster_begins_with_the_parameter_group_that_it_is_created_with(served: Served) -> None:
    rds = served.rds
    family = f"aurora-postgresql{served.estate.ground.binaries.major}"
    rds.create_db_cluster_parameter_group(
        DBClusterParameterGroupName="short", DBParameterGroupFamily=family, Description="x"
    )
    rds.modify_db_cluster_parameter_group(
        DBClusterParameterGroupName="short",
        Parameters=[
            {
                "ParameterName": "statement_timeout",
                "ParameterValue": "12345",
                "ApplyMethod": "immediate",
            }
        ],
    )
    name = create_cluster(served, DBClusterParameterGroupName="short")
    writer = add_instance(served, name, 1)
    served.await_available(name, 1)
    assert served.cluster(name)["DBClusterParameterGroup"] == "short"
    with connect(served, writer) as session:
        assert session.execute("SHOW statement_timeout").fetchone() == ("12345ms",)
    default = f"default.{family}"
    rds.modify_db_cluster(DBClusterIdentifier=name, DBClusterParameterGroupName=default)
    shown = served.cluster(name)
    assert shown["DBClusterParameterGroup"] == default
    assert shown["DBClusterMembers"][0]["DBClusterParameterGroupStatus"] == "pending-reboot"
    rds.reboot_db_instance(DBInstanceIdentifier=writer)
    served.await_available(name, 1)
    with connect(served, writer) as session:
        assert session.execute("SHOW statement_timeout").fetchone() == ("0",)
