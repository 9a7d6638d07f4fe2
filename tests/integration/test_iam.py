"""Members of rds_iam connect with tokens as on RDS: SDK-made, over TLS, fresh, for this instance."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import boto3
import psycopg
import pytest
from botocore import auth
from fix_testcluster import NewCluster, Running

from chaos.testcluster.aurora.cluster_changes import IAM
from chaos.testcluster.records import ClusterChanges
from chaos.testcluster.security.iam_auth import ACCESS_KEY, SECRET_KEY
from chaos.wait import wait_until

REFUSED = 'LDAP authentication failed for user "joe"'


@pytest.fixture(scope="module", autouse=True)
def ldap(shared_cluster: Running) -> None:
    template = shared_cluster.estate.ground.template
    if not template.ldap or not template.tls:
        pytest.skip("THIS POSTGRESQL WAS BUILT WITHOUT LDAP OR OPENSSL: no token is ever judged")


@pytest.fixture(scope="module")
def joes(shared_cluster: Running) -> Running:
    """A cluster that lets tokens in, with a user who needs one and one who does not."""
    running = shared_cluster
    with running.connect(running.writer.address) as connection:
        connection.execute("CREATE ROLE joe LOGIN PASSWORD 'a password'")
        connection.execute("CREATE ROLE ann LOGIN PASSWORD 'a password'")
        connection.execute("GRANT rds_iam TO joe")
    change(running, enabled=True)
    for instance in running.record.instances:
        wait_until(
            lambda a=instance.address: REFUSED in entered(running, "x", address=a),  # type: ignore[misc]
            "tokens to be asked for",
            timeout_s=60,
        )
    return running


def change(running: Running, *, enabled: bool) -> None:
    running.cluster.modify(ClusterChanges(settings={IAM: enabled}, immediately=True))
    running.await_settled(60)


def token(running: Running, host: str, user: str = "joe", **options: str) -> str:
    region = options.get("region", running.record.region)
    rds = boto3.client(
        "rds",
        region_name=region,
        aws_access_key_id=options.get("key", "any"),
        aws_secret_access_key=options.get("secret", "any"),
    )
    made: str = rds.generate_db_auth_token(host, running.record.port, user)
    rds.close()
    return made


def entered(
    running: Running,
    password: str,
    *,
    address: str | None = None,
    user: str = "joe",
    **options: object,
) -> str:
    """Who came in, or why not."""
    where = address or running.writer.address
    wanted: dict[str, object] = {"sslmode": "require", "user": user, "password": password}
    try:
        with running.connect(where, **wanted | options) as connection:
            row = connection.execute("SELECT current_user").fetchone()
    except psycopg.OperationalError as error:
        return str(error)
    assert row is not None
    return str(row[0])


def test_a_token_lets_in_by_every_name_of_its_instance(joes: Running) -> None:
    record = joes.record
    for instance in record.instances:
        for name in (record.cluster_endpoint, record.reader_endpoint, instance.endpoint):
            assert entered(joes, token(joes, name), address=instance.address) == "joe"


def test_the_documented_key_lets_in_and_no_guess_of_its_secret(joes: Running) -> None:
    host = joes.record.cluster_endpoint
    assert entered(joes, token(joes, host, key=ACCESS_KEY, secret=SECRET_KEY)) == "joe"
    assert REFUSED in entered(joes, token(joes, host, key=ACCESS_KEY, secret="guessed"))


def test_the_token_of_the_aws_cli_lets_in(joes: Running, plain_environment: dict[str, str]) -> None:
    made = subprocess.run(
        [
            *(sys.executable, "-m", "awscli", "rds", "generate-db-auth-token"),
            *("--hostname", joes.record.cluster_endpoint, "--port", str(joes.record.port)),
            *("--username", "joe", "--region", joes.record.region),
        ],
        env=plain_environment
        | {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert entered(joes, made.stdout.strip()) == "joe"


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda r: "a password", id="the password"),
        pytest.param(lambda r: token(r, r.readers[0].endpoint), id="for another instance"),
        pytest.param(lambda r: token(r, "x.example.com"), id="for another host"),
        pytest.param(lambda r: token(r, r.record.cluster_endpoint, "ann"), id="for another user"),
        pytest.param(
            lambda r: token(r, r.record.cluster_endpoint, region="us-east-1"), id="another Region"
        ),
        pytest.param(lambda r: token(r, r.record.cluster_endpoint)[:-1], id="cut off"),
    ],
)
def test_nothing_else_does(joes: Running, made: Callable[[Running], str]) -> None:
    assert REFUSED in entered(joes, made(joes))


def test_a_token_lives_for_a_quarter_of_an_hour(
    joes: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = auth.get_current_datetime()
    for age_s, outcome in ((840, "joe"), (960, REFUSED), (-900, REFUSED)):
        made_at = now - timedelta(seconds=age_s)
        with monkeypatch.context() as patch:
            patch.setattr(auth, "get_current_datetime", lambda at=made_at, **_: at)
            made = token(joes, joes.record.cluster_endpoint)
        assert outcome in entered(joes, made)


def test_without_tls_members_are_not_asked_for_a_token(joes: Running) -> None:
    good = token(joes, joes.record.cluster_endpoint)
    assert "pg_hba.conf rejects connection" in entered(joes, good, sslmode="disable")


def test_others_have_their_passwords(joes: Running) -> None:
    assert entered(joes, "a password", user="ann") == "ann"
    assert entered(joes, "a password", user="ann", sslmode="disable") == "ann"
    made = token(joes, joes.record.cluster_endpoint, "ann")
    assert "password authentication failed" in entered(joes, made, user="ann")


def test_membership_decides_at_once(joes: Running) -> None:
    with joes.connect(joes.writer.address) as connection:
        connection.execute("CREATE ROLE eve LOGIN PASSWORD 'a password'")
        assert entered(joes, "a password", user="eve") == "eve"
        connection.execute("GRANT rds_iam TO eve")
        assert "LDAP authentication failed" in entered(joes, "a password", user="eve")
        made = token(joes, joes.record.cluster_endpoint, "eve")
        assert entered(joes, made, user="eve") == "eve"
        connection.execute("REVOKE rds_iam FROM eve")
        assert entered(joes, "a password", user="eve") == "eve"


def test_switched_off_members_have_their_passwords_again(new_cluster: NewCluster) -> None:
    running = new_cluster(readers=0)
    with running.connect(running.writer.address) as connection:
        connection.execute("CREATE ROLE joe LOGIN PASSWORD 'a password' IN ROLE rds_iam")
    assert entered(running, "a password") == "joe"
    change(running, enabled=True)
    wait_until(lambda: REFUSED in entered(running, "a password"), "tokens", timeout_s=60)
    change(running, enabled=False)
    wait_until(lambda: entered(running, "a password") == "joe", "passwords", timeout_s=60)
