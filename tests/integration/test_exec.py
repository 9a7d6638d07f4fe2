"""Programs that know nothing of us find the test cluster where AWS would be, and nothing else."""

from __future__ import annotations

import errno
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fix_exec import PSQL, PYTHON, TIMEOUT_S, Beside, possible
from fix_server import LiveCluster

from chaos.wait import wait_until

pytestmark = pytest.mark.seconds(40)

WHO = "SELECT aurora_db_instance_identifier()"
VERIFIED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
# What a program finds at the ends of its world.
LOOK = """
import errno, json, os, socket, sys
def attempt(work):
    try:
        return work()
    except socket.gaierror as error:
        return {socket.EAI_NONAME: "no such name", socket.EAI_NODATA: "no such name"}[error.errno]
    except OSError as error:
        return errno.errorcode[error.errno]
def connect(family, *address):
    with socket.socket(family) as s:
        s.settimeout(10)
        s.connect(address if len(address) > 1 else address[0])
        return "connected"
v4, v6 = socket.AF_INET, socket.AF_INET6
port = int(os.environ["PGPORT"])
address = socket.gethostbyname(os.environ["PGHOST"])
print(json.dumps({
    "cluster": attempt(lambda: connect(v4, address, port)),
    "mapped": attempt(lambda: connect(v6, "::ffff:" + address, port)),
    "configured": attempt(lambda: socket.getaddrinfo(
        os.environ["PGHOST"], port, v4, flags=socket.AI_ADDRCONFIG)[0][4][0]) == address,
    "nobody listens": attempt(lambda: connect(v4, address, 1)),
    "outside": attempt(lambda: connect(v4, "192.0.2.1", 443)),
    "outside by IPv6": attempt(lambda: connect(v6, "2001:db8::1", 443)),
    "cache": attempt(lambda: connect(socket.AF_UNIX, "/var/run/nscd/socket")),
    "metadata": attempt(lambda: connect(v4, "169.254.169.254", 80)),
    "aws": attempt(lambda: socket.getaddrinfo("rds.eu-west-1.amazonaws.com", 443)),
    "another cluster": attempt(lambda: socket.gethostbyname("x.cluster-y.eu-west-1.rds.amazonaws.com")),
    "anybody": attempt(lambda: socket.getaddrinfo("example.com", 443)),
}))
"""
SEEN = {
    "cluster": "connected",
    "mapped": "connected",
    "configured": True,
    "nobody listens": "ECONNREFUSED",
    "outside": "ENETUNREACH",
    "outside by IPv6": "ENETUNREACH",
    "cache": "ECONNREFUSED",
    "metadata": "ENETUNREACH",
    "aws": "no such name",
    "another cluster": "no such name",
    "anybody": "no such name",
}
FOUR_TIMES = """
"$0" -At -c "$1" && "$0" -At -h "$2" -c "$1" && "$0" -At -h "$3" -c "$1" &&
"$0" -At sslmode=verify-full -c "$4"
"""
AS_NOBODY = '"$0" -c "$1" && id -un && "$2" -At -c "$3"'
CLIENTS = """
import boto3, botocore, os, psycopg
with psycopg.connect("") as connection:
    print(connection.execute("SELECT aurora_db_instance_identifier()").fetchone()[0])
rds = boto3.client("rds")
print(*(cluster["DBClusterIdentifier"] for cluster in rds.describe_db_clusters()["DBClusters"]))
print(rds.meta.region_name)
os.environ["AWS_MAX_ATTEMPTS"] = "1"
try:
    boto3.client("rds", endpoint_url="https://rds.eu-west-1.amazonaws.com").describe_db_clusters()
except botocore.exceptions.BotoCoreError as error:
    print(type(error).__name__)
"""
# In a user namespace without network namespaces, for root and for everybody else.
WITHOUT_NAMESPACES = 'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"'
FOLLOW = """
import os, socket, sys
for _ in sys.stdin:
    print(socket.gethostbyname(os.environ["PGHOST"]), flush=True)
"""


HEED = """
import signal, sys
numbers = [int(number) for number in sys.argv[1:]]
def heed(number, _):
    print("got", number, flush=True)
    if number == numbers[-1]:
        sys.exit(3)
for number in numbers:
    signal.signal(number, heed)
print("ready", flush=True)
while True:
    signal.pause()
"""


def seen() -> dict[str, object]:
    """What `LOOK` is to find: without IPv6 in this kernel there is nothing to connect by it."""
    try:
        socket.socket(socket.AF_INET6).close()
    except OSError as error:
        return SEEN | dict.fromkeys(
            ("mapped", "outside by IPv6"), errno.errorcode[error.errno or 0]
        )
    return dict(SEEN)


def test_psql_finds_the_cluster_and_can_verify_it(beside: Beside) -> None:
    cluster, reader = (beside.live.state.access.endpoints[name] for name in ("cluster", "reader"))
    writer = beside.live.api_writer()
    four = beside.output("sh", "-c", FOUR_TIMES, PSQL, WHO, cluster, reader, VERIFIED).split()
    assert four[:2] == [writer, writer]
    assert four[2] != writer
    assert four[3] == "t"


def test_the_aws_cli_finds_our_api(beside: Beside) -> None:
    found = json.loads(beside.output(sys.executable, "-m", "awscli", "rds", "describe-db-clusters"))
    assert [cluster["DBClusterIdentifier"] for cluster in found["DBClusters"]] == ["live"]


def test_python_clients_need_no_configuration_and_never_find_the_real_api(beside: Beside) -> None:
    expected = [beside.live.api_writer(), "live", "eu-west-1", "EndpointConnectionError"]
    assert beside.python(CLIENTS).split() == expected


def test_a_program_reaches_loopback_alone(beside: Beside) -> None:
    assert json.loads(beside.python(LOOK)) == seen()


def test_an_unprivileged_program_reaches_loopback_alone(beside_as_nobody: Beside) -> None:
    told = beside_as_nobody.output("sh", "-c", AS_NOBODY, PYTHON, LOOK, PSQL, WHO)
    looked, account, writer = told.splitlines()
    assert json.loads(looked) == seen()
    assert account == "nobody"
    assert writer == beside_as_nobody.live.api_writer()


def test_a_container_that_forbids_more_is_enough(live: LiveCluster) -> None:
    """No capability to change namespaces or filters, and nobody may share another's socket."""
    beside = possible(Beside(live, "intercept", like_docker=True))
    drop = ("setpriv", "--bounding-set=-sys_admin,-sys_ptrace") if os.geteuid() == 0 else ()
    with subprocess.Popen(
        [*drop, *beside.starter, sys.executable, "-c", LOOK], stdout=subprocess.PIPE, text=True
    ) as program:
        told, _ = program.communicate(timeout=TIMEOUT_S)
    assert json.loads(told) == seen()


def test_a_running_program_sees_the_endpoint_move(beside: Beside) -> None:
    live = beside.live
    before = live.api_writer()
    with beside.start(sys.executable, "-c", FOLLOW) as program:
        assert program.stdin is not None
        assert program.stdout is not None

        def resolved() -> str:
            program.stdin.write("\n")  # type: ignore[union-attr]
            program.stdin.flush()  # type: ignore[union-attr]
            return program.stdout.readline().strip()  # type: ignore[union-attr]

        assert resolved() == live.resolve(before).addresses[0]
        live.rds.failover_db_cluster(DBClusterIdentifier=live.state.id)
        wait_until(
            lambda: resolved() not in {"", live.resolve(before).addresses[0]},
            "the program to see the new writer",
            timeout_s=60,
        )
        live.await_available(3)
        assert resolved() == live.resolve(live.api_writer()).addresses[0]
        program.stdin.close()
        assert program.wait(TIMEOUT_S) == 0


def test_exit_status_input_and_output_pass_through(beside: Beside) -> None:
    ended = beside.run("sh", "-c", "cat; echo problem >&2; exit 7", given="said\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "said\n", "problem\n")


def test_a_program_without_an_answer_to_a_signal_ends_us_by_it(beside: Beside) -> None:
    assert beside.run("sh", "-c", "kill -TERM $$").returncode == -signal.SIGTERM
    assert beside.run("sh", "-c", "kill -KILL $$").returncode == -signal.SIGKILL


def test_a_signal_to_us_is_the_programs(beside: Beside) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    with beside.start(sys.executable, "-c", HEED, *(str(n.value) for n in numbers)) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        for number in numbers:
            program.send_signal(number)
            assert program.stdout.readline() == f"got {number.value}\n"
        assert program.wait(TIMEOUT_S) == 3


def test_what_cannot_be_run_is_told(beside: Beside, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a program")
    ended = beside.run(str(text))
    assert ended.returncode != 0
    assert f"cannot run {text}: Permission denied" in ended.stderr


def test_where_no_mode_works_it_says_what_is_missing(beside: Beside) -> None:
    """The calls of a program under `exec` cannot be handed to another one."""
    ended = beside.run(*Beside(beside.live, "auto").starter, "true")
    assert ended.returncode != 0
    for word in ("mode namespace: ", "mode intercept: ", "seccomp is not forbidden"):
        assert word in ended.stderr


def test_another_mode_is_taken_where_namespaces_are_forbidden(live: LiveCluster) -> None:
    forbid = ("unshare", "--user", "--map-root-user", "sh", "-c", WITHOUT_NAMESPACES, "sh")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*forbid, *command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    if run("true").returncode != 0:
        pytest.skip("THIS KERNEL FORBIDS user namespaces: mode auto is mode intercept everywhere")
    possible(Beside(live, "intercept"))
    refused = run(*Beside(live, "namespace").starter, "true")
    assert "mode namespace: unshare: No space left on device" in refused.stderr
    found = run(*Beside(live, "auto").starter, PSQL, "-At", "-c", "SELECT 42")
    assert (found.returncode, found.stdout) == (0, "42\n"), found.stderr


def test_a_terminal_is_the_programs(beside: Beside) -> None:
    ours, theirs = pty.openpty()
    try:
        terminal = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        with beside.start("sh", "-c", "test -t 0 && test -t 1 && tty", **terminal) as program:
            assert program.wait(TIMEOUT_S) == 0
        assert os.read(ours, 1000).decode().strip() == os.ttyname(theirs)
    finally:
        os.close(ours)
        os.close(theirs)
