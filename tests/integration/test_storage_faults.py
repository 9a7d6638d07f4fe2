"""Lagging readers, slow storage, full disks."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from fix_faults import PATIENCE_S, Faults
from fix_testcluster import Running

from chaos.clock import MonotonicClock
from chaos.testcluster.records import ApiError, InstanceRecord
from chaos.wait import wait_until

Session = psycopg.Connection[tuple[object, ...]]
# It does not fit into work_mem, so it needs temporary files.
SORT = "SELECT a FROM generate_series(1, 300000) a ORDER BY a DESC"


@pytest.fixture
def table(faults: Faults) -> Iterator[str]:
    with faults.running.connect(faults.running.writer.address) as session:
        session.execute("CREATE TABLE shown (id bigint)")
    yield "shown"
    faults.end_all()
    with faults.running.connect(faults.running.writer.address) as session:
        session.execute("DROP TABLE shown")


def insert(running: Running, number: int) -> None:
    with running.connect(running.writer.address) as session:
        session.execute("INSERT INTO shown VALUES (%s)", [number])


def shows(running: Running, instance: InstanceRecord, number: int) -> bool:
    with running.connect(instance.address) as session:
        try:
            found = session.execute("SELECT FROM shown WHERE id = %s", [number]).fetchone()
        except psycopg.errors.UndefinedTable:  # It lags even behind that.
            return False
    return found is not None


def await_shown(running: Running, instance: InstanceRecord, number: int) -> None:
    wait_until(
        lambda: shows(running, instance, number),
        f"{instance.id} to show {number}",
        timeout_s=PATIENCE_S,
    )


def test_a_lagging_reader_shows_commits_late_and_loses_none(faults: Faults, table: str) -> None:
    running = faults.running
    behind, other = running.readers[:2]
    insert(running, 1)
    await_shown(running, behind, 1)
    lag = faults.begin("replication-lag", instance=behind.id, lag_s=600)
    setting = "SELECT setting FROM pg_settings WHERE name = 'recovery_min_apply_delay'"
    node = faults.member(behind.id).node
    wait_until(lambda: node.ask(setting) == ("600000",), "the lag", timeout_s=PATIENCE_S)
    insert(running, 2)
    await_shown(running, other, 2)
    assert not shows(running, behind, 2)
    # Restarted, it goes on to lag, and is there all the same.
    running.cluster.reboot(behind.id)
    running.await_settled(PATIENCE_S)
    assert not shows(running, behind, 2)
    faults.end(lag)
    await_shown(running, behind, 2)


def test_the_lag_is_shown_by_sql(faults: Faults, table: str) -> None:
    running, behind = faults.running, faults.running.readers[0]
    faults.begin("replication-lag", instance=behind.id, lag_s=1)
    writer = running.connect(running.writer.address)

    def lag_ms() -> float:
        writer.execute("INSERT INTO shown VALUES (0)")
        found = writer.execute(
            "SELECT replica_lag_in_msec FROM aurora_replica_status() WHERE server_id = %s",
            [behind.id],
        ).fetchone()
        return float(str(found[0])) if found else 0.0

    wait_until(lambda: lag_ms() >= 900, "a lag of a second", timeout_s=PATIENCE_S)
    writer.close()


def test_a_failover_waits_for_no_lag_and_loses_nothing(faults: Faults, table: str) -> None:
    """On Aurora, all of a reader's storage has what the writer wrote, however late it shows it."""
    running = faults.running
    behind, blocked = running.readers[:2]
    faults.begin("replication-lag", instance=behind.id, lag_s=600)
    faults.begin("replica-failure", instance=blocked.id)
    for target, number in ((behind, 3), (blocked, 4)):
        insert(running, number)
        running.cluster.failover(target.id)
        wait_until(
            lambda wanted=target: running.writer.id == wanted.id and running.settled(),  # type: ignore[misc]
            f"{target.id} to be the writer",
            timeout_s=PATIENCE_S,
        )
        assert shows(running, target, number)


def test_lag_is_refused_for_the_writer(faults: Faults) -> None:
    writer = faults.running.writer.id
    for kind, more in (("replication-lag", {"lag_s": 1}), ("replica-failure", {})):
        with pytest.raises(ApiError, match=f"{writer} is the writer"):
            faults.begin(kind, instance=writer, **more)


def test_slow_commits_take_their_time_and_reads_do_not(faults: Faults, table: str) -> None:
    running, writer = faults.running, faults.running.writer
    session = running.connect(writer.address)
    slow = faults.begin("slow-storage", instance=writer.id, commit_ms=100)

    def delay_us() -> str:
        return str((session.execute("SHOW commit_delay").fetchone() or "")[0])

    wait_until(lambda: delay_us() == "100000", "the setting", timeout_s=PATIENCE_S)
    clock = MonotonicClock()
    began_ns = clock.now_ns()
    for number in range(5):
        session.execute("INSERT INTO shown VALUES (%s)", [number])
    assert clock.now_ns() - began_ns >= 0.5e9
    faults.end(slow)
    wait_until(lambda: delay_us() == "0", "the setting's end", timeout_s=PATIENCE_S)
    assert session.execute("SHOW fsync").fetchone() == ("off",)
    session.close()


def test_slow_statements_are_held(faults: Faults) -> None:
    running, reader = faults.running, faults.running.readers[0]
    session = running.connect(reader.address)
    clock = MonotonicClock()

    def is_slow() -> bool:
        began_ns = clock.now_ns()
        session.execute("SELECT 1")
        return clock.now_ns() - began_ns >= 0.2e9

    faults.begin("slow-storage", instance=reader.id, statement_ms_min=200, statement_ms_max=300)
    wait_until(is_slow, "a slow statement", timeout_s=PATIENCE_S)
    session.close()
    for wrong, why in (
        ({}, "set commit_ms, statement_ms_max, or both"),
        ({"statement_ms_min": 2, "statement_ms_max": 1}, "must not be less"),
        ({"commit_ms": 101}, "less than or equal to 100"),
    ):
        with pytest.raises(ApiError, match=why):
            faults.begin("slow-storage", instance=reader.id, **wrong)


@pytest.mark.usefixtures("mounts")
def test_a_full_disk_fails_what_needs_temporary_files_and_nothing_else(
    faults: Faults, table: str
) -> None:
    running, writer = faults.running, faults.running.writer
    session = running.connect(writer.address)
    full = faults.begin("full-disk", instance=writer.id)
    with pytest.raises(psycopg.errors.DiskFull, match="No space left on device"):
        session.execute(SORT)
    insert(running, 1)
    with running.connect(running.readers[0].address) as other:
        assert len(other.execute(SORT).fetchall()) == 300_000
    with pytest.raises(ApiError, match="already"):
        faults.begin("full-disk", instance=writer.id)
    faults.end(full)
    assert len(session.execute(SORT).fetchall()) == 300_000
    assert mounted(running.cluster.core.directory) == []
    session.close()


@pytest.mark.usefixtures("mounts")
def test_an_instance_with_a_full_disk_can_be_deleted(faults: Faults) -> None:
    running, reader = faults.running, faults.running.readers[0]
    faults.begin("full-disk", instance=reader.id)
    folder = faults.member(reader.id).node.directory
    running.cluster.delete_instance(reader.id)
    wait_until(
        lambda: reader.id not in running.cluster.core.members, "its end", timeout_s=PATIENCE_S
    )
    assert not folder.exists()


@pytest.mark.usefixtures("mounts")
def test_a_killed_owner_leaves_no_mount_and_no_folder(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from chaos.testcluster.process.addresses import AddressBlock
        from chaos.testcluster.disturbances.storage import FullDisk
        from chaos.testcluster.estate import Estate, start_cluster
        from chaos.testcluster.postgres.programs import find_postgres
        from chaos.testcluster.records import ClusterSpec
        estate = Estate(
            block=AddressBlock.lease(), binaries=find_postgres(), directory=Path(sys.argv[1])
        )
        start_cluster(estate, ClusterSpec(readers=0), "x")
        estate.disturbances.begin(FullDisk(instance="gameday-instance-1"))
        print("full", flush=True)
        sys.stdin.read()
    """
    directory = tmp_path / "gameday-of a cluster"
    directory.mkdir(mode=0o700)
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "full\n"
        assert len(mounted(directory)) == 1
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not directory.exists(), "the reaper", timeout_s=PATIENCE_S)
    assert mounted(directory) == []


def mounted(directory: Path) -> list[str]:
    """Return the places below a folder at which something is mounted."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = [line.split()[4].replace("\\040", " ") for line in lines]
    return [place for place in places if Path(place).is_relative_to(directory)]
