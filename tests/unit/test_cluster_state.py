"""What a server leaves on record can be read back, by its owner alone, and is never half there."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import HostError
from chaos.model.access import DatabaseAccess
from chaos.names import NameServer
from chaos.testcluster.process.state import ClusterState, read_state, write_state

SERVER = NameServer(address="127.77.9.1", port=5300, domain="eu-west-1.rds.amazonaws.com")
STATE = ClusterState(
    id="orders",
    region="eu-west-1",
    api_url="http://127.77.9.1:5380",
    control=("127.77.9.1", 5380),
    name_server=SERVER,
    access=DatabaseAccess(
        endpoints={"cluster": "c", "reader": "r"},
        port=5432,
        user="u",
        password="s3cret",
        database="d",
        name_server=SERVER,
    ),
    pid=4711,
    pid_created_at=1795296123.4567,
    directory="/dev/shm/gameday-x",
)


def test_a_record_is_read_back_as_it_was(tmp_path: Path) -> None:
    write_state(STATE, tmp_path / "orders.json")
    assert read_state(tmp_path / "orders.json") == STATE
    assert stat.S_IMODE((tmp_path / "orders.json").stat().st_mode) == 0o600
    assert read_state(tmp_path / "other.json") is None


def test_a_failed_write_leaves_the_old_record_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_state(STATE, tmp_path / "orders.json")
    monkeypatch.setattr(json, "dump", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_state(replace(STATE, pid=1), tmp_path / "orders.json")
    assert [path.name for path in tmp_path.iterdir()] == ["orders.json"]
    assert read_state(tmp_path / "orders.json") == STATE


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "null", '{"access": {}}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "orders.json").write_text(text)
    with pytest.raises(HostError, match=r"orders\.json cannot be read"):
        read_state(tmp_path / "orders.json")


def test_the_password_is_in_the_record_and_nowhere_else() -> None:
    assert "s3cret" in json.dumps(STATE.as_json())
    answered = STATE.answered({"cluster": "orders", "endpoints": {"cluster": "new"}})
    for state in (STATE, answered, replace(STATE, alive=False)):
        assert "s3cret" not in json.dumps(state.status_json())
        assert "s3cret" not in repr(state)


def test_a_fresh_answer_brings_the_present_endpoints() -> None:
    answered = STATE.answered({"cluster": "orders", "endpoints": {"cluster": "new"}})
    assert answered.access.endpoints == {"cluster": "new"}
    assert answered.access.password == "s3cret"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (STATE, "not answering"),
        (replace(STATE, alive=False), "dead"),
        (replace(STATE, alive=False, status={"state": "running"}), "dead"),
        (replace(STATE, status={"state": "running"}), "running"),
    ],
)
def test_how_a_cluster_is_said_to_be(state: ClusterState, said: str) -> None:
    assert state.status_json()["state"] == said
