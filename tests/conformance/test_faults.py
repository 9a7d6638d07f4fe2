"""Every fault on the test cluster: injected, effective, recovered, everything as it was.

The cases are in `cases_FAMILY.py`. What a fault and its undo records declare is what they call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from conformance.case import GROUPS, KINDS, Case, State
from conformance.families import all_cases

from chaos.cli.target import Target, opened
from chaos.clock import MonotonicClock
from chaos.db.endpoint_names import EndpointNames
from chaos.db.sessions import Sessions
from chaos.errors import ControlPlaneError, DatabaseError, HostError
from chaos.faults.base import Before, Context, Fault
from chaos.model.record import Event, read_events
from chaos.model.topology import Role, Topology
from chaos.run.journal import Journal
from chaos.run.recovery import left_by
from chaos.run.rig import Restoring
from chaos.run.session import FaultSession, look_before
from chaos.safety.calls import Call, total
from chaos.safety.undo import undo_from_json
from chaos.wait import wait_until

PATIENCE_S = 60.0
NOT_NOW = (ControlPlaneError, DatabaseError, HostError)

T = TypeVar("T")


def _parameters() -> list[Any]:
    """Return the cases, those of a kind one after the other and dealt out to its groups in turn."""
    dealt: Counter[str] = Counter()
    found = []
    for fault, cases in all_cases().items():
        for name, case in cases.items():
            group = dealt[case.cluster] % GROUPS.get(case.cluster, 1)
            dealt[case.cluster] += 1
            marks = (
                pytest.mark.xdist_group(f"faults-{case.cluster}-{group}"),
                pytest.mark.seconds(60),
            )
            found.append((case.cluster, pytest.param(case, id=f"{fault} {name}", marks=marks)))
    return [parameter for _, parameter in sorted(found, key=lambda entry: entry[0])]


class Clusters:
    """One cluster at a time, which stays while the cases are of its kind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self._kind = ""
        self._target: Target | None = None

    def of(self, kind: str) -> Target:
        if kind != self._kind or self._target is None:
            self.close()
            self._kind = kind
            self._target = self._open.enter_context(
                opened(None, KINDS[kind], self._folder / f"{kind}.log", lambda _: None)
            )
        return self._target

    def close(self) -> None:
        self._target = None
        self._open.close()


@pytest.fixture(scope="module")
def clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    found = Clusters(tmp_path_factory.mktemp("embedded"))
    yield found
    found.close()


@pytest.fixture
def on(clusters: Clusters, case: Case, request: pytest.FixtureRequest) -> Target:
    """The cluster that a case runs on."""
    if case.needs:
        request.getfixturevalue(case.needs)
    return clusters.of(case.cluster)


@pytest.fixture
def made(on: Target) -> Iterator[list[Mapping[str, Any]]]:
    """The changing API calls that a test makes."""
    calls: list[Mapping[str, Any]] = []
    on.rds.on_change(calls.append)
    yield calls
    on.rds.on_change(lambda _: None)


@pytest.mark.parametrize("case", _parameters())
def test_a_fault_disturbs_and_everything_is_as_before(
    case: Case, on: Target, made: list[Mapping[str, Any]], tmp_path: Path
) -> None:
    first = on.topology()
    database = Sessions(on.connect(first))
    before = _patiently(lambda: _state(on, database))
    for statement in case.given:
        database.query("cluster", statement)
    fault = case.make(first)
    context = Context(on.rds, database, on.control, EndpointNames(on.connect(first)))
    declared = fault.calls(_patiently(lambda: look_before(fault, context, None, "declared")))
    if case.within is not None:
        nested = case.within(first)
        declared += nested.calls(_patiently(lambda: look_before(nested, context, None, "nested")))
    with _planted(on, case.defect):
        events = _carry_out(fault, on, context, tmp_path, case.within)

    effects = [e for e in _effects(events) if e["fault_id"] == 1]
    assert [e["effect"] for e in effects] == ["taken"] * len(fault.stages()), effects
    effect = effects[-1]
    assert not left_by(tmp_path / "journal.jsonl")
    after = _settled(on, database)
    _assert_restored(case, before, after)
    _assert_calls(made, declared, events, effect["requests"])
    case.check(before, after, effect)


@contextmanager
def _planted(on: Target, defect: Mapping[str, Any]) -> Iterator[None]:
    if not defect:
        yield
        return
    assert on.control is not None
    on.control.begin("planted", defect)
    try:
        yield
    finally:
        on.control.end("planted")


def _patiently(look: Callable[[], T]) -> T:
    """Look at the cluster, again where somebody did not answer in time."""
    return wait_until(look, "the cluster to be looked at", timeout_s=PATIENCE_S, errors=NOT_NOW)


def _carry_out(
    fault: Fault,
    on: Target,
    context: Context,
    folder: Path,
    inner: Callable[[Topology], Fault] | None = None,
) -> list[Event]:
    journal = Journal(folder / "journal.jsonl", MonotonicClock(), lambda _: None)
    first = on.topology()

    def session(one: Fault, number: int, within: Callable[[Before], None]) -> FaultSession:
        return FaultSession(
            fault=one,
            fault_id=number,
            step=number,
            repeat=1,
            run=str(folder),
            first=first,
            context=context,
            restorer=Restoring(on.rds, context.database, on.control, lambda _: None),
            journal=journal,
            clock=MonotonicClock(),
            within=within,
        )

    def nested(_: Before) -> None:
        if inner is not None:
            session(inner(first), 2, lambda _: None).carry_out()

    session(fault, 1, nested).carry_out()
    journal.close()
    return read_events(folder / "journal.jsonl")


def _effects(events: list[Event]) -> Iterator[Mapping[str, Any]]:
    return (e.data for e in events if e.data.get("verb") == "effect" and e.data["state"] == "ended")


def _state(on: Target, database: Sessions) -> State:
    now = on.topology()
    return State(
        topology=now,
        endpoints=on.rds.custom_endpoints(),
        worldwide=on.rds.global_cluster(),
        identities={m.id: database.identify(m.id) for m in now.members},
    )


def _settled(on: Target, database: Sessions) -> State:
    """Return the state once API and instances agree about everybody's role."""

    def agreed() -> State | None:
        now = _state(on, database)
        by_api = {m.id: m.role for m in now.topology.members}
        by_sql = {name: identity.role for name, identity in now.identities.items()}
        return now if now.topology.all_available() and by_api == by_sql else None

    found = wait_until(agreed, "API and SQL to agree", timeout_s=PATIENCE_S, errors=NOT_NOW)
    assert found is not None, "wait_until"
    return found


def _assert_restored(case: Case, before: State, after: State) -> None:
    """Hold everything to be as before, down to tags and settings; only who writes may differ."""
    assert _comparable(case, after.topology) == _comparable(case, before.topology)
    assert after.endpoints == before.endpoints
    assert after.worldwide == before.worldwide
    old, new = before.topology.writer, after.topology.writer
    assert old is not None
    assert new is not None
    assert (old.id != new.id) is case.moves_writer


def _comparable(case: Case, topology: Topology) -> Topology:
    members = [replace(member, role=Role.READER) for member in topology.members]
    if case.moves_zone:
        members = [
            replace(m, availability_zone="", settings={**m.settings, "AvailabilityZone": ""})
            for m in members
        ]
    return replace(topology, members=tuple(sorted(members, key=lambda member: member.id)))


def _assert_calls(
    made: list[Mapping[str, Any]], declared: tuple[Call, ...], events: list[Event], requests: int
) -> None:
    """Hold the calls to those declared; a refused request counts as none, but must be declared."""
    records = [
        undo_from_json({"action": e.data["action"], **e.data["parameters"]})
        for e in events
        if e.type == "undo"
    ]
    undoing = [call for record in records for call in record.calls()]
    injecting = [replace(call, count=call.count * requests) for call in declared]
    at_most = {c.operation.lower(): c.count for c in total([*injecting, *undoing])}
    assert {_operation(call) for call in made} <= set(at_most)
    counts = Counter(_operation(call) for call in made if call["error_code"] is None)
    assert {o: n for o, n in counts.items() if n > at_most[o]} == {}
    assert {call.operation.lower() for call in declared} <= set(counts)


def _operation(call: Mapping[str, Any]) -> str:
    """Return boto3's `failover_db_cluster` as the API's name in lower case."""
    return str(call["operation"]).replace("_", "").lower()
