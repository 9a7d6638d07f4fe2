"""What people call a reboot with failover: the call depends on what is rebooted."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaos.errors import GuardRefused
from chaos.faults.base import MULTI_AZ, Before, Context, Fault
from chaos.faults.failover_cluster import new_writer, reader_to_promote
from chaos.model.topology import Role, Topology
from chaos.safety.calls import Call

_SERVER = "SELECT pg_catalog.host(pg_catalog.inet_server_addr()), pg_catalog.pg_is_in_recovery()"


class RebootWithFailover(Fault):
    """Fail over by `FailoverDBCluster`, on a Multi-AZ instance `RebootDBInstance` with ForceFailover.

    An Aurora cluster does not take ForceFailover. The effect there is another writer, by API and SQL; on
    a Multi-AZ instance it is another server behind the same name, which writes: its own address tells,
    since the Availability Zone in the API may lag for minutes.
    """

    works_on: ClassVar[str] = MULTI_AZ
    asks_again: ClassVar[bool] = True
    expected_s: ClassVar[float] = 90.0

    fault: Literal["reboot-with-failover"] = "reboot-with-failover"
    target: str | None = Field(
        None,
        description="Instance to promote, in a cluster. Absent: the service chooses.",
    )

    def resolve(self, topology: Topology) -> tuple[str, ...]:
        """Name the reader to promote or the Multi-AZ instance; refuse an instance without standby."""
        if topology.is_cluster:
            return reader_to_promote(self.fault, self.target, topology)
        instance = topology.members[0].id
        if not topology.has_standby:
            raise GuardRefused(
                f"{self.fault}: {instance} is no Multi-AZ instance, so it has no standby to fail over "
                "to; reboot-instance restarts it in place"
            )
        if self.target not in {None, instance}:
            raise GuardRefused(
                f"{self.fault}: {instance} fails over to its own standby, not to {self.target}; "
                "leave target out"
            )
        return (instance,)

    def see(self, context: Context, topology: Topology, targets: tuple[str, ...]) -> str:
        """Ask a Multi-AZ instance which server answers behind its name."""
        return "" if topology.is_cluster else _server(context, targets[0])[0]

    def calls(self, before: Before) -> tuple[Call, ...]:
        """Return the call that it will be."""
        cluster = before.topology.is_cluster
        return (Call("FailoverDBCluster" if cluster else "RebootDBInstance"),)

    def inject(self, context: Context, before: Before) -> None:
        """Make it once."""
        if before.topology.is_cluster:
            context.rds.failover(self.target)
        else:
            context.rds.reboot(before.target, force_failover=True)

    def took_effect(self, context: Context, before: Before) -> str | None:
        """Return the new writer, or the instance once another server writes behind its name."""
        if before.topology.is_cluster:
            return new_writer(context, before)
        address, role = _server(context, before.target)
        return before.target if address != before.seen and role is Role.WRITER else None


def _server(context: Context, instance: str) -> tuple[str, Role]:
    ((address, in_recovery),) = context.database.query(instance, _SERVER)
    return address, Role.READER if in_recovery else Role.WRITER
