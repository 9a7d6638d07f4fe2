"""Two real servers behind gates and a name server, for outages of an exactly known length."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gate import Gate

from chaos.model.access import DatabaseAccess
from chaos.names import NameServer
from chaos.testcluster.names.dns import Authority, DnsServer
from chaos.testcluster.postgres.account import server_account
from chaos.testcluster.postgres.configuration import CONTROL_ROLE, DATABASE
from chaos.testcluster.postgres.node import Foundation, Node
from chaos.testcluster.postgres.processes import processes_in
from chaos.testcluster.postgres.programs import find_postgres
from chaos.testcluster.postgres.storage import Storage
from chaos.testcluster.postgres.template import cached_template
from chaos.testcluster.process.addresses import AddressBlock, free_port
from chaos.testcluster.records import Address, Alias

DOMAIN = "outage.test"
WRITER, READER = "one", "two"


@dataclass
class Rig:
    """`access` leads through the gates; change `zone` and its answers change at once."""

    nodes: dict[str, Node]
    gates: dict[str, Gate]
    zone: dict[str, Alias | Address]
    access: DatabaseAccess

    def lead(self, endpoint: str, *instances: str) -> None:
        """Make an endpoint's name lead to instances."""
        self.zone[self.access.endpoints[endpoint]] = Alias(
            targets=tuple(self.access.endpoints[name] for name in instances), ttl_s=1
        )

    def order_gates(self, order: str) -> dict[str, int]:
        """Give every gate an order at once; return the instant of each (tests/gate.py)."""
        for gate in self.gates.values():
            gate.begin(order)
        return {name: gate.done() for name, gate in self.gates.items()}

    def freeze(self) -> int:
        """Stop every server process; return the instant (monotonic ns) when all are stopped."""
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        # Whatever a postmaster forked before it was stopped.
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        return time.monotonic_ns()

    def thaw(self) -> int:
        """Continue every server process; return the instant just before."""
        pids = self._processes()
        started = time.monotonic_ns()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        return started

    def _processes(self) -> list[int]:
        # Postmasters first: what they do not fork need not be stopped.
        pids = {pid for node in self.nodes.values() for pid in processes_in(node.data)}
        return sorted(pids)


@contextlib.contextmanager
def running_rig() -> Iterator[Rig]:
    """Start a writer, a reader, their gates and a name server; end them all."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gameday-rig-")))
        folder.chmod(0o755)
        block = AddressBlock.lease()
        stack.callback(block.close)
        port = free_port(block.instance_address(1))
        binaries = find_postgres()
        account = server_account(binaries)
        template = cached_template(binaries, account)
        foundation = Foundation(
            binaries=binaries,
            account=account,
            template=template,
            storage=Storage(folder / "storage"),
            port=port,
        )
        nodes: dict[str, Node] = {}
        gates: dict[str, Gate] = {}
        zone: dict[str, Alias | Address] = {}
        for number, name in enumerate((WRITER, READER), 1):
            node = Node(name, folder / name, block.instance_address(number), foundation)
            node.create_from_template()
            stack.callback(node.remove)
            nodes[name] = node
        foundation.storage.attach(nodes[WRITER].data)
        nodes[WRITER].start(None)
        nodes[READER].start(nodes[WRITER].address)
        for number, name in enumerate(nodes, 101):
            address = block.instance_address(number)
            gates[name] = Gate((address, port), (nodes[name].address, port))
            stack.callback(gates[name].close)
            zone[f"{name}.{DOMAIN}"] = Address(address=address, ttl_s=1)
        server = DnsServer(Authority(DOMAIN, lambda: zone, 0), block.control, block.dns_port)
        stack.callback(server.close)
        access = DatabaseAccess(
            endpoints={
                "cluster": f"cluster.{DOMAIN}",
                "reader": f"reader.{DOMAIN}",
                **{name: f"{name}.{DOMAIN}" for name in nodes},
            },
            port=port,
            user=CONTROL_ROLE,
            password=template.control_password,
            database=DATABASE,
            name_server=NameServer(address=block.control, port=block.dns_port, domain=DOMAIN),
        )
        rig = Rig(nodes, gates, zone, access)
        rig.lead("cluster", WRITER)
        rig.lead("reader", READER)
        yield rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    with running_rig() as running:
        yield running
