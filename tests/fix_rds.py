"""A cluster in memory behind the calls that faults and undo use, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from chaos.clock import NS
from chaos.errors import ControlPlaneError
from chaos.faults.base import Context
from chaos.model.account import Alarm, Caller, Deployment, MaintenanceAction, SafetyLever
from chaos.model.answers import ApiAnswer, NameAnswer, RoundTrips
from chaos.model.identity import Identity
from chaos.model.topology import (
    Capacity,
    CustomEndpoint,
    GlobalCluster,
    Member,
    Role,
    Topology,
)

T = TypeVar("T")


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
        "members": (
            member("i1", Role.WRITER),
            member("i2"),
            replace(member("i3", tier=2), instance_class="db.serverless"),
        ),
        "capacity": Capacity(min_acu=1, max_acu=8),
        "tags": {"gameday": "allowed"},
    }
    return Topology(**{**fields, **changes})


DISENGAGED = SafetyLever(status="disengaged", reason="")


@dataclass
class FakeAccount:
    """An account with nothing in it that a guard refuses for; `denies` names calls it refuses."""

    actions: tuple[MaintenanceAction, ...] = ()
    greens: tuple[Deployment, ...] = ()
    states: dict[str, str] = field(default_factory=dict)
    lever: SafetyLever = DISENGAGED
    denies: set[str] = field(default_factory=set)

    def caller(self) -> Caller:
        return Caller(account="123456789012", arn="arn:aws:iam::123456789012:user/tester")

    def maintenance(self, topology: Topology) -> tuple[MaintenanceAction, ...]:
        return self._answer("maintenance", self.actions)

    def deployments(self, topology: Topology) -> tuple[Deployment, ...]:
        return self._answer("deployments", self.greens)

    def alarms(self, names: Sequence[str] = (), prefixes: Sequence[str] = ()) -> tuple[Alarm, ...]:
        wanted = {n for n in self.states if n in names or n.startswith(tuple(prefixes))}
        found = [Alarm(name=name, state=self.states[name], reason="") for name in sorted(wanted)]
        return self._answer("alarms", tuple(found))

    def safety_lever(self) -> SafetyLever:
        return self._answer("safety_lever", self.lever)

    def _answer(self, call: str, answer: T) -> T:
        if call in self.denies:
            raise ControlPlaneError(f"{call}: not authorized (AccessDenied)", code="AccessDenied")
        return answer


@dataclass
class FakeRds:
    """Answers like the service, `delay_s` late; `ignores` lists calls it accepts and never does.

    It is every port at once: the RDS API, SQL, and what undo records act through.
    """

    clock: VirtualClock
    state: Topology = field(default_factory=topology)
    endpoints: tuple[CustomEndpoint, ...] = ()
    worldwide: GlobalCluster | None = None
    delay_s: float = 2.0
    ignores: set[str] = field(default_factory=set)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    started: dict[str, datetime] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    acu: dict[str, float] = field(default_factory=lambda: {"i3": 2.0})
    replies: dict[str, Any] = field(default_factory=dict)
    """Rows, or the error, of statements that have these words in them."""
    answers: dict[str, ApiAnswer] = field(default_factory=dict)
    named: dict[str, NameAnswer] = field(default_factory=dict)
    trip_s: float = 0.001
    sent_again: int = 0
    control: None = None
    region: str = "eu-west-1"
    around: FakeAccount = field(default_factory=FakeAccount)

    @property
    def account(self) -> FakeAccount:
        return self.around

    @property
    def rds(self) -> FakeRds:
        return self

    @property
    def database(self) -> FakeRds:
        return self

    @property
    def context(self) -> Context:
        return Context(self, self, None, self)

    @property
    def cluster(self) -> str:
        return self.state.cluster

    def topology(self) -> Topology:
        return self.state

    def custom_endpoints(self) -> tuple[CustomEndpoint, ...]:
        return self.endpoints

    def global_cluster(self) -> GlobalCluster | None:
        return self.worldwide

    def acu_now(self, statistic: str = "Average") -> Mapping[str, float]:
        return self.acu

    def acu_since(self, since: datetime) -> Mapping[str, Sequence[tuple[datetime, float]]]:
        return {name: [(since, acu)] for name, acu in self.acu.items()}

    def answer(self, operation: str) -> ApiAnswer:
        return self.answers.get(operation, ApiAnswer(error_code=None, attempts=1, duration_s=0.01))

    def ask(self, endpoint: str) -> NameAnswer:
        return self.named.get(
            endpoint, NameAnswer(addresses=("127.0.0.9",), ttl_s=5, error="", took_s=0.001)
        )

    def round_trips(self, endpoint: str, statement: str, times: int) -> RoundTrips:
        self.calls.append(("round_trips", (endpoint, statement)))
        return RoundTrips(statements_s=(self.trip_s,) * times, sent_again=self.sent_again)

    def drop(self, name: str, sessions: int) -> None:
        self.sessions[name] = max(0, self.sessions.get(name, 0) - sessions)

    def failover(self, target: str | None) -> None:
        self._later("failover", target, lambda: self._promote(target or self.state.readers[0].id))

    def reboot(self, instance: str, *, force_failover: bool = False) -> None:
        self._later("reboot", (instance, force_failover), lambda: self._restarted(instance))

    def delete_instance(self, instance: str) -> None:
        gone = self.state.member(instance)
        assert gone is not None
        self._set(members=(*self._without(instance), replace(gone, status="deleting")))
        self._later("delete_instance", instance, lambda: self._deleted(instance))

    def create_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        made = replace(member(instance), settings=settings)
        self._later("create_instance", instance, lambda: self._available(instance))
        if "create_instance" not in self.ignores:
            self._set(members=(*self.state.members, replace(made, status="creating")))

    def modify_instance(self, instance: str, settings: Mapping[str, Any]) -> None:
        self._later(
            "modify_instance", (instance, settings), lambda: self._changed(instance, settings)
        )

    def set_capacity(self, capacity: Capacity) -> None:
        self._later("set_capacity", capacity, lambda: self._scale(capacity))

    def stop_cluster(self) -> None:
        self._later("stop_cluster", None, lambda: self._set(status="stopped"))

    def start_cluster(self) -> None:
        self._later("start_cluster", None, lambda: self._set(status="available"))

    def modify_endpoint(
        self, endpoint: str, *, static: Sequence[str], excluded: Sequence[str]
    ) -> None:
        def changed() -> None:
            self.endpoints = tuple(
                replace(e, static=tuple(static), excluded=tuple(excluded))
                if e.id == endpoint
                else e
                for e in self.endpoints
            )

        self._later("modify_endpoint", endpoint, changed)

    def switchover_global(self, target_arn: str) -> None:
        self._later("switchover_global", target_arn, lambda: self._moved(target_arn))

    def failover_global(self, target_arn: str) -> None:
        self._later("failover_global", target_arn, lambda: self._moved(target_arn))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        self.calls.append(("set_tags", tags))
        self._set(tags={**self.state.tags, **tags})

    def remove_tags(self, keys: Sequence[str]) -> None:
        self.calls.append(("remove_tags", keys))
        self._set(tags={k: v for k, v in self.state.tags.items() if k not in keys})

    def drop_tables(self, run: str) -> None:
        self.calls.append(("drop_tables", run))

    def query(self, endpoint: str, statement: str) -> list[tuple[Any, ...]]:
        self.calls.append(("query", (endpoint, statement)))
        for words, reply in self.replies.items():
            if words in statement:
                if isinstance(reply, Exception):
                    raise reply
                return list(reply)
        return []

    def hold(
        self, name: str, endpoint: str, statements: Sequence[str], *, sessions: int = 1
    ) -> int:
        self.calls.append(("hold", (endpoint, tuple(statements))))
        self.sessions[name] = self.sessions.get(name, 0) + sessions
        return sessions

    def held(self, name: str) -> int:
        return self.sessions.get(name, 0)

    def spin(
        self, name: str, endpoint: str, statement: str, *, sessions: int, for_s: float
    ) -> None:
        self.calls.append(("spin", (endpoint, sessions)))
        self.sessions[name] = sessions

    def end_sessions(self, name: str) -> None:
        self.sessions.pop(name, None)

    def identify(self, endpoint: str) -> Identity:
        named = {"cluster": self.state.writer, "reader": next(iter(self.state.readers), None)}
        found = named.get(endpoint) or next(
            (m for m in self.state.members if endpoint in {m.id, m.endpoint}), None
        )
        assert found is not None
        begun = self.started.get(found.id, datetime(2026, 1, 1, tzinfo=UTC))
        return Identity(role=found.role, started_at=begun)

    def _later(self, call: str, argument: Any, action: Callable[[], None]) -> None:
        self.calls.append((call, argument))
        if call not in self.ignores:
            self.clock.after(self.delay_s, action)

    def _set(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)

    def _deleted(self, instance: str) -> None:
        self._set(members=self._without(instance))
        self.endpoints = tuple(
            replace(
                endpoint,
                static=tuple(name for name in endpoint.static if name != instance),
                excluded=tuple(name for name in endpoint.excluded if name != instance),
            )
            for endpoint in self.endpoints
        )

    def _without(self, instance: str) -> tuple[Member, ...]:
        return tuple(m for m in self.state.members if m.id != instance)

    def _scale(self, capacity: Capacity) -> None:
        self._set(capacity=capacity)
        self.acu = {
            name: min(max(acu, capacity.min_acu), capacity.max_acu)
            for name, acu in self.acu.items()
        }

    def _promote(self, target: str) -> None:
        self._set(
            members=tuple(
                replace(m, role=Role.WRITER if m.id == target else Role.READER)
                for m in self.state.members
            )
        )

    def _available(self, instance: str) -> None:
        self._set(
            members=tuple(
                replace(m, status="available") if m.id == instance else m
                for m in self.state.members
            )
        )

    def _changed(self, instance: str, settings: Mapping[str, Any]) -> None:
        names = {"DBInstanceClass": "instance_class", "PromotionTier": "promotion_tier"}
        changes = {names[name]: value for name, value in settings.items()}
        self._set(
            members=tuple(
                replace(m, **changes) if m.id == instance else m for m in self.state.members
            )
        )

    def _moved(self, target_arn: str) -> None:
        assert self.worldwide is not None
        self.worldwide = replace(
            self.worldwide,
            members=tuple(
                replace(m, is_primary=m.arn == target_arn) for m in self.worldwide.members
            ),
        )

    def _restarted(self, instance: str) -> None:
        before = self.started.get(instance, datetime(2026, 1, 1, tzinfo=UTC))
        self.started[instance] = before + timedelta(hours=1)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def rds(clock: VirtualClock) -> FakeRds:
    return FakeRds(clock)
