"""What a test cluster's surroundings cost: its start and end, an API call, a DNS query.

    python tests/benchmarks/control_plane.py [--starts 3] [--calls 200] [--rate-s 3] [--dns-s 3]

The API is asked by boto3, whose own share is most of a call, and once more by plain HTTP. Names are
asked by four clients at once. Figures, not a test: the exit status is 0.
"""

from __future__ import annotations

import argparse
import http.client
import socket
import statistics
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import boto3
import dns.message

from chaos.clock import NS, MonotonicClock
from chaos.testcluster.process import lifecycle
from chaos.testcluster.process.state import ClusterState
from chaos.testcluster.records import ClusterSpec

CLOCK = MonotonicClock()
WARM_UP = 20
API_CLIENTS = 4
DNS_CLIENTS = 4


def timed_ms(act: Callable[[], object]) -> float:
    """Return how long a call took."""
    begun = CLOCK.now_ns()
    act()
    return (CLOCK.now_ns() - begun) / 1e6


def show_calls(name: str, act: Callable[[], object], calls: int) -> None:
    """Print median and 95th percentile of many calls."""
    for _ in range(WARM_UP):
        act()
    taken = sorted(timed_ms(act) for _ in range(calls))
    p95 = taken[int(0.95 * len(taken))]
    print(f"{name:42} median {statistics.median(taken):6.2f} ms   p95 {p95:6.2f} ms")


def show_starts(starts: int, log: Path) -> None:
    """Print what an embedded cluster takes from nothing to serving, and back."""
    up, down = [], []
    for _ in range(starts):
        begun = CLOCK.now_ns()
        embedded = lifecycle.embedded(ClusterSpec(id="bench"), log)
        up.append((CLOCK.now_ns() - begun) / NS)
        down.append(timed_ms(embedded.close) / 1e3)
    print(f"{'embedded cluster (1 writer, 2 readers)':42} up {statistics.median(up):.2f} s")
    print(f"{'':42} down {statistics.median(down):.2f} s")


def show_api(state: ClusterState, calls: int) -> None:
    """Print the cost of API calls."""
    rds = boto3.client(
        "rds",
        endpoint_url=state.api_url,
        region_name=state.region,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    show_calls("DescribeDBClusters by boto3", rds.describe_db_clusters, calls)
    show_calls("DescribeDBInstances (3) by boto3", rds.describe_db_instances, calls)
    rds.close()
    connection = http.client.HTTPConnection(*state.control)
    show_calls("DescribeDBClusters by plain HTTP", lambda: describe(connection, state), calls)
    connection.close()
    cloudwatch = boto3.client(
        "cloudwatch",
        endpoint_url=state.api_url,
        region_name=state.region,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )
    show_calls("ListMetrics by boto3", cloudwatch.list_metrics, calls)
    cloudwatch.close()


def describe(connection: http.client.HTTPConnection, state: ClusterState) -> None:
    """Call DescribeDBClusters and read the answer."""
    scope = f"Credential=any/20261121/{state.region}/rds/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}"}
    connection.request("POST", "/", b"Action=DescribeDBClusters", headers)
    connection.getresponse().read()


def show_rate(state: ClusterState, duration_s: float) -> None:
    """Print how many descriptions per second several clients at once are given."""
    answered = [0] * API_CLIENTS
    deadline = CLOCK.now_ns() + int(duration_s * NS)

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection(*state.control)
        while CLOCK.now_ns() < deadline:
            describe(connection, state)
            answered[number] += 1
        connection.close()

    in_threads(ask, API_CLIENTS)
    rate = sum(answered) / duration_s
    print(f"{f'DescribeDBClusters by {API_CLIENTS} clients at once':42} {rate:.0f} answers/s")


def in_threads(act: Callable[[int], None], count: int) -> None:
    """Call `act` with 0 to `count` - 1 at the same time."""
    threads = [threading.Thread(target=act, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def show_dns(state: ClusterState, duration_s: float) -> None:
    """Print how many queries per second are answered."""
    query = dns.message.make_query(state.access.endpoints["cluster"], "A").to_wire()
    answered = [0] * DNS_CLIENTS
    deadline = CLOCK.now_ns() + int(duration_s * NS)

    def ask(number: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(2)
            client.connect((state.name_server.address, state.name_server.port))
            while CLOCK.now_ns() < deadline:
                client.send(query)
                client.recv(4096)
                answered[number] += 1

    in_threads(ask, DNS_CLIENTS)
    print(f"{'cluster endpoint over UDP':42} {sum(answered) / duration_s:.0f} answers/s")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rate-s", type=float, default=3.0)
    parser.add_argument("--dns-s", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        show_starts(options.starts, log)
        with lifecycle.embedded(ClusterSpec(id="bench"), log) as embedded:
            show_api(embedded.state, options.calls)
            show_rate(embedded.state, options.rate_s)
            show_dns(embedded.state, options.dns_s)


if __name__ == "__main__":
    main()
