"""A service in memory that answers SQL, too: what each fault does to a cluster, on a virtual clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fix_rds import FakeRds, VirtualClock, topology

from chaos.errors import DatabaseError
from chaos.model.identity import Identity
from chaos.model.topology import CustomEndpoint, GlobalCluster, GlobalMember, Role, Topology

SECONDARY = "arn:aws:rds:us-east-1:123456789012:cluster:c2"
WORLD = GlobalCluster(
    id="world",
    status="available",
    members=(
        GlobalMember(arn=topology().arn, region="eu-west-1", is_primary=True),
        GlobalMember(arn=SECONDARY, region="us-east-1", is_primary=False),
    ),
)
REPORTS = CustomEndpoint(
    id="reports",
    address="reports.cluster-custom-abc.eu-west-1.rds.amazonaws.com",
    kind="READER",
    status="available",
    static=("i2",),
    excluded=(),
)


def multi_az(**changes: Any) -> Topology:
    """An instance in no cluster, with a standby."""
    (writer, *_) = topology().members
    return topology(
        cluster="i1",
        engine="postgres",
        members=(writer,),
        capacity=None,
        is_cluster=False,
        multi_az=True,
        **changes,
    )


@dataclass
class FakeService(FakeRds):
    """`FakeRds` whose instances answer what faults ask, and restart or move as they do on AWS."""

    endpoints: tuple[CustomEndpoint, ...] = (REPORTS,)
    address: str = "10.0.0.1"
    allowed: bool | None = True
    """Whether the user may call aurora_inject_crash; None: the server does not list it."""
    answers_crash_with: str | None = "57P02"
    """The SQLSTATE with which the session ends that asks for a crash."""
    unreachable: set[str] = field(default_factory=set)
    restarts: bool = True
    """Whether a crash that is asked for happens."""

    def query(self, endpoint: str, statement: str) -> list[tuple[Any, ...]]:
        super().query(endpoint, statement)
        if "inet_server_addr" in statement:
            return [(self.address, False)]
        if "has_function_privilege" in statement:
            return [(self.allowed,)]
        if "aurora_db_instance_identifier" in statement:
            (found,) = (e for e in self.endpoints if e.address == endpoint)
            shown = [m.id for m in self.state.readers if m.id not in found.excluded]
            return [((found.static or shown)[0],)]
        if self.restarts:
            self.clock.after(self.delay_s, lambda: self._restarted(endpoint))
        raise DatabaseError(f"endpoint {endpoint}: over", sqlstate=self.answers_crash_with)

    def identify(self, endpoint: str) -> Identity:
        by_name = {m.endpoint: m.id for m in self.state.members}
        if endpoint in self.unreachable or self.state.status == "stopped":
            raise DatabaseError(f"cannot use endpoint {endpoint}")
        found = super().identify(by_name.get(endpoint, endpoint))
        elsewhere = self.worldwide and self.worldwide.primary
        if elsewhere and elsewhere.arn != self.state.arn:
            return replace(found, role=Role.READER)
        return found

    def reboot(self, instance: str, *, force_failover: bool = False) -> None:
        super().reboot(instance, force_failover=force_failover)
        if force_failover and "reboot" not in self.ignores:
            self.clock.after(self.delay_s, lambda: setattr(self, "address", "10.0.0.2"))

    def create_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        super().create_instance(instance, settings)
        self._of(instance, promotion_tier=settings["PromotionTier"])

    def delete_instance(self, instance: str) -> None:
        if "delete_instance" in self.ignores:
            self.calls.append(("delete_instance", instance))
            return
        was_writer = self.state.writer is not None and self.state.writer.id == instance
        super().delete_instance(instance)
        if was_writer:
            self.clock.after(self.delay_s, lambda: self._promote(self.state.readers[-1].id))

    def _of(self, instance: str, **changes: Any) -> None:
        members = self.state.members
        self._set(members=tuple(replace(m, **changes) if m.id == instance else m for m in members))

    def _changed(self, instance: str, settings: Mapping[str, Any]) -> None:
        super()._changed(instance, settings)
        if "DBInstanceClass" in settings:
            self._restarted(instance)


@pytest.fixture
def service(clock: VirtualClock) -> FakeService:
    return FakeService(clock)
