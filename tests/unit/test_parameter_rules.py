"""Parameter groups without servers: what may be put into one, and what the catalogue promises."""

from __future__ import annotations

import pytest

from chaos.testcluster.parameters.offered import PARAMETERS, offered, settings
from chaos.testcluster.parameters.parameter_groups import (
    IMMEDIATE,
    PENDING_REBOOT,
    Change,
    Group,
    Level,
    ParameterGroups,
)
from chaos.testcluster.records import ApiError

HERE = "eu-west-1"
FAMILY = "aurora-postgresql15"


@pytest.fixture
def groups() -> ParameterGroups:
    made = ParameterGroups()
    for level in Level:
        made.create(HERE, Group(level=level, name="mine", family=FAMILY, description="d"))
    return made


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "max_connections",
            ["6", "LEAST({DBInstanceClassMemory/9531392},5000)"],
            ["5", "a", "6.5"],
        ),
        ("log_min_duration_statement", ["-1", "0"], ["-2", ""]),
        ("random_page_cost", ["1.1", "4"], ["-1", "1e3"]),
        ("rds.force_ssl", ["0", "1"], ["true", "2"]),
        ("default_transaction_isolation", ["read committed"], ["read", "committed"]),
        ("shared_preload_libraries", ["", "auto_explain,pg_stat_statements"], ["evil"]),
    ],
)
def test_values_are_held_to_what_is_allowed(name: str, good: list[str], bad: list[str]) -> None:
    parameter = PARAMETERS[name]
    assert [value for value in good if not parameter.allows(value)] == []
    assert [value for value in bad if parameter.allows(value)] == []


def test_an_instance_group_lacks_what_only_clusters_have_except_outside_aurora() -> None:
    assert "rds.force_ssl" in offered(FAMILY, cluster_level=True)
    assert "rds.force_ssl" not in offered(FAMILY, cluster_level=False)
    assert "rds.force_ssl" in offered("postgres15", cluster_level=False)


def test_settings_are_postgresql_s() -> None:
    assert settings({"rds.logical_replication": "1", "work_mem": "64"}) == {
        "rds.logical_replication": "1",
        "wal_level": "logical",
        "work_mem": "64",
    }
    assert settings({"max_connections": "LEAST({DBInstanceClassMemory/9531392},5000)"}) == {}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (Change("nothing", "1", IMMEDIATE), "InvalidParameterValue"),
        (Change("work_mem", "1", IMMEDIATE), "InvalidParameterValue"),
        (Change("work_mem", "64", "soon"), "InvalidParameterValue"),
        (Change("max_connections", "50", IMMEDIATE), "InvalidParameterCombination"),
        (Change("rds.force_ssl", "1", IMMEDIATE), "InvalidParameterValue"),
    ],
)
def test_a_request_with_one_wrong_change_changes_nothing(
    groups: ParameterGroups, change: Change, code: str
) -> None:
    good = Change("lock_timeout", "7", IMMEDIATE)
    with pytest.raises(ApiError) as raised:
        groups.change(HERE, Level.INSTANCE, "mine", [good, change])
    assert raised.value.code == code
    assert groups.get(HERE, Level.INSTANCE, "mine").values == {}


def test_a_reset_says_what_it_takes_back_and_when(groups: ParameterGroups) -> None:
    changes = [
        Change("work_mem", "128", PENDING_REBOOT),
        Change("max_connections", "50", PENDING_REBOOT),
        Change("lock_timeout", "5", IMMEDIATE),
    ]
    groups.change(HERE, Level.CLUSTER, "mine", changes)
    groups.change(HERE, Level.CLUSTER, "mine", [Change("lock_timeout", None, IMMEDIATE)])
    assert groups.get(HERE, Level.CLUSTER, "mine").values == {
        "work_mem": "128",
        "max_connections": "50",
    }
    assert groups.reset(HERE, Level.CLUSTER, "mine") == [
        Change("work_mem", None, IMMEDIATE),
        Change("max_connections", None, PENDING_REBOOT),
    ]
    assert groups.get(HERE, Level.CLUSTER, "mine").values == {}


def test_groups_are_their_region_s_and_their_level_s(groups: ParameterGroups) -> None:
    groups.change(HERE, Level.CLUSTER, "mine", [Change("work_mem", "64", IMMEDIATE)])
    assert groups.get(HERE, Level.INSTANCE, "mine").values == {}
    with pytest.raises(ApiError, match="not found"):
        groups.get("us-east-1", Level.CLUSTER, "mine")


@pytest.mark.parametrize("name", ["", "-x", "a--b", "a_b", "x" * 256, "1a"])
def test_names_follow_the_rules(groups: ParameterGroups, name: str) -> None:
    with pytest.raises(ApiError, match="not a valid identifier"):
        groups.create(HERE, Group(level=Level.CLUSTER, name=name, family=FAMILY, description=""))


def test_default_groups_are_there_and_cannot_be_changed(groups: ParameterGroups) -> None:
    default = groups.get(HERE, Level.INSTANCE, "default.postgres15")
    assert (default.family, default.values) == ("postgres15", {})
    for act in (
        lambda: groups.reset(HERE, Level.CLUSTER, f"default.{FAMILY}"),
        lambda: groups.delete(HERE, Level.CLUSTER, f"default.{FAMILY}", ()),
    ):
        with pytest.raises(ApiError, match="default parameter group"):
            act()
    with pytest.raises(ApiError, match="not found"):
        groups.get(HERE, Level.CLUSTER, "default.mysql8.0")
