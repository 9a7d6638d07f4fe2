"""A cluster in memory behind the calls that faults and undo use, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chaos.clock import NS
from chaos.db.identity import Identity
from chaos.model.topology import Capacity, Member, Role, Topology


@dataclass
class VirtualClock:
    """Sleeping moves time; `at` runs callbacks when their instant has come."""

    now: int = 0
    due: list[tuple[int, Callable[[], None]]] = field(default_factory=list)

    def now_ns(self) -> int:
        return self.now

    def sleep(self, duration_s: float) -> None:
        until = self.now + max(1, int(duration_s * NS))
        for when, action in sorted(self.due, key=lambda entry: entry[0]):
            if when <= until:
                self.due.remove((when, action))
                self.now = max(self.now, when)
                action()
        self.now = until

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        self.due.append((self.now + int(delay_s * NS), action))


def member(name: str, role: Role = Role.READER, tier: int = 1) -> Member:
    return Member(
        id=name,
        role=role,
        status="available",
        endpoint=f"{name}.abc.eu-west-1.rds.amazonaws.com",
        port=5432,
        promotion_tier=tier,
        instance_class="db.r6g.large",
        availability_zone="eu-west-1a",
        settings={
            "DBInstanceClass": "db.r6g.large",
            "PromotionTier": tier,
            "Engine": "aurora-postgresql",
        },
    )


def topology(**changes: Any) -> Topology:
    fields: dict[str, Any] = {
        "cluster": "c1",
        "resource_id": "cluster-ABC",
        "arn": "arn:aws:rds:eu-west-1:123456789012:cluster:c1",
        "status": "available",
        "engine": "aurora-postgresql",
        "engine_version": "15.4",
        "port": 5432,
        "cluster_endpoint": "c1.cluster-abc.eu-west-1.rds.amazonaws.com",
        "reader_endpoint": "c1.cluster-ro-abc.eu-west-1.rds.amazonaws.com",
        "members": (member("i1", Role.WRITER), member("i2"), member("i3", tier=2)),
        "capacity": Capacity(min_acu=1, max_acu=8),
        "tags": {"gameday": "allowed"},
    }
    return Topology(**{**fields, **changes})


@dataclass
class FakeRds:
    """Answers like the service, `delay_s` late; `ignores` lists calls it accepts and never does."""

    clock: VirtualClock
    state: Topology = field(default_factory=topology)
    delay_s: float = 2.0
    ignores: set[str] = field(default_factory=set)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    started: dict[str, datetime] = field(default_factory=dict)

    def topology(self) -> Topology:
        return self.state

    def failover(self, target: str | None) -> None:
        self._later("failover", target, lambda: self._promote(target or self.state.readers[0].id))

    def reboot(self, instance: str) -> None:
        self._later("reboot", instance, lambda: self._restarted(instance))

    def delete_instance(self, instance: str) -> None:
        kept = tuple(m for m in self.state.members if m.id != instance)
        gone = self.state.member(instance)
        assert gone is not None
        self._set(members=(*kept, replace(gone, status="deleting")))
        self._later("delete_instance", instance, lambda: self._set(members=kept))

    def create_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        made = replace(member(instance), settings=settings)
        self._set(members=(*self.state.members, replace(made, status="creating")))
        ready = tuple(replace(m, status="available") for m in self.state.members)
        self._later("create_instance", instance, lambda: self._set(members=ready))

    def set_capacity(self, capacity: Capacity) -> None:
        self._later("set_capacity", capacity, lambda: self._set(capacity=capacity))

    def drop_tables(self, run: str) -> None:
        self.calls.append(("drop_tables", run))

    def identify(self, instance: str) -> Identity:
        found = self.state.member(instance)
        assert found is not None
        begun = self.started.get(instance, datetime(2026, 1, 1, tzinfo=UTC))
        return Identity(role=found.role, started_at=begun)

    def _later(self, call: str, argument: Any, action: Callable[[], None]) -> None:
        self.calls.append((call, argument))
        if call not in self.ignores:
            self.clock.after(self.delay_s, action)

    def _set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def _promote(self, target: str) -> None:
        self._set(
            members=tuple(
                replace(m, role=Role.WRITER if m.id == target else Role.READER)
                for m in self.state.members
            )
        )

    def _restarted(self, instance: str) -> None:
        self.started[instance] = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=1)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def rds(clock: VirtualClock) -> FakeRds:
    return FakeRds(clock)
