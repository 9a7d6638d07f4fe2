"""How requests are sent: again only when throttled, told to listeners, without secrets in errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions
from botocore.exceptions import ClientError
from botocore.retries import standard
from fix_aws import ACCESS, Stubs
from fix_rds import VirtualClock

from chaos.aws import sending
from chaos.aws.clients import ApiAccess, Clients
from chaos.aws.rds import ControlPlane
from chaos.aws.refusals import REFUSED_CREDENTIALS, errors_of
from chaos.errors import ControlPlaneError


def refused(stubs: Stubs, code: str, status: int = 400) -> None:
    stubs("rds").add_client_error(
        "reboot_db_instance", code, "no", status, response_meta={"RequestId": "r-1"}
    )


@pytest.mark.parametrize(("code", "status"), [("Throttling", 400), ("Odd", 429), ("SlowDown", 503)])
def test_a_throttled_request_is_sent_again_later(
    plane: ControlPlane, stubs: Stubs, clock: VirtualClock, code: str, status: int
) -> None:
    calls: list[Any] = []
    plane.on_call(calls.append)
    refused(stubs, code, status)
    refused(stubs, code, status)
    stubs("rds").add_response("reboot_db_instance", {"ResponseMetadata": {"RequestId": "r-2"}})
    plane.reboot("i1")
    (call,) = calls
    assert (call.attempts, call.request_id, call.error_code) == (3, "r-2", None)
    assert call.duration_s == clock.now_ns() / 1e9 > 0


def test_a_service_that_keeps_throttling_is_given_up_in_bounded_time(
    plane: ControlPlane, stubs: Stubs, clock: VirtualClock
) -> None:
    for _ in range(sending.ATTEMPTS_MAX):
        refused(stubs, "ThrottlingException")
    with pytest.raises(ControlPlaneError, match="ThrottlingException") as raised:
        plane.reboot("i1")
    assert not raised.value.permanent
    assert clock.now_ns() < 20e9


def test_all_that_botocore_calls_throttling_is_throttling_here() -> None:
    checker = standard.ThrottledRetryableChecker()
    assert set(checker._throttled_error_codes) <= sending._THROTTLED


@pytest.mark.parametrize(
    ("code", "status"), [("InternalFailure", 500), ("ServiceUnavailable", 503)]
)
def test_no_other_refusal_is_sent_again(
    plane: ControlPlane, stubs: Stubs, code: str, status: int
) -> None:
    calls: list[Any] = []
    plane.on_call(calls.append)
    refused(stubs, code, status)
    with pytest.raises(ControlPlaneError, match=code):
        plane.reboot("i1")
    (call,) = calls
    assert (call.attempts, call.request_id, call.error_code) == (1, "r-1", code)
    assert (call.service, call.region, call.operation, call.changes) == (
        "rds",
        "eu-west-1",
        "RebootDBInstance",
        True,
    )
    assert call.parameters == {"DBInstanceIdentifier": "i1"}


def test_reads_are_told_and_counted_and_are_no_changes(plane: ControlPlane, stubs: Stubs) -> None:
    calls: list[Any] = []
    changes: list[Any] = []
    plane.on_call(calls.append)
    plane.on_change(changes.append)
    stubs.describe()
    stubs("rds").add_client_error("describe_db_clusters", "InternalFailure", "no", 500)
    plane.topology()
    with pytest.raises(ControlPlaneError):
        plane.topology()
    assert [(c.operation, c.changes, c.error_code) for c in calls] == [
        ("DescribeDBClusters", False, None),
        ("DescribeDBInstances", False, None),
        ("DescribeDBClusters", False, "InternalFailure"),
    ]
    assert plane.reads() == {"DescribeDBClusters": 2, "DescribeDBInstances": 1}
    assert changes == []


def test_a_list_without_an_end_is_an_error(
    plane: ControlPlane, stubs: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "PAGES_MAX", 3)
    for number in range(3):
        page = {"DBClusterEndpoints": [], "Marker": str(number)}
        stubs("rds").add_response("describe_db_cluster_endpoints", page)
    with pytest.raises(ControlPlaneError, match="more than 3 pages"):
        plane.custom_endpoints()


def test_a_position_that_leads_to_itself_ends_a_list(plane: ControlPlane, stubs: Stubs) -> None:
    for _ in range(2):
        page = {"DBClusterEndpoints": [], "Marker": "same"}
        stubs("rds").add_response("describe_db_cluster_endpoints", page)
    assert plane.custom_endpoints() == ()


@pytest.mark.parametrize("code", sorted(REFUSED_CREDENTIALS))
def test_credentials_that_have_expired_say_how_to_go_on_and_end_an_undo(
    plane: ControlPlane, stubs: Stubs, code: str
) -> None:
    refused(stubs, code, 403)
    with pytest.raises(ControlPlaneError, match="`gameday recover` continues") as raised:
        plane.reboot("i1")
    assert (raised.value.code, raised.value.permanent) == (code, True)
    assert "rebooting instance i1: the AWS credentials are not valid any more" in str(raised.value)


@pytest.mark.parametrize(
    ("code", "permanent"),
    [
        ("AccessDeniedException", True),
        ("InvalidParameterCombination", True),
        ("ValidationException", True),
        ("InvalidDBInstanceState", False),
        ("InternalFailure", False),
        ("InsufficientDBInstanceCapacity", False),
        (None, False),
    ],
)
def test_only_what_asking_again_cannot_mend_is_permanent(
    code: str | None, *, permanent: bool
) -> None:
    assert ControlPlaneError("x", code=code).permanent is permanent


PROFILE = (
    "[gameday]\naws_access_key_id = {}\naws_secret_access_key = hush\naws_session_token = {}\n"
)


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of credentials that botocore reads instead of everybody's."""
    path = tmp_path / "credentials"
    path.write_text(PROFILE.format("AKIAOLD", "old"), encoding="utf-8")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_PROFILE", "gameday")
    return path


def test_credentials_that_somebody_has_renewed_meanwhile_are_taken(credentials: Path) -> None:
    clients = Clients(ApiAccess(region="eu-west-1"))
    used = clients.get("rds")
    assert not clients.reload(used)
    assert clients.get("rds") is used
    credentials.write_text(PROFILE.format("AKIANEW", "new"), encoding="utf-8")
    assert clients.reload(used)
    assert clients.reload(used)  # another thread, whose client was refused at the same time
    fresh = clients.get("rds")
    assert fresh._request_signer._credentials.access_key == "AKIANEW"
    credentials.unlink()
    assert not clients.reload(fresh)


def test_credentials_that_were_given_are_never_replaced(credentials: Path) -> None:
    clients = Clients(ACCESS)
    used = clients.get("rds")
    credentials.write_text(PROFILE.format("AKIANEW", "new"), encoding="utf-8")
    assert not clients.reload(used)


def test_a_refused_call_is_repeated_once_with_renewed_credentials(
    credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = ControlPlane("c1", ApiAccess(region="eu-west-1"))
    calls: list[Any] = []
    keys: list[str] = []
    plane.on_call(calls.append)

    def make_api_call(client: Any, operation: str, _: Any) -> Any:
        keys.append(client._request_signer._credentials.access_key)
        if keys[-1] == "AKIAOLD":
            credentials.write_text(PROFILE.format("AKIANEW", "new"), encoding="utf-8")
            raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "expired"}}, operation)
        return {"ResponseMetadata": {"RequestId": "r-2"}}

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", make_api_call)
    plane.reboot("i1")
    assert keys == ["AKIAOLD", "AKIANEW"]
    assert [(c.attempts, c.error_code, c.request_id) for c in calls] == [(2, None, "r-2")]


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (exceptions.NoCredentialsError(), "no AWS credentials"),
        (exceptions.SSOTokenLoadError(error_msg="run aws sso login"), "run aws sso login"),
        (exceptions.ProfileNotFound(profile="prod"), "prod"),
        (exceptions.NoRegionError(), "AWS_DEFAULT_REGION"),
        (RuntimeError("Credentials were refreshed, but are still expired."), "still expired"),
    ],
)
def test_a_chain_without_credentials_is_permanent(raised: Exception, says: str) -> None:
    with pytest.raises(ControlPlaneError, match=says) as told, errors_of("asking"):
        raise raised
    assert (told.value.code, told.value.permanent) == (None, True)


def test_a_connection_that_breaks_is_worth_another_try() -> None:
    broken = exceptions.ReadTimeoutError(endpoint_url="https://u:hush@rds.example/")
    with pytest.raises(ControlPlaneError, match="asking: ") as told, errors_of("asking"):
        raise broken
    assert (told.value.code, told.value.permanent) == (None, False)
    assert "hush" not in str(told.value)


def test_an_address_that_is_none_says_what_to_correct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_RDS", "localhost")
    with pytest.raises(ControlPlaneError, match="Invalid endpoint: localhost; correct AWS_"):
        ControlPlane("c1", ACCESS)


def test_our_own_bugs_are_not_taken_for_the_service_s() -> None:
    with pytest.raises(RuntimeError, match="dictionary changed"), errors_of("asking"):
        raise RuntimeError("dictionary changed size during iteration")


def test_no_error_has_credentials_in_it() -> None:
    message = (
        "The request signature we calculated does not match the signature you provided.\n\n"
        "The Canonical String for this request should have been\n'POST\n/\n\n"
        "host:rds.amazonaws.com\nx-amz-security-token:FwoGZXIvYXdzEJr\n'"
    )
    header = (
        "not a valid key=value pair in Authorization header: 'AWS4-HMAC-SHA256 "
        "Credential=ASIAABCDEFGHIJKLMNOP/20260101/eu-west-1/rds/aws4_request, Signature=c0ffee'."
    )
    for code, said in (("SignatureDoesNotMatch", message), ("IncompleteSignature", header)):
        answer: Any = {"Error": {"Code": code, "Message": said}}
        with pytest.raises(ControlPlaneError) as told, errors_of("asking"):
            raise ClientError(answer, "RebootDBInstance")
        assert told.value.permanent
        for secret in ("FwoGZXIv", "ASIA", "c0ffee", "\n"):
            assert secret not in str(told.value)
