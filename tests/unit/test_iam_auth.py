"""A token opens the one door that it was made for, and only for a while."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import boto3
import pytest

from chaos.testcluster.security.iam_auth import (
    ACCESS_KEY,
    SECRET_KEY,
    Door,
    TokenRefused,
    require_valid,
)

REGION = "eu-west-1"
CLUSTER = "shop.cluster-cabc.eu-west-1.rds.amazonaws.com"
DOOR = Door(hosts={CLUSTER, "shop-1.cabc.eu-west-1.rds.amazonaws.com"}, port=5432, region=REGION)


def token(
    *,
    host: str = CLUSTER,
    port: int = 5432,
    user: str = "joe",
    region: str = REGION,
    key: tuple[str, str] = (ACCESS_KEY, SECRET_KEY),
    session: str | None = None,
) -> str:
    rds = boto3.client(
        "rds",
        region_name=region,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        aws_session_token=session,
    )
    made: str = rds.generate_db_auth_token(host, port, user)
    rds.close()
    return made


def instant(given: str, after_s: float = 0) -> datetime:
    """When a token was made, and so much later; of nonsense, any instant."""
    made = re.search(r"X-Amz-Date=(\w+)", given)
    text = made[1] if made else "20260101T000000Z"
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC) + timedelta(
        seconds=after_s
    )


def refusal(given: str, *, after_s: float = 0) -> str:
    with pytest.raises(TokenRefused) as refused:
        require_valid(given, "joe", DOOR, instant(given, after_s))
    return str(refused.value)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(token, id="the documented key"),
        pytest.param(lambda: token(host="shop-1.cabc.eu-west-1.rds.amazonaws.com"), id="instance"),
        pytest.param(lambda: token(key=("any", "any")), id="a key that nobody knows"),
        pytest.param(lambda: token(session="of a role/+="), id="temporary credentials"),
        pytest.param(lambda: token(host=CLUSTER.upper()), id="capital letters"),
        pytest.param(lambda: token().replace("/?", "?"), id="without a path, as some SDKs write"),
    ],
)
def test_the_token_of_an_sdk_opens_the_door(given: Callable[[], str]) -> None:
    made = given()
    for after_s in (0, 900):
        require_valid(made, "joe", DOOR, instant(made, after_s))


def test_users_need_no_plain_names() -> None:
    made = token(user="jöe & co+1")
    require_valid(made, "jöe & co+1", DOOR, instant(made))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (
            lambda: token(host="x.example.com"),
            "it is for x.example.com:5432, not for this instance",
        ),
        (lambda: token(port=5433), f"it is for {CLUSTER}:5433, not for this instance"),
        (lambda: token(user="ann"), "it is for user 'ann'"),
        (lambda: token(region="us-east-1"), "its credential is for "),
        (lambda: token(key=(ACCESS_KEY, "guessed")), "its signature is not that of "),
        (lambda: token().replace("Action=connect", "Action=drop"), "its action is 'drop'"),
        (lambda: token().replace("rds-db", "s3"), "its credential is for "),
        (lambda: token().replace("Expires=900", "Expires=90000"), "it wants to live 90000 s"),
        (lambda: token().replace("Expires=900", "Expires=soon"), "its times are none"),
        (lambda: token().replace("-HMAC-", "-NONE-"), "its algorithm is 'AWS4-NONE-SHA256'"),
        (lambda: token().replace("Headers=host", "Headers=date"), "its host is not signed"),
        (lambda: token().replace("/?", "/other?"), "its path is /other"),
        (lambda: token() + "&DBUser=ann", "a parameter is there twice"),
        (lambda: token()[:-64], "its signature is none"),
        (
            lambda: token().partition("&X-Amz-Signature")[0],
            "it is no token: X-Amz-Signature missing",
        ),
        (lambda: token()[:-1], "its signature is none"),
        (lambda: "a password", "it is no token: "),
        (lambda: "", "it is no token: "),
        (lambda: "[::1", "it is no token: "),
    ],
)
def test_another_token_does_not(given: Callable[[], str], why: str) -> None:
    assert refusal(given()).startswith(why)


def test_a_changed_token_does_not_have_its_signature() -> None:
    made = token(host="shop-1.cabc.eu-west-1.rds.amazonaws.com")
    assert refusal(made.replace("shop-1.cabc", "shop.cluster-cabc")).startswith("its signature")


def test_a_token_lives_for_a_quarter_of_an_hour() -> None:
    made = token()
    assert refusal(made, after_s=901).startswith("it has expired")
    assert refusal(made, after_s=-301).startswith("it is of the future")
