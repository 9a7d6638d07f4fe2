"""The catalogue of arms, and the names and ids that a run marks its writes with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos.errors import DefinitionError
from chaos.model.access import DatabaseAccess
from loadgen.arms import CATALOGUE, find
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.tables import WriteIds, session_name, table_of
from loadgen.traffic import Traffic

NOWHERE = DatabaseAccess(endpoints={}, port=1, user="u", password="none", database="d")


@pytest.mark.parametrize("arm", CATALOGUE, ids=lambda arm: arm.name)
def test_every_arm_can_be_found_described_and_printed(arm: object) -> None:
    found = find(arm.name)  # type: ignore[attr-defined]
    assert found is arm
    assert found.description
    assert json.loads(json.dumps(found.settings)) == found.settings


def test_names_are_unique() -> None:
    assert len({arm.name for arm in CATALOGUE}) == len(CATALOGUE)


def test_the_two_first_arms_differ_where_it_matters() -> None:
    plain, resilient = find("default-pool"), find("resilient")
    assert not plain.read_only_is_disconnect
    assert resilient.read_only_is_disconnect
    assert not plain.idempotent
    assert resilient.idempotent
    assert plain.deadline_s is None
    assert resilient.deadline_s is not None


def test_a_server_gives_up_before_the_client_abandons_the_attempt() -> None:
    for arm in CATALOGUE:
        if arm.deadline_s is not None and "statement_timeout" in arm.session:
            assert float(arm.session["statement_timeout"]) / 1000 < arm.deadline_s


def test_an_unknown_arm_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        DefinitionError, match=r"default-pool, pre-ping.*did you mean 'resilient'\?"
    ):
        find("resiliant")


def test_ids_tell_arms_and_processes_apart() -> None:
    first, second = WriteIds(1), WriteIds(2, process_number=3)
    assert [first.next(), first.next()] == [1_000_000_000_001, 1_000_000_000_002]
    assert second.next() == 2_003_000_000_001


@pytest.mark.parametrize(
    ("run", "other"),
    [
        ("20261121T101112Z-writer-failover", "20261121T101112Z-writer_failover"),
        ("RUN", "run"),
        ("x" * 80, "x" * 81),
        ('"; DROP TABLE users; --', "'"),
    ],
)
def test_tables_of_different_runs_differ_and_need_no_quoting(run: str, other: str) -> None:
    for name in (table_of(run), table_of(other)):
        schema, table = name.split(".")
        assert schema == "gameday"
        assert len(table) <= 63
        assert table.replace("_", "").isalnum()
        assert table == table.lower()
    assert table_of(run) != table_of(other)


@pytest.mark.parametrize(
    ("run", "other"),
    [
        ("20261121T101112Z-writer-failover", "20261121T101113Z-writer-failover"),
        ("x" * 80 + "1", "x" * 80 + "2"),
        ("caf\u00e9", "caf\u00e8"),
        ("caf\u00e9", "caf?"),
    ],
)
def test_sessions_of_different_runs_and_arms_differ_as_the_server_shows_them(
    run: str, other: str
) -> None:
    names = [session_name(r, arm.name) for r in (run, other) for arm in CATALOGUE]
    for name in names:
        assert len(name) <= 63
        assert name.isascii()
        assert name.isprintable()
        assert name.startswith("gameday-")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ((ArmTraffic(arm="nonesuch", writes_per_s=1, reads_per_s=1),), "unknown arm"),
        ((ArmTraffic(arm="resilient", writes_per_s=0, reads_per_s=0),), "no traffic"),
        ((ArmTraffic(arm="resilient", writes_per_s=1, reads_per_s=1),) * 2, "named twice"),
    ],
)
def test_traffic_that_makes_no_sense_is_refused(
    tmp_path: Path, arms: tuple[ArmTraffic, ...], message: str
) -> None:
    with pytest.raises(DefinitionError, match=message):
        Traffic(TrafficConfig(run="r", arms=arms), NOWHERE, tmp_path)
