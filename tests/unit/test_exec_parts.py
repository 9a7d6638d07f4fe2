"""What a program under `exec` is told: variables, names, its name service switch."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import dns.message
import dns.rcode
import pytest

from chaos.model.access import DatabaseAccess
from chaos.names import NameServer
from chaos.testcluster.exec.environment import Place, environment
from chaos.testcluster.exec.gate import Gate
from chaos.testcluster.exec.namespace import without_caches
from chaos.testcluster.names.dns import Authority, DnsServer
from chaos.testcluster.process.addresses import AddressBlock
from chaos.testcluster.records import Address

NAME = "shop-1.cabc.eu-west-1.rds.amazonaws.com"
PLACE = Place(
    access=DatabaseAccess(
        endpoints={"cluster": "shop.cluster-cabc.eu-west-1.rds.amazonaws.com"},
        port=5433,
        user="joe",
        password="secret",
        database="app",
    ),
    api_url="http://127.77.1.1:5380",
    region="eu-west-1",
    ca_file="/somewhere/ca.pem",
)


def test_nothing_that_leads_elsewhere_is_left() -> None:
    theirs = {
        "AWS_PROFILE": "production",
        "AWS_SESSION_TOKEN": "real",
        "AWS_ENDPOINT_URL_RDS": "https://rds.amazonaws.com",
        "AWS_CA_BUNDLE": "/bundle",
        "PGSERVICE": "production",
        "PGSSLMODE": "disable",
        "PGPASSFILE": "/home/joe/.pgpass",
        "HTTPS_PROXY": "http://proxy",
        "no_proxy": "*",
    }
    told = environment(PLACE, theirs | {"PATH": "/bin", "PG_COLOR": "always", "HOME": "/home/joe"})
    assert not theirs.keys() & told.keys()
    assert (told["PATH"], told["PG_COLOR"], told["HOME"]) == ("/bin", "always", "/home/joe")


def test_a_program_is_told_of_the_cluster_and_of_invented_credentials() -> None:
    told = environment(PLACE, {"AWS_ACCESS_KEY_ID": "real", "AWS_CONFIG_FILE": "/home/joe/.aws"})
    assert told == {
        "PGHOST": "shop.cluster-cabc.eu-west-1.rds.amazonaws.com",
        "PGPORT": "5433",
        "PGUSER": "joe",
        "PGPASSWORD": "secret",
        "PGDATABASE": "app",
        "PGSSLROOTCERT": "/somewhere/ca.pem",
        "AWS_ENDPOINT_URL": "http://127.77.1.1:5380",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "GAMEDAYTESTCLUSTER",
        "AWS_SECRET_ACCESS_KEY": "gameday-test-cluster-not-a-secret",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("hosts: files resolve [!UNAVAIL=return] dns\n", "hosts: files dns\n"),
        (
            "passwd: files\n hosts:\tdb\nipnodes: x\n",
            "passwd: files\nhosts: files dns\nipnodes: x\n",
        ),
        ("# hosts: files\n", "# hosts: files\n"),
    ],
)
def test_names_are_looked_up_in_files_and_by_dns_only(before: str, after: str) -> None:
    assert without_caches(before) == after


@pytest.fixture
def gate() -> Iterator[tuple[str, int]]:
    """Where a gate to a name server of one name answers."""
    zone = {NAME: Address(address="127.77.1.11", ttl_s=5)}
    block = AddressBlock.lease()
    where = NameServer(address=block.control, port=block.dns_port, domain="rds.amazonaws.com")
    authority = Authority(where.domain, lambda: zone, 0)
    server = DnsServer(authority, where.address, where.port)
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    address = listener.getsockname()
    gate = Gate(listener, where)
    yield address
    gate.close()
    server.close()
    block.close()


def ask(gate: tuple[str, int], name: str) -> dns.message.Message:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        query = dns.message.make_query(name, "A")
        client.sendto(query.to_wire(), gate)
        reply = dns.message.from_wire(client.recv(65535))
    assert reply.id == query.id
    return reply


def test_the_clusters_names_are_answered_by_its_name_server(gate: tuple[str, int]) -> None:
    reply = ask(gate, NAME)
    assert reply.answer[0].to_text() == f"{NAME}. 5 IN A 127.77.1.11"


@pytest.mark.parametrize(
    "name", ["rds.eu-west-1.amazonaws.com", "amazonaws.com", "example.com", "x.rds.amazonaws.com"]
)
def test_no_other_name_exists(gate: tuple[str, int], name: str) -> None:
    assert ask(gate, name).rcode() == dns.rcode.NXDOMAIN


def test_nonsense_gets_no_answer_and_ends_nothing(gate: tuple[str, int]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"", gate)
        client.sendto(b"nonsense", gate)
        client.sendto(dns.message.make_response(dns.message.make_query("a.", "A")).to_wire(), gate)
    assert ask(gate, NAME).rcode() == dns.rcode.NOERROR
