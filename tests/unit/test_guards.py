"""Guards: each refuses with its reason, and lets a cluster in order pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fix_rds import FakeAccount, FakeRds, VirtualClock, member, topology

from chaos.errors import ControlPlaneError, DatabaseError
from chaos.model.account import Deployment, MaintenanceAction, SafetyLever
from chaos.model.topology import GlobalCluster, GlobalMember, Role
from chaos.safety.estimate import Estimate
from chaos.safety.guards import GUARDS, Aim, Situation, refusals
from chaos.safety.lease import Lease
from chaos.safety.limits import Limits, SafetyFile

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)  # A Friday.
ACCOUNT = "123456789012"
BY_NAME = {guard.name: guard for guard in GUARDS}


def situation(*, state: Any = None, around: Any = None, **changes: Any) -> Situation:
    """A run that every guard lets pass, but for the changes."""
    rds = FakeRds(VirtualClock(), **({"around": around} if around else {}))
    rds.state = topology(
        maintenance_window="sun:04:00-sun:04:30", backup_window="02:00-02:30", **(state or {})
    )
    fields: dict[str, Any] = {
        "topology": rds.state,
        "kind": "aws",
        "aims": (Aim(step="1", fault="failover-cluster", targets=("any reader",)),),
        "estimate": Estimate(expected_s=60, longest_s=600, cost_usd=1.0),
        "limits": Limits(),
        "safety": safety(),
        "now": NOW,
        "rds": rds,
        "account": rds.account,
        "database": rds,
    }
    return Situation(**{**fields, **changes})


def safety(**fields: Any) -> SafetyFile:
    return SafetyFile.model_validate({"accounts": (ACCOUNT,), **fields})


def limits(**fields: Any) -> Limits:
    return Limits.model_validate(fields)


def action(**fields: Any) -> MaintenanceAction:
    arn = "arn:aws:rds:eu-west-1:123456789012:db:i1"
    due = {"due_at": None, **fields}
    return MaintenanceAction(resource_arn=arn, action="system-update", description="", **due)


def green(status: str) -> FakeAccount:
    one = Deployment(id="bgd-1", name="blue", source_arn="a", target_arn="b", status=status)
    return FakeAccount(greens=(one,))


def lease(run: str, *, seconds: float = 60) -> dict[str, Any]:
    held = Lease.of(run, "abc", "elsewhere", NOW + timedelta(seconds=seconds))
    return {"tags": {"gameday": "allowed", **held.as_tag()}}


def unreachable() -> FakeRds:
    rds = FakeRds(VirtualClock())

    def refuse(endpoint: str) -> Any:
        raise DatabaseError(f"endpoint {endpoint}: connection refused")

    rds.identify = refuse  # type: ignore[method-assign]
    return rds


def world(**fields: Any) -> FakeRds:
    cluster = GlobalMember(arn="arn:c1", region="eu-west-1", is_primary=True)
    found = {"id": "g1", "status": "available", "members": (cluster,), **fields}
    return FakeRds(VirtualClock(), worldwide=GlobalCluster(**found))


REMOVAL = Aim(step="1", fault="delete-reader", targets=("i2",), removed=frozenset({"i2"}))
REMOVALS = replace(REMOVAL, removed=frozenset({"i2", "i3"}))
IN_ORDER: dict[str, Callable[[], Situation]] = {
    "opted-in": lambda: situation(state={"tags": {"gameday": "allowed", "environment": "test"}}),
    "account": lambda: situation(kind="test", safety=SafetyFile()),
    "not-production": lambda: situation(
        state={"cluster": "shop-prod", "tags": {"env": "PROD"}},
        safety=safety(refuse={"except_clusters": ("shop-prod",)}),
    ),
    "engine": lambda: situation(state={"engine": "postgres"}),
    "healthy": lambda: situation(rds=world()),
    "readers": lambda: situation(aims=(REMOVALS,), limits=limits(readers_min=0)),
    "maintenance": lambda: situation(
        around=FakeAccount(actions=(action(due_at=NOW + timedelta(hours=2)),))
    ),
    "backup": lambda: situation(now=NOW.replace(hour=2, minute=10), kind="test"),
    "deployment": lambda: situation(around=green("SWITCHOVER_COMPLETED")),
    "blackout": lambda: situation(
        safety=safety(
            blackouts=(
                {"begins": "sat 00:00", "ends": "mon 08:00"},
                {"begins": "2026-12-20", "ends": "2027-01-05"},
            )
        )
    ),
    "alarms": lambda: situation(
        around=FakeAccount(states={"lag": "OK", "shop-errors": "OK", "other": "ALARM"}),
        limits=limits(alarms={"names": ("lag",)}),
        safety=safety(alarms={"prefixes": ("shop-",)}),
    ),
    "safety-lever": lambda: situation(
        around=FakeAccount(lever=SafetyLever(status="engaged", reason="")),
        safety=safety(fis_safety_lever="ignore"),
    ),
    "alone": lambda: situation(state=lease("r1", seconds=-1)),
    "undone": situation,
    "budget": lambda: situation(limits=limits(duration_s_max=60, cost_usd_max=1)),
    "targets": lambda: situation(aims=(REMOVAL,)),
    "reachable": situation,
}

REFUSED: list[tuple[str, Callable[[], Situation], str]] = [
    ("opted-in", lambda: situation(state={"tags": {}}), "add-tags-to-resource"),
    ("opted-in", lambda: situation(state={"tags": {"gameday": "maybe"}}), "is not opted in"),
    ("opted-in", lambda: situation(state={"tags": {"Gameday": "allowed"}}), "is not opted in"),
    ("account", lambda: situation(safety=SafetyFile()), f'accounts: ["{ACCOUNT}"]'),
    ("account", lambda: situation(safety=safety(accounts=("1" * 12,))), "allowed are 1111"),
    ("not-production", lambda: situation(state={"cluster": "shop-prod"}), "except_clusters"),
    ("not-production", lambda: situation(state={"cluster": "Live-2"}), "identifier matches"),
    (
        "not-production",
        lambda: situation(state={"tags": {"Environment": "Production"}}),
        "tag Environment is Production",
    ),
    (
        "not-production",
        lambda: situation(
            state={"tags": {"team": "Payments"}},
            safety=safety(refuse={"tags": {"Team": ("payments",)}}),
        ),
        "tag team is Payments",
    ),
    (
        "not-production",
        lambda: situation(safety=safety(refuse={"identifiers": ("^c",)})),
        "matches ^c",
    ),
    ("engine", lambda: situation(state={"engine": "aurora-mysql"}), "runs aurora-mysql"),
    ("healthy", lambda: situation(state={"status": "modifying"}), "it is modifying"),
    ("healthy", lambda: situation(state={"members": (member("i1"),)}), "no writer"),
    (
        "healthy",
        lambda: situation(
            state={
                "members": (member("i1", Role.WRITER), replace(member("i2"), status="rebooting"))
            }
        ),
        "i2 rebooting",
    ),
    ("healthy", lambda: situation(state={"pending": {"Port": 1}}), "c1 has pending changes (Port)"),
    (
        "healthy",
        lambda: situation(
            state={"members": (replace(member("i1", Role.WRITER), pending={"Iops": 1}),)}
        ),
        "i1 has pending changes",
    ),
    ("healthy", lambda: situation(rds=world(failing_over="switching-over")), "switching-over"),
    ("readers", lambda: situation(aims=(REMOVALS,)), "0 readers without i2, i3, and 1 must stay"),
    ("readers", lambda: situation(limits=limits(readers_min=3)), "2 readers, and 3 must stay"),
    (
        "maintenance",
        lambda: situation(
            around=FakeAccount(actions=(action(due_at=NOW + timedelta(minutes=29)),))
        ),
        "it is due at 2026-11-20 12:29",
    ),
    (
        "maintenance",
        lambda: situation(
            around=FakeAccount(actions=(action(),)), now=datetime(2026, 11, 22, 3, 45, tzinfo=UTC)
        ),
        "window sun:04:00-sun:04:30",
    ),
    ("backup", lambda: situation(now=NOW.replace(hour=2, minute=10)), "02:00-02:30"),
    ("backup", lambda: situation(kind="test", state={"status": "backing-up"}), "is backing up"),
    ("deployment", lambda: situation(around=green("AVAILABLE")), "blue (AVAILABLE)"),
    (
        "blackout",
        lambda: situation(
            safety=safety(
                blackouts=({"begins": "fri 12:00", "ends": "mon 08:00", "why": "weekend"},)
            )
        ),
        "weekend",
    ),
    (
        "alarms",
        lambda: situation(
            around=FakeAccount(states={"a": "ALARM", "b": "INSUFFICIENT_DATA"}),
            limits=limits(alarms={"names": ("a", "b", "c"), "prefixes": ("none-",)}),
        ),
        "c is missing, none begins with none-, a is ALARM, b is INSUFFICIENT_DATA",
    ),
    (
        "safety-lever",
        lambda: situation(around=FakeAccount(lever=SafetyLever(status="engaged", reason="INC1"))),
        "engaged (INC1)",
    ),
    ("alone", lambda: situation(state=lease("r1")), "r1 on elsewhere, until 2026-11-20 12:01:00"),
    (
        "alone",
        lambda: situation(state={"tags": {"gameday-lease": "of another version"}}),
        "an unknown run",
    ),
    ("undone", lambda: situation(dead_runs={"r0": ""}), "gameday recover r0"),
    ("budget", lambda: situation(limits=limits(duration_s_max=59)), "expected to take 60 s"),
    ("budget", lambda: situation(safety=safety(budget={"cost_usd_max": 0.5})), "cost 1.00 USD"),
    (
        "budget",
        lambda: situation(
            limits=limits(cost_usd_max=5),
            estimate=Estimate(expected_s=1, longest_s=1, cost_usd=None, unpriced=("db.r6g.large",)),
        ),
        "add prices of db.r6g.large",
    ),
    ("targets", lambda: situation(aims=(replace(REMOVAL, refusal="none left"),)), "step 1: none"),
    ("reachable", lambda: situation(database=unreachable()), "connection refused"),
]


@pytest.mark.parametrize("guard", BY_NAME)
def test_a_guard_lets_pass(guard: str) -> None:
    assert BY_NAME[guard].why_not(IN_ORDER[guard]()) is None
    assert BY_NAME[guard].why_not(situation()) is None


@pytest.mark.parametrize(("guard", "given", "why"), REFUSED, ids=[case[0] for case in REFUSED])
def test_a_guard_refuses_with_its_reason(
    guard: str, given: Callable[[], Situation], why: str
) -> None:
    said = BY_NAME[guard].why_not(given())
    assert said is not None
    assert why in said
    assert "\n" not in said


def test_every_guard_has_a_case_that_it_refuses_and_one_that_it_lets_pass() -> None:
    assert {case[0] for case in REFUSED} == set(BY_NAME) == set(IN_ORDER)


@pytest.mark.parametrize(
    ("call", "guard", "permission"),
    [
        ("maintenance", "maintenance", "rds:DescribePendingMaintenanceActions"),
        ("deployments", "deployment", "rds:DescribeBlueGreenDeployments"),
        ("alarms", "alarms", "cloudwatch:DescribeAlarms"),
        ("safety_lever", "safety-lever", "fis:GetSafetyLever"),
    ],
)
def test_what_may_not_be_read_refuses_and_names_the_permission(
    call: str, guard: str, permission: str
) -> None:
    given = situation(around=FakeAccount(denies={call}), limits=limits(alarms={"names": ("lag",)}))
    said = refusals(GUARDS, given)
    assert {name for name, why in said.items() if why} >= {guard}
    told = said[guard]
    assert told is not None
    assert f"allow {permission}" in told


def test_a_global_cluster_that_cannot_be_read_refuses() -> None:
    rds = FakeRds(VirtualClock())

    def denied() -> Any:
        raise ControlPlaneError("not authorized", code="AccessDenied")

    rds.global_cluster = denied  # type: ignore[method-assign]
    told = BY_NAME["healthy"].why_not(situation(rds=rds))
    assert told is not None
    assert "allow rds:DescribeGlobalClusters" in told


def test_the_lease_of_a_run_that_died_here_is_for_recover_to_tell_of() -> None:
    given = situation(state=lease("r1"), dead_runs={"r1": ""})
    said = refusals(GUARDS, given)
    assert {name for name, why in said.items() if why} == {"undone"}
