"""What stands between a command and somebody's cluster: confirmation, which cluster it is, undo."""

from __future__ import annotations

import io
from typing import Any

import pytest
from fix_rds import FakeRds, VirtualClock, topology

from chaos.aws import translate
from chaos.aws.rds import ApiAccess, ControlPlane
from chaos.cli import target as targets
from chaos.cli.target import Target
from chaos.errors import ControlPlaneError, DefinitionError, GuardRefused
from chaos.model.topology import Capacity
from chaos.run.journal import Journal
from chaos.run.restore import replay
from chaos.safety.undo import CreateInstance, SetCapacity

ON_AWS = Target(
    rds=ControlPlane("c1", ApiAccess(region="eu-west-1", access_key="any", secret_key="any")),
    connect=lambda _: pytest.fail("not asked for"),
)


@pytest.mark.parametrize(
    ("arn", "kind"),
    [
        ("arn:aws:rds:eu-west-1:123456789012:cluster:c1", "aws"),
        ("arn:aws-cn:rds:cn-north-1:123456789012:cluster:c1", "aws"),
        ("nonsense", "aws"),
        ("arn:aws:rds:eu-west-1:000000000000:cluster:c1", "test"),
    ],
)
def test_only_the_account_that_aws_never_issues_is_a_test_cluster(arn: str, kind: str) -> None:
    assert ON_AWS.kind(topology(arn=arn)) == kind


class Typed(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_real_cluster_is_touched_only_when_its_name_was_typed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", Typed("c1\n"))
    targets.confirm(topology(), "eu-west-1", ["failover-cluster"], yes=False)
    monkeypatch.setattr("sys.stdin", Typed("yes\n"))
    with pytest.raises(GuardRefused, match="not confirmed"):
        targets.confirm(topology(), "eu-west-1", ["failover-cluster"], yes=False)


def test_without_a_terminal_a_real_cluster_needs_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("c1\n"))
    with pytest.raises(GuardRefused, match="--yes"):
        targets.confirm(topology(), "eu-west-1", ["failover-cluster"], yes=False)
    targets.confirm(topology(), "eu-west-1", ["failover-cluster"], yes=True)


def test_recover_touches_the_very_cluster_of_the_run_and_no_namesake() -> None:
    targets.same({"resource_id": "cluster-ABC"}, topology())
    with pytest.raises(GuardRefused, match="cluster-OLD"):
        targets.same({"resource_id": "cluster-OLD"}, topology())


def test_a_test_cluster_that_is_gone_is_not_looked_for_on_aws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path))
    environment = {"cluster": "c1", "cluster_kind": "test", "region": "eu-west-1"}
    with pytest.raises(DefinitionError, match="c1 is gone"):
        targets.reopened(environment, tmp_path / "log", lambda _: None)


def test_credentials_of_a_real_cluster_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("GAMEDAY_DB_USER", "GAMEDAY_DB_PASSWORD", "PGUSER", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DefinitionError, match="GAMEDAY_DB_USER"):
        targets._credentials(topology())
    monkeypatch.setenv("PGUSER", "app")
    monkeypatch.setenv("PGPASSWORD", "hush")
    access = targets._credentials(topology())
    assert access.parameters("cluster")["sslmode"] == "require"
    assert set(access.endpoints) == {"cluster", "reader", "i1", "i2", "i3"}
    assert "hush" not in repr(access)


def test_an_instance_is_kept_with_what_is_false_or_zero_and_without_aws_tags() -> None:
    kept = translate._settings(
        {
            "DBInstanceClass": "db.r6g.large",
            "PromotionTier": 0,
            "AutoMinorVersionUpgrade": False,
            "PubliclyAccessible": False,
            "TagList": [
                {"Key": "aws:cloudformation:stack-name", "Value": "x"},
                {"Key": "team", "Value": "y"},
            ],
        }
    )
    assert kept == {
        "DBInstanceClass": "db.r6g.large",
        "PromotionTier": 0,
        "AutoMinorVersionUpgrade": False,
        "PubliclyAccessible": False,
        "Tags": [{"Key": "team", "Value": "y"}],
    }


def opened(tmp_path: Any, clock: VirtualClock, *records: Any) -> Any:
    journal = Journal(tmp_path / "journal.jsonl", clock, lambda _: None)
    for record in records:
        journal.undo(record, "c1")
    return journal


BOUNDS = SetCapacity(min_acu=1, max_acu=8, run_min_acu=0.5, run_max_acu=2)


def test_a_change_that_shows_late_is_still_undone(
    rds: FakeRds, clock: VirtualClock, tmp_path: Any
) -> None:
    """The run died right after its request: the old bounds still show, and change a moment later."""
    rds.set_capacity(Capacity(min_acu=0.5, max_acu=2))
    assert replay(opened(tmp_path, clock, BOUNDS), rds, clock, "c1") == []
    clock.sleep(5)
    assert rds.state.capacity == Capacity(min_acu=1, max_acu=8)


def test_what_somebody_else_changed_since_is_left_alone(
    rds: FakeRds, clock: VirtualClock, tmp_path: Any
) -> None:
    rds.state = topology(capacity=Capacity(min_acu=4, max_acu=16))
    assert replay(opened(tmp_path, clock, BOUNDS), rds, clock, "c1") == []
    assert rds.state.capacity == Capacity(min_acu=4, max_acu=16)


def test_a_refusal_for_good_is_told_at_once_and_the_other_records_are_replayed(
    rds: FakeRds, clock: VirtualClock, tmp_path: Any
) -> None:
    def denied(instance: str, settings: Any) -> None:
        raise ControlPlaneError("not allowed", code="AccessDenied")

    rds.create_instance = denied  # type: ignore[method-assign]
    rds.state = topology(capacity=Capacity(min_acu=0.5, max_acu=2))
    journal = opened(tmp_path, clock, BOUNDS, CreateInstance(instance="i9", settings={}))
    (left,) = replay(journal, rds, clock, "c1")
    assert "not allowed" in left
    assert "aws rds create-db-instance --db-instance-identifier i9" in left
    assert clock.now_ns() < 10e9
    clock.sleep(5)
    assert rds.state.capacity == Capacity(min_acu=1, max_acu=8)
    assert list(journal.open_undo) == ["u2"]


def test_a_bug_in_one_record_keeps_no_other_from_being_replayed(
    rds: FakeRds, clock: VirtualClock, tmp_path: Any
) -> None:
    def broken(instance: str, settings: Any) -> None:
        raise KeyError("planted")

    rds.create_instance = broken  # type: ignore[method-assign]
    rds.state = topology(capacity=Capacity(min_acu=0.5, max_acu=2))
    journal = opened(tmp_path, clock, BOUNDS, CreateInstance(instance="i9", settings={}))
    (left,) = replay(journal, rds, clock, "c1")
    assert "our own error, KeyError('planted')" in left
    assert "by hand: aws rds create-db-instance --db-instance-identifier i9" in left
    clock.sleep(5)
    assert rds.state.capacity == Capacity(min_acu=1, max_acu=8)
    assert list(journal.open_undo) == ["u2"]
