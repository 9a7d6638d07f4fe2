"""The named instants of each fault, on synthetic runs in which every one of them is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fix_history import RunBuilder, Shape, failover_run
from run_builder import to_ns

from chaos.checks.instants import instants
from chaos.checks.recording import Recording
from chaos.model.history import History
from chaos.model.operation import Kind, OperationWriter, Outcome


def told(history: History, injection: int = 0) -> list[dict[str, Any]]:
    recording = Recording(history)
    return [i.as_json() for i in instants(recording, recording.injections[injection])]


def find(all_told: list[dict[str, Any]], name: str, arm: str | None = None) -> dict[str, Any]:
    (found,) = [i for i in all_told if i["name"] == name and arm in {None, i.get("arm")}]
    return found


FAILOVER = [
    # name, arm, at (s after the request), how far after the truth it may be seen
    ("requested", None, 0.0, 0.0),
    ("API accepted", None, 0.04, 0.0),
    ("first failed operation", None, 0.1, 0.03),
    ("new writer by SQL", None, 1.4, 0.0),
    ("API shows the new writer", None, 1.9, 0.0),
    ("cluster DNS answers the new writer", None, 1.5, 0.0),
    ("last stale DNS answer", None, 1.8, 0.0),
    ("first new connection to the new writer", None, 1.5, 0.05),
    ("first committed write", "resilient", 1.5, 0.05),
    ("first committed write", "default-pool", 1.5, 0.1),
    ("last 25006", "default-pool", 5.8, 0.3),
    ("every reader serves again", None, 2.5, 0.11),
    ("steady state again", None, 5.8, 0.3),
]


@pytest.mark.parametrize("repeat", [0, 1])
def test_a_failover_is_cut_into_its_instants(tmp_path: Path, repeat: int) -> None:
    all_told = told(failover_run(tmp_path / "run", repeats=2).write(), repeat)
    requested_s = 10.0 + 15.0 * repeat
    for name, arm, after_s, late_s in FAILOVER:
        if repeat == 1 and name in {"last 25006", "steady state again"}:
            continue  # only the first failover leaves refusing connections behind
        at_s = find(all_told, name, arm)["at_s"]
        assert requested_s + after_s - 1e-3 <= at_s <= requested_s + after_s + late_s + 1e-3, name


def test_an_instant_lies_between_the_two_sightings(tmp_path: Path) -> None:
    by_sql = find(told(failover_run(tmp_path / "run").write()), "new writer by SQL")
    assert by_sql["uncertainty_s"] == pytest.approx(0.05)
    assert (by_sql["source"], by_sql["instance"]) == ("sql", "gameday-instance-2")


def test_the_last_commit_on_the_old_writer_comes_before_the_outage(tmp_path: Path) -> None:
    last = find(told(failover_run(tmp_path / "run").write()), "last commit on the old writer")
    assert 10.05 < last["at_s"] <= 10.1
    assert last["instance"] == "gameday-instance-1"


def test_a_repeated_write_dates_from_its_last_try(tmp_path: Path) -> None:
    """The uncertainty of a write that was tried again is not the whole time of its tries."""
    first = find(told(failover_run(tmp_path / "run").write()), "first committed write", "resilient")
    assert first["uncertainty_s"] < 0.06


@pytest.mark.parametrize("error", ["----- Missed", "----- MissedWaiting"])
def test_a_turn_that_the_probes_missed_did_not_fail(tmp_path: Path, error: str) -> None:
    def missed(operations: OperationWriter) -> None:
        at_ns = to_ns(10.05)
        operations.operation(
            kind=Kind.WRITE, endpoint="cluster", intended_ns=at_ns, started_ns=at_ns, ended_ns=at_ns,
            outcome=Outcome.FAILED, error=error,
        )  # fmt: skip

    run = failover_run(tmp_path / "run")
    run.operation("probe", missed)
    assert find(told(run.write()), "first failed operation")["at_s"] >= 10.1


def test_what_nothing_shows_is_missing_with_the_reason(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=15)
    run.topology(0.1, "gameday-instance-1")
    run.fault("failover-cluster", 5.0, effect="none")
    all_told = told(run.write())
    for name in (
        "first failed operation",
        "new writer by SQL",
        "API shows the new writer",
        "cluster DNS answers the new writer",
        "last stale DNS answer",
        "first new connection to the new writer",
        "last 25006",
        "every reader serves again",
        "steady state again",
    ):
        missing = find(all_told, name)
        assert missing["at_s"] is None, name
        assert missing["why"], name


def test_a_name_that_stayed_stale_says_so(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    run.observe(20.0, "dns", "cluster", "gameday-instance-1")
    stale = find(told(run.write()), "last stale DNS answer")
    assert stale["at_s"] is None
    assert "still led to gameday-instance-1" in stale["why"]


def test_an_arm_that_never_recovers_has_no_steady_state_again(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    run.outage("reader", 20.0, 90.0, Shape.REFUSE)
    again = find(told(run.write()), "steady state again")
    assert again["at_s"] is None
    assert "had not recovered" in again["why"]


def test_a_reboot_shows_the_instance_down_and_back(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=15)
    run.topology(0.1, "gameday-instance-1")
    target = "gameday-instance-1"
    run.observe(0.1, "role", target, "writer")
    run.fault("reboot-instance", 5.0, requested_target="writer", actual_target=target)
    run.outage("cluster", 5.2, 6.0, Shape.REFUSE)
    run.observe(5.3, "role", target, "unreachable")
    run.observe(6.1, "role", target, "writer")
    run.observe(5.4, "status", target, "rebooting")
    run.observe(6.5, "status", target, "available")
    all_told = told(run.write())
    assert find(all_told, "instance stops answering SQL")["at_s"] == pytest.approx(5.3)
    assert find(all_told, "instance answers SQL again")["at_s"] == pytest.approx(6.1)
    assert find(all_told, "API shows the reboot")["at_s"] == pytest.approx(5.4)
    assert find(all_told, "API shows it available")["at_s"] == pytest.approx(6.5)
    assert find(all_told, "first committed write")["at_s"] == pytest.approx(6.01, abs=0.03)


TARGET = "gameday-instance-1"
Seen = tuple[float, str, str, str]  # at, kind, subject, value
SEQUENCES: dict[str, tuple[str, list[Seen], dict[str, float]]] = {
    "crash-instance": (
        TARGET,
        [(5.3, "role", TARGET, "unreachable"), (6.1, "role", TARGET, "writer")],
        {"instance stops answering SQL": 5.3, "instance answers SQL again": 6.1},
    ),
    "hang-instance": (
        TARGET,
        [(5.3, "role", TARGET, "unreachable"), (6.1, "role", TARGET, "writer")],
        {"instance stops answering SQL": 5.3, "instance answers SQL again": 6.1},
    ),
    "power-loss": (
        TARGET,
        [
            (5.3, "role", TARGET, "unreachable"),
            (9.1, "role", TARGET, "reader"),
        ],
        {"instance stops answering SQL": 5.3, "instance answers SQL again": 9.1},
    ),
    "stop-cluster": (
        "gameday",
        [
            (5.2, "status", "gameday", "stopping"),
            (5.4, "role", TARGET, "unreachable"),
            (6.0, "status", "gameday", "stopped"),
            (8.0, "status", "gameday", "starting"),
            (8.5, "role", TARGET, "writer"),
            (9.0, "status", "gameday", "available"),
        ],
        {
            "API shows it stopping": 5.2,
            "instance stops answering SQL": 5.4,
            "API shows it stopped": 6.0,
            "API shows it starting": 8.0,
            "instance answers SQL again": 8.5,
            "API shows it available": 9.0,
        },
    ),
    "add-reader": (
        "gameday-gameday-1",
        [
            (5.2, "status", "gameday-gameday-1", "creating"),
            (6.0, "status", "gameday-gameday-1", "available"),
            (8.0, "status", "gameday-gameday-1", "deleting"),
            (9.0, "status", "gameday-gameday-1", "deleted"),
        ],
        {
            "API shows it creating": 5.2,
            "API shows it available": 6.0,
            "API shows it deleting": 8.0,
            "API no longer lists it": 9.0,
        },
    ),
    "change-instance-class": (
        TARGET,
        [
            (5.3, "role", TARGET, "unreachable"),
            (6.0, "settings", TARGET, "db.r6g.xlarge in eu-west-1a, tier 1"),
            (6.1, "role", TARGET, "writer"),
            (9.0, "settings", TARGET, "db.r6g.large in eu-west-1a, tier 1"),
        ],
        {
            "instance stops answering SQL": 5.3,
            "API shows the new setting": 6.0,
            "instance answers SQL again": 6.1,
            "API shows the old setting again": 9.0,
        },
    ),
    "change-promotion-tier": (
        TARGET,
        [
            (5.3, "settings", TARGET, "db.r6g.large in eu-west-1a, tier 15"),
            (8.0, "settings", TARGET, "db.r6g.large in eu-west-1a, tier 1"),
        ],
        {"API shows the new setting": 5.3, "API shows the old setting again": 8.0},
    ),
    "switchover-global": (
        "arn:aws:rds:us-east-1:000000000000:cluster:other",
        [
            (5.5, "role", TARGET, "reader"),
            (5.7, "writer", "gameday", ""),
            (8.0, "role", TARGET, "writer"),
            (8.3, "writer", "gameday", TARGET),
        ],
        {
            "old writer is a reader by SQL": 5.5,
            "API names no writer here": 5.7,
            "old writer writes again by SQL": 8.0,
            "API names the writer again": 8.3,
        },
    ),
}


@pytest.mark.parametrize("fault", SEQUENCES)
def test_each_fault_has_its_own_instants(tmp_path: Path, fault: str) -> None:
    target, seen, expected = SEQUENCES[fault]
    run = changing(tmp_path, fault, target)
    for observed in seen:
        run.observe(*observed)
    all_told = told(run.write())
    for name, at_s in expected.items():
        assert find(all_told, name)["at_s"] == pytest.approx(at_s), name


@pytest.mark.parametrize("fault", SEQUENCES)
def test_what_was_not_observed_of_a_fault_is_missing(tmp_path: Path, fault: str) -> None:
    target, _, expected = SEQUENCES[fault]
    all_told = told(changing(tmp_path, fault, target).write())
    for name in expected:
        assert find(all_told, name)["at_s"] is None, name
        assert find(all_told, name)["why"], name


def changing(folder: Path, fault: str, target: str) -> RunBuilder:
    """A run in which a fault is injected at 5 s, and of which only the beginning was observed."""
    run = RunBuilder(folder / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=15)
    run.topology(0.1, TARGET)
    run.observe(0.1, "role", TARGET, "writer")
    run.observe(0.1, "settings", TARGET, "db.r6g.large in eu-west-1a, tier 1")
    run.fault(fault, 5.0, requested_target=target, actual_target=target)
    return run


def test_every_one_of_several_targets_has_its_instants(tmp_path: Path) -> None:
    run = changing(tmp_path, "reboot-instance", f"gameday-instance-2, {TARGET}")
    for at_s, target in ((5.3, TARGET), (5.8, "gameday-instance-2")):
        run.observe(at_s, "role", target, "unreachable")
    stops = [i for i in told(run.write()) if i["name"] == "instance stops answering SQL"]
    assert [(i["instance"], i["at_s"]) for i in stops] == [
        ("gameday-instance-2", pytest.approx(5.8)),
        (TARGET, pytest.approx(5.3)),
    ]


def test_a_deleted_writer_fails_over_and_comes_back(tmp_path: Path) -> None:
    run = changing(tmp_path, "delete-writer", TARGET)
    for at_s, kind, subject, value in (
        (5.2, "status", TARGET, "deleting"),
        (5.5, "role", "gameday-instance-2", "writer"),
        (5.8, "writer", "gameday", "gameday-instance-2"),
        (6.0, "status", TARGET, "deleted"),
        (9.0, "status", TARGET, "available"),
    ):
        run.observe(at_s, kind, subject, value)
    all_told = told(run.write())
    for name, at_s in (
        ("new writer by SQL", 5.5),
        ("API shows the new writer", 5.8),
        ("API shows it deleting", 5.2),
        ("API no longer lists it", 6.0),
        ("API shows it back", 9.0),
    ):
        assert find(all_told, name)["at_s"] == pytest.approx(at_s), name


@pytest.mark.parametrize(
    ("others", "name"),
    [((), "instance stops answering SQL"), (("gameday-instance-2",), "new writer by SQL")],
)
def test_a_reboot_with_failover_is_told_by_who_is_there(
    tmp_path: Path, others: tuple[str, ...], name: str
) -> None:
    run = changing(tmp_path, "reboot-with-failover", TARGET)
    for other in others:
        run.observe(0.1, "role", other, "reader")
    assert find(told(run.write()), name)["why"]


def test_a_deleted_reader_leaves_the_endpoint_and_comes_back(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "reader", Kind.READ, per_s=50, until_s=20)
    run.topology(0.1, "gameday-instance-1")
    gone, stays = run.readers
    run.observe(0.1, "dns", "reader", f"{gone},{stays}")
    run.fault("delete-reader", 5.0, actual_target=gone, effect_s=6.0)
    for at_s, kind, subject, value in (
        (5.2, "status", gone, "deleting"),
        (5.6, "dns", "reader", stays),
        (6.0, "status", gone, "deleted"),
        (8.0, "status", gone, "creating"),
        (9.0, "status", gone, "available"),
        (9.5, "dns", "reader", f"{gone},{stays}"),
    ):
        run.observe(at_s, kind, subject, value)
    all_told = told(run.write())
    for name, at_s in (
        ("API shows it deleting", 5.2),
        ("reader endpoint no longer answers it", 5.6),
        ("API no longer lists it", 6.0),
        ("API shows it back", 9.0),
        ("reader endpoint answers it again", 9.5),
    ):
        assert find(all_told, name)["at_s"] == pytest.approx(at_s), name


def test_changed_bounds_are_seen_and_seen_restored(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=15)
    run.topology(0.1, "gameday-instance-1")
    run.observe(0.1, "capacity", "gameday", "0.5-8")
    run.fault("scale-capacity", 5.0)
    run.observe(5.5, "capacity", "gameday", "0.5-2")
    run.observe(8.0, "capacity", "gameday", "0.5-8")
    all_told = told(run.write())
    assert find(all_told, "API shows the new bounds")["at_s"] == pytest.approx(5.5)
    assert find(all_told, "API shows the old bounds again")["at_s"] == pytest.approx(8.0)


def test_a_writer_that_fell_silent_has_a_failover_s_instants_too(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=15)
    run.topology(0.1, TARGET)
    run.observe(0.1, "role", TARGET, "writer")
    run.fault("power-loss", 5.0, requested_target=TARGET, actual_target=TARGET)
    run.observe(5.3, "role", TARGET, "unreachable")
    run.observe(5.9, "role", "gameday-instance-2", "writer")
    run.observe(6.4, "writer", "gameday", "gameday-instance-2")
    all_told = told(run.write())
    assert find(all_told, "new writer by SQL")["at_s"] == pytest.approx(5.9)
    assert find(all_told, "API shows the new writer")["at_s"] == pytest.approx(6.4)
    assert find(all_told, "instance answers SQL again")["at_s"] is None
