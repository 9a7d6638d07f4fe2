"""Starting and ending a cluster: what it leaves behind is nothing, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import psutil
import pytest
from fix_testcluster import PASSWORD, NewCluster, open_estate

from chaos.errors import HostError
from chaos.testcluster.estate import Estate, start_cluster
from chaos.testcluster.postgres.account import server_account
from chaos.testcluster.postgres.processes import processes_in
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.testcluster.postgres.template import cached_template
from chaos.testcluster.process.addresses import AddressBlock
from chaos.testcluster.process.directory import make_directory
from chaos.testcluster.records import ClusterSpec, InstanceSpec
from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(20)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # init may reap it later
    except psutil.NoSuchProcess:
        return False


def test_a_started_cluster_accepts_streams_and_ends_without_a_trace(
    postgres_binaries: PostgresBinaries,
) -> None:
    directory = make_directory(3)
    block = AddressBlock.lease()
    estate = Estate(block=block, binaries=postgres_binaries, directory=directory)
    try:
        cluster = start_cluster(estate, ClusterSpec(), PASSWORD)
        record = cluster.snapshot()
        assert [i.id for i in record.instances] == [f"gameday-instance-{n}" for n in (1, 2, 3)]
        assert [i.is_writer for i in record.instances] == [True, False, False]
        assert {i.status for i in record.instances} == {record.status} == {"available"}
        assert len({i.address for i in record.instances}) == 3
        assert len({i.availability_zone for i in record.instances}) == 3
        assert PASSWORD not in repr(record)
        pids = [i.pid for i in record.instances if i.pid is not None]
        folders = sorted(directory.glob("*/*/data"))
        workers = [pid for folder in folders for pid in processes_in(folder)]
        assert set(pids) < set(workers)
        # Shared memory with a name would outlive a killed server.
        maps = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in pids)
        assert "/dev/shm/PostgreSQL" not in maps
    finally:
        estate.close()
        estate.close()
        block.close()
    assert not any(alive(pid) for pid in workers)
    assert not directory.exists()


def test_a_killed_owner_leaves_no_server_and_no_folder(tmp_path: Path) -> None:
    program = """
        import sys
        from chaos.testcluster.process.addresses import AddressBlock
        from chaos.testcluster.estate import Estate, start_cluster
        from chaos.testcluster.postgres.programs import find_postgres
        from chaos.testcluster.records import ClusterSpec, InstanceSpec
        from pathlib import Path
        directory = Path(sys.argv[1])
        estate = Estate(block=AddressBlock.lease(), directory=directory, binaries=find_postgres())
        cluster = start_cluster(estate, ClusterSpec(readers=1), "x")
        print(*(i.pid for i in cluster.snapshot().instances), flush=True)
        sys.stdin.read()
    """
    directory = tmp_path / "data of a cluster"
    directory.mkdir(mode=0o700)
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        owner.send_signal(signal.SIGKILL)
    wait_until(
        lambda: not directory.exists() and not any(alive(pid) for pid in pids),
        "the reaper",
        timeout_s=60,
    )


def test_two_clusters_live_side_by_side(new_cluster: NewCluster) -> None:
    one, two = new_cluster(id="one", readers=0), new_cluster(id="two", readers=0)
    assert one.record.hash != two.record.hash
    with one.connect(one.writer.address) as connection:
        connection.execute("CREATE TABLE only_here ()")
    with two.connect(two.writer.address) as connection:
        found = connection.execute("SELECT to_regclass('only_here')").fetchone()
    assert found == (None,)


def test_a_taken_port_is_avoided_or_refused(postgres_binaries: PostgresBinaries) -> None:
    with open_estate(postgres_binaries) as estate:
        block = estate.ground.block
        with socket.create_server((block.instance_address(1), 5432)):
            with pytest.raises(HostError, match="port 5432 is in use"):
                start_cluster(estate, ClusterSpec(port=5432, readers=0), PASSWORD)
            assert not [path for path in estate.ground.directory.iterdir() if path.is_dir()]
            other = start_cluster(estate, ClusterSpec(readers=0), PASSWORD)
            assert other.snapshot().port != 5432


def test_an_estate_holds_clusters_of_several_regions(postgres_binaries: PostgresBinaries) -> None:
    with open_estate(postgres_binaries) as estate:
        one = start_cluster(estate, ClusterSpec(id="one", readers=0), PASSWORD)
        two = start_cluster(estate, ClusterSpec(id="two", readers=0), PASSWORD)
        away = start_cluster(estate, ClusterSpec(id="one", readers=0, region="us-east-1"), PASSWORD)
        with pytest.raises(HostError, match="already exists"):
            start_cluster(estate, ClusterSpec(id="one", readers=0), PASSWORD)
        assert estate.region("eu-west-1").clusters() == (one, two)
        assert estate.region("us-east-1").cluster("one") is away
        addresses = {i.address for c in (one, two, away) for i in c.snapshot().instances}
        assert len(addresses) == 3
        assert set(estate.names()) >= {c.snapshot().cluster_endpoint for c in (one, two, away)}
        assert {e.region for e in estate.region("us-east-1").events()} == {"us-east-1"}


def test_two_builders_of_one_template_both_get_it(
    postgres_binaries: PostgresBinaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    account = server_account(postgres_binaries)
    found = []
    builders = [
        threading.Thread(target=lambda: found.append(cached_template(postgres_binaries, account)))
        for _ in range(2)
    ]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join(300)
    assert len(found) == 2
    assert found[0] == found[1]
    assert found[0].archive.stat().st_size > 1_000_000
    assert [p.name for p in (tmp_path / "gameday" / "templates").iterdir()] == [
        found[0].archive.parent.name
    ]
    assert (found[0].archive.parent / "facts.json").stat().st_mode & 0o077 == 0


def test_a_cache_that_cannot_be_written_is_a_clear_error(
    postgres_binaries: PostgresBinaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gameday").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(HostError, match="XDG_CACHE_HOME"):
        cached_template(postgres_binaries, server_account(postgres_binaries))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account to run servers as")
@pytest.mark.parametrize("namespaces", [True, False], ids=["namespace", "other account"])
def test_root_runs_servers_unprivileged(
    new_cluster: NewCluster, monkeypatch: pytest.MonkeyPatch, *, namespaces: bool
) -> None:
    if not namespaces:
        monkeypatch.setattr("chaos.testcluster.postgres.account.shutil.which", lambda _: None)
    running = new_cluster(readers=1)
    assert running.writer.pid is not None
    uids = psutil.Process(running.writer.pid).uids()
    mapped_to = Path(f"/proc/{running.writer.pid}/uid_map").read_text().split()[0]
    assert (uids.real if mapped_to == "0" else int(mapped_to)) != 0
    running.cluster.failover(None)
    running.await_writer(running.instance(2).id)
    running.cluster.create_instance(InstanceSpec(id="cloned"))
    running.await_settled()
