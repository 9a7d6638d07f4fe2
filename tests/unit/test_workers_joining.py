"""Starting workers by hand: which token is good enough, who is told it, what is left behind."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.cli import main
from chaos.cli import worker as command
from chaos.clock import MonotonicClock
from chaos.errors import DefinitionError, ExitCode, RunInterrupted
from chaos.model.access import DatabaseAccess
from loadgen.config import ArmTraffic, TrafficConfig
from loadgen.distributed import force
from loadgen.distributed.force import TOKEN_LENGTH_MIN, TOKEN_VARIABLE, Force, ForceConfig
from loadgen.traffic import Traffic

TOKEN = "k" * TOKEN_LENGTH_MIN
JOIN = "127.0.0.1:5557"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


class Interrupted:
    """Stands for the process of a worker; a signal comes while it is listened to."""

    recorded: bytes

    def __init__(self, _name: str, _module: str, config: dict[str, Any], log: Path) -> None:
        log.parent.mkdir(parents=True)
        log.touch()
        operations = Path(config["folder"]) / "operations"
        operations.mkdir()
        (operations / "default-pool.ops").write_bytes(self.recorded)

    def take(self) -> None:
        signal.raise_signal(signal.SIGTERM)

    def stop(self, _timeout_s: float) -> int:
        return 1


@pytest.mark.parametrize("recorded", [b"", b"one operation"])
def test_an_interrupted_worker_leaves_only_what_it_recorded_and_says_where(
    recorded: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Interrupted, "recorded", recorded, raising=False)
    monkeypatch.setattr(command, "WorkerProcess", Interrupted)
    with pytest.raises(RunInterrupted) as told:
        command.worker(join=JOIN, token=TOKEN, quiet=True)
    left = list(tmp_path.iterdir())
    if recorded:
        (folder,) = left
        assert str(folder) in str(told.value)
        assert (folder / "operations" / "default-pool.ops").read_bytes() == recorded
    else:
        assert left == []


@pytest.mark.parametrize(
    "arguments", [["worker", "--join", JOIN], ["run", "control", "--workers", "2"]]
)
def test_a_token_that_could_be_guessed_is_refused_on_both_sides(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN[1:])
    monkeypatch.setenv("GAMEDAY_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("GAMEDAY_OUT", str(tmp_path / "runs"))
    monkeypatch.setattr("sys.argv", ["gameday", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == ExitCode.USAGE
    told = " ".join(capsys.readouterr().err.split())
    assert "fewer than 16 characters" in told
    assert "secrets.token_urlsafe()" in told
    assert TOKEN[1:] not in told
    assert list(tmp_path.iterdir()) == []


def test_a_token_that_is_long_enough_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    chosen = command.force_config(2, JOIN)
    assert chosen is not None
    assert chosen.token == TOKEN
    with pytest.raises(DefinitionError, match="fewer than"):
        force.strong_token(" " * TOKEN_LENGTH_MIN)


class Master:
    """Stands for the master's process: its workers have joined as soon as it is asked."""

    given: dict[str, Any]
    orders: list[dict[str, Any]]

    def __init__(self, name: str, _module: str, config: dict[str, Any], log: Path) -> None:
        self.name, self.log = name, log
        type(self).given = config
        type(self).orders = []
        self._said = [{"state": "joined"}]

    def await_ready(self, _timeout_s: float) -> dict[str, Any]:
        return {"port": 5557}

    def take(self) -> dict[str, Any] | None:
        return self._said.pop() if self._said else None

    def send(self, message: dict[str, Any]) -> None:
        self.orders.append(message)
        self._said.append({"state": message["order"]})

    def stop(self, _timeout_s: float) -> int:
        return 0


@pytest.mark.parametrize("token", [None, TOKEN])
def test_people_are_told_a_token_only_if_it_was_made_for_them(
    token: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(force, "WorkerProcess", Master)
    told: list[str] = []
    config = ForceConfig(workers=1, listen=("10.0.0.5", 5557), token=token)
    with Force(config, ("default-pool",), tmp_path, told.append, MonotonicClock()):
        used = Master.given["token"]
    (line,) = told
    assert "gameday worker --join 10.0.0.5:5557" in line
    assert len(used) >= TOKEN_LENGTH_MIN
    if token is None:
        assert f"{TOKEN_VARIABLE}={used} " in line
    else:
        assert used == token
        assert token not in line
        assert TOKEN_VARIABLE in line


ACCESS = DatabaseAccess(
    endpoints={"cluster": "shop.example"},
    port=5432,
    user="runner",
    password="not-to-be-shipped",
    database="postgres",
    options={"sslmode": "require"},
)


@pytest.mark.parametrize(
    ("listen", "crosses"),
    [("10.0.0.5", False), ("0.0.0.0", False), ("load-master", False), ("127.9.0.1", True)],
)
def test_no_password_crosses_unless_both_sides_are_on_one_machine(
    *, listen: str, crosses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(force, "WorkerProcess", Master)
    config = ForceConfig(workers=1, listen=(listen, 5557), token=TOKEN)
    with Force(config, (), tmp_path, lambda _: None, MonotonicClock()) as joined:
        joined.traffic(TrafficConfig(run="r", arms=()), ACCESS).start(1.0)
    order = json.dumps(Master.orders)
    assert "shop.example" in order
    assert (ACCESS.password in order) == crosses
    assert (ACCESS.user in order) == crosses


def test_a_worker_that_was_given_no_login_takes_its_own_or_says_what_to_set() -> None:
    """In a process of its own, since what a worker imports patches the process it is in."""
    given = ACCESS.as_json() | {"user": "", "password": ""}
    own = {"user": "mine", "password": "secret", "options": {"sslmode": "verify-full"}}
    program = (
        "import json, sys; from loadgen.distributed import worker_process as w\n"
        "access = w.DatabaseAccess.from_json(json.loads(sys.argv[1]))\n"
        "print(json.dumps(w._with_login(access, {'login': json.loads(sys.argv[2])}).as_json()))\n"
        "try: w._with_login(access, {'login': None})\n"
        "except w.GamedayError as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, json.dumps(given), json.dumps(own)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    taken, told = ran.stdout.splitlines()
    assert json.loads(taken) == given | own
    assert "GAMEDAY_DB_USER and GAMEDAY_DB_PASSWORD" in told


@pytest.mark.parametrize("name", ["asyncpg", "aws-wrapper"])
def test_a_worker_without_the_package_of_an_arm_says_what_to_install(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's machine may have it: only where an arm is to run does it matter."""
    config = TrafficConfig(run="r", arms=(ArmTraffic(arm=name, writes_per_s=1, reads_per_s=1),))
    Traffic(config, ACCESS, tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(DefinitionError, match=r"pip install 'aurora-gameday\[arms\]'"):
        Traffic(config, ACCESS, tmp_path)
