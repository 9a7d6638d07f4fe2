"""Test clusters begin whole and end without a trace, whatever is killed on the way."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from fix_server import LiveCluster, processes_below

from chaos import names
from chaos.errors import DefinitionError, HostError
from chaos.testcluster.process import control_address, lifecycle
from chaos.testcluster.process.registry import Slot
from chaos.testcluster.process.state import ClusterState
from chaos.testcluster.records import ClusterSpec, ServerlessBounds
from chaos.wait import wait_until
from chaos.worker import WorkerProcess

pytestmark = pytest.mark.seconds(60)

Gone = Callable[[ClusterState], None]
SMALL = ClusterSpec(id="small", readers=0)
PARENT = """
import json, sys
from pathlib import Path
from chaos.testcluster.process import control_address, lifecycle
from chaos.testcluster.records import ClusterSpec
embedded = lifecycle.embedded(ClusterSpec(id="orphan", readers=1), Path(sys.argv[1]))
print(json.dumps(embedded.state.as_json()), flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Standing:
    """A standing cluster, where it is on record, and what its start left below this process."""

    state: ClusterState
    state_directory: Path
    children: set[psutil.Process]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def reaper_of(state: ClusterState) -> psutil.Process:
    """Return the process that cleans up after a killed server."""
    return next(
        process
        for process in psutil.Process(state.pid).children()
        if state.directory in process.cmdline()
    )


@contextlib.contextmanager
def closing(state: ClusterState) -> Iterator[LiveCluster]:
    live = LiveCluster(state)
    try:
        yield live
    finally:
        live.rds.close()


def test_up_status_down(state_directory: Path, gone: Gone) -> None:
    state = lifecycle.up(ClusterSpec(id="Standing", tags={"team": "a"}))
    (found,) = lifecycle.status()
    assert found.alive
    assert (found.id, found.pid) == ("standing", state.pid)
    assert lifecycle.status("STANDING")[0].id == "standing"
    assert lifecycle.status("other") == []
    shown = found.status_json()
    assert shown["state"] == "running"
    assert shown["tags"] == {"team": "a"}
    assert [i["role"] for i in shown["instances"]] == ["writer", "reader", "reader"]
    assert all(psutil.Process(i["pid"]).name() == "postgres" for i in shown["instances"])
    assert found.access.password not in json.dumps(shown)
    with closing(found) as live:
        assert live.sql("cluster", "SELECT 1") == 1
    lifecycle.down("standing")
    gone(state)
    assert lifecycle.status() == []
    assert list((state_directory / "clusters").iterdir()) == []


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """A standing cluster that tests share which leave it as it is."""
    directory = tmp_path_factory.mktemp("standing") / "state"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAMEDAY_STATE_DIR", str(directory))
        others = psutil.Process().children()
        state = lifecycle.up(SMALL)
        children = set(psutil.Process().children()) - set(others)
    yield Standing(state, directory, children)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAMEDAY_STATE_DIR", str(directory))
        lifecycle.down("small")


@pytest.fixture
def standing(small: Standing, monkeypatch: pytest.MonkeyPatch) -> Standing:
    """The same, on record."""
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(small.state_directory))
    return small


@pytest.fixture(scope="module")
def longest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterState]:
    """A cluster whose identifier is as long as they may be."""
    log = tmp_path_factory.mktemp("longest") / "log"
    with lifecycle.embedded(ClusterSpec(id="a" * 51, readers=1), log) as embedded:
        yield embedded.state


def test_the_password_is_for_the_owner_s_eyes(standing: Standing) -> None:
    state, slot = standing.state, Slot.of("small")
    assert stat.S_IMODE(slot.path.stat().st_mode) == 0o600
    assert state.access.password in slot.path.read_text()
    assert state.access.password not in slot.log.read_text()
    server = psutil.Process(state.pid)
    assert state.access.password not in " ".join(server.cmdline())
    assert state.access.password not in " ".join(server.environ().values())
    assert state.access.password not in repr(state)


def test_a_standing_cluster_has_no_terminal_and_no_parent(standing: Standing) -> None:
    pid = standing.state.pid
    server = psutil.Process(pid)
    assert server.terminal() is None
    assert os.getsid(pid) not in {os.getsid(0), pid}
    assert server.ppid() != os.getpid()
    assert server.cwd() == "/"
    assert standing.children == set()


def test_an_identifier_is_taken_once(standing: Standing) -> None:
    with pytest.raises(DefinitionError, match="already running"):
        lifecycle.up(ClusterSpec(id="SMALL", readers=0))
    assert lifecycle.status("small")[0].alive


def test_of_two_at_the_same_time_one_wins(state_directory: Path) -> None:
    won: list[ClusterState] = []
    lost: list[Exception] = []

    def up() -> None:
        try:
            won.append(lifecycle.up(SMALL))
        except (DefinitionError, HostError) as error:
            lost.append(error)

    threads = [threading.Thread(target=up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1, lost
    assert all("already running" in str(error) for error in lost)
    assert lifecycle.status("small")[0].pid == won[0].pid


def test_two_clusters_live_side_by_side(standing: Standing, tmp_path: Path) -> None:
    first = standing.state
    with lifecycle.embedded(SMALL, tmp_path / "second.log") as embedded:
        second = embedded.state
        assert first.api_url != second.api_url
        for state, other in ((first, second), (second, first)):
            with closing(state) as live:
                assert live.sql("cluster", "SELECT 1") == 1
                assert live.cluster()["Endpoint"] == state.access.endpoints["cluster"]
            mine = names.query(state.access.endpoints["cluster"], state.name_server)
            theirs = names.query(other.access.endpoints["cluster"], other.name_server)
            assert mine.addresses != theirs.addresses
    assert lifecycle.status("small")[0].alive, "the end of one is not the end of the other"


def test_names_of_another_cluster_do_not_exist(small: Standing, longest: ClusterState) -> None:
    for state, other in ((small.state, longest), (longest, small.state)):
        asked = names.query(state.access.endpoints["cluster"], other.name_server)
        assert asked.error == "NXDOMAIN"


@pytest.mark.parametrize("with_reaper", [False, True], ids=["server", "server and reaper"])
def test_down_after_a_killed_server(state_directory: Path, gone: Gone, with_reaper: bool) -> None:  # noqa: FBT001
    """With its reaper killed too, the databases run on until `down` ends them."""
    state = lifecycle.up(ClusterSpec(id="killed", readers=1))
    if with_reaper:
        kill(reaper_of(state).pid)
    kill(state.pid)
    wait_until(lambda: not Slot.of("killed").is_held(), "the server to die", timeout_s=60)
    (found,) = lifecycle.status("killed")
    assert not found.alive
    assert found.status_json()["state"] == "dead"
    assert "gameday cluster down killed" in found.status_json()["advice"]
    if with_reaper:
        assert len(processes_below(state.directory)) > 2
    lifecycle.down("killed")
    gone(state)


def test_up_replaces_what_a_killed_server_left(state_directory: Path, gone: Gone) -> None:
    first = lifecycle.up(SMALL)
    kill(reaper_of(first).pid)
    kill(first.pid)
    wait_until(lambda: not Slot.of("small").is_held(), "the server to die", timeout_s=60)
    second = lifecycle.up(SMALL)
    assert not Path(first.directory).exists()
    assert processes_below(first.directory) == []
    assert lifecycle.status("small")[0].pid == second.pid
    lifecycle.down("small")
    gone(second)


def test_a_server_that_hangs_is_said_and_can_be_taken_down(
    state_directory: Path, gone: Gone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_address, "ANSWER_TIMEOUT_S", 0.3)
    state = lifecycle.up(SMALL)
    os.kill(state.pid, signal.SIGSTOP)
    assert lifecycle.status("small")[0].status_json()["state"] == "not answering"
    lifecycle.down("small")
    gone(state)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_standing_cluster_cleanly(
    state_directory: Path, gone: Gone, number: signal.Signals
) -> None:
    state = lifecycle.up(SMALL)
    os.kill(state.pid, number)
    gone(state)
    assert "cluster small stops" in Slot.of("small").log.read_text()


def test_an_embedded_cluster_ends_with_its_owner(tmp_path: Path, gone: Gone) -> None:
    embedded = lifecycle.embedded(ClusterSpec(id="mine", readers=1), tmp_path / "log")
    assert lifecycle.status("mine") == [], "it is nobody else's to find"
    embedded.close()
    gone(embedded.state)
    embedded.close()


def test_an_embedded_cluster_ends_when_its_owner_is_killed(tmp_path: Path, gone: Gone) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path / "log"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        state = ClusterState.from_json(json.loads(parent.stdout.readline()))
        assert len(processes_below(state.directory)) > 2
        parent.kill()
    gone(state)


def test_an_embedded_cluster_whose_server_is_killed_leaves_nothing(
    tmp_path: Path, gone: Gone
) -> None:
    embedded = lifecycle.embedded(ClusterSpec(id="mine", readers=1), tmp_path / "log")
    kill(embedded.state.pid)
    gone(embedded.state)
    embedded.close()


def test_a_start_that_is_interrupted_leaves_nothing(
    state_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches the starter alone; the server has begun by then, and ends with its input."""
    slot = Slot.of("interrupted")

    def interrupted(worker: WorkerProcess) -> ClusterState:
        wait_until(slot.is_held, "the server to begin", timeout_s=60)
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "_announced", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lifecycle.up(ClusterSpec(id="interrupted"))
    assert not slot.is_held()
    assert [path.suffix for path in slot.path.parent.iterdir()] == [".log"]


def require_refused(state_directory: Path, spec: ClusterSpec, says: str) -> None:
    with pytest.raises(HostError, match=says) as failed:
        lifecycle.up(spec)
    assert "\n" not in str(failed.value)
    assert not Slot.of(spec.id).is_held()
    assert [path.suffix for path in (state_directory / "clusters").iterdir()] == [".log"]


def test_a_start_with_wrong_settings_says_which(state_directory: Path) -> None:
    require_refused(state_directory, ClusterSpec(id="bad", profile="slow-motion"), "slow-motion")
    bounds = ServerlessBounds(min_acu=9, max_acu=2)
    require_refused(state_directory, ClusterSpec(id="bad", serverless=bounds), "MinCapacity 9")


def test_a_start_on_a_port_in_use_says_so(state_directory: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        require_refused(state_directory, ClusterSpec(id="bad", port=port), f"port {port} is in use")


def test_without_postgresql_the_message_says_what_to_install(
    state_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAMEDAY_POSTGRES", str(tmp_path))
    with pytest.raises(HostError, match="apt-get install postgresql"):
        lifecycle.embedded(SMALL, tmp_path / "log")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (ClusterSpec(id="1st"), "begin with a letter"),
        (ClusterSpec(id="a--b"), "begin with a letter"),
        (ClusterSpec(id="a/b"), "begin with a letter"),
        (ClusterSpec(id=""), "begin with a letter"),
        (ClusterSpec(id="a" * 52), "At most 51"),
        (ClusterSpec(region="the moon"), "not an AWS Region"),
        (ClusterSpec(readers=16), "0 to 15 readers"),
    ],
)
def test_a_wrong_specification_starts_nothing(
    state_directory: Path, tmp_path: Path, spec: ClusterSpec, says: str
) -> None:
    with pytest.raises(DefinitionError, match=says):
        lifecycle.up(spec)
    with pytest.raises(DefinitionError, match=says):
        lifecycle.embedded(spec, tmp_path / "log")
    assert not state_directory.exists()


def test_the_longest_identifier_has_room_for_its_instances(longest: ClusterState) -> None:
    with closing(longest) as live:
        assert live.sql(f"{'a' * 51}-instance-2", "SELECT pg_is_in_recovery()") is True


@pytest.mark.parametrize("identifier", ["nope", "../nope", ""])
def test_what_is_not_there_cannot_be_taken_down(state_directory: Path, identifier: str) -> None:
    with pytest.raises(DefinitionError, match="there is no test cluster"):
        lifecycle.down(identifier)
    assert not state_directory.exists()


def test_a_server_that_is_not_on_record_yet_is_said(state_directory: Path) -> None:
    slot = Slot.of("early")
    slot.prepare()
    with slot.held(), pytest.raises(HostError, match=rf"starting .*process {os.getpid()}"):
        lifecycle.down("early")


def test_a_state_folder_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "file"))
    with pytest.raises(HostError, match="GAMEDAY_STATE_DIR"):
        lifecycle.up(SMALL)


def test_a_damaged_record_is_said_and_removes_nothing(state_directory: Path) -> None:
    slot = Slot.of("damaged")
    slot.prepare()
    slot.path.write_text("{}")
    for act in (lifecycle.status, lambda: lifecycle.down("damaged"), lambda: lifecycle.up(
        ClusterSpec(id="damaged", readers=0)
    )):  # fmt: skip
        with pytest.raises(HostError, match=r"damaged\.json cannot be read"):
            act()
    slot.path.unlink()


def test_a_record_that_names_somebody_else_s_folder_removes_nothing(
    small: Standing, state_directory: Path, tmp_path: Path
) -> None:
    record = json.loads((small.state_directory / "clusters" / "small.json").read_text())
    slot = Slot.of("small")
    slot.prepare()
    precious = tmp_path / "precious"
    precious.mkdir()
    slot.path.write_text(json.dumps({**record, "directory": str(precious)}))
    with pytest.raises(HostError, match="nothing was removed"):
        lifecycle.down("small")
    assert precious.exists()
    assert small.state.directory != str(precious)
    slot.path.unlink(missing_ok=True)
