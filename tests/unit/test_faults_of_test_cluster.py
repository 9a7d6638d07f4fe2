"""What only a test cluster can suffer: asked of it as it is, and taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fix_control import FakeControl, api, context_of, seen
from fix_rds import FakeRds, VirtualClock, topology
from pydantic import ValidationError

from chaos.errors import DatabaseError, GuardRefused
from chaos.faults import CATALOGUE
from chaos.faults.api_drop import ApiDrop
from chaos.faults.api_error import ApiError
from chaos.faults.api_slow import ApiSlow
from chaos.faults.api_stale import ApiStale
from chaos.faults.api_throttle import ApiThrottle
from chaos.faults.base import TEST_CLUSTER, Fault
from chaos.faults.disturbance import Disturbance
from chaos.faults.dns_drop import DnsDrop
from chaos.faults.dns_empty import DnsEmpty
from chaos.faults.dns_flap import DnsFlap
from chaos.faults.dns_flip_delay import DnsFlipDelay
from chaos.faults.dns_nxdomain import DnsNxdomain
from chaos.faults.dns_servfail import DnsServfail
from chaos.faults.dns_slow import DnsSlow
from chaos.faults.dns_stale import DnsStale
from chaos.faults.dns_truncate import DnsTruncate
from chaos.faults.dns_ttl import DnsTtl
from chaos.faults.full_disk import FullDisk
from chaos.faults.hang_instance import HangInstance
from chaos.faults.latency import Latency
from chaos.faults.packet_loss import PacketLoss
from chaos.faults.power_loss import PowerLoss
from chaos.faults.reader_endpoint_serves_writer import ReaderEndpointServesWriter
from chaos.faults.replication_lag import ReplicationLag
from chaos.faults.slow_storage import SlowStorage
from chaos.model.answers import ApiAnswer
from chaos.model.identity import Identity
from chaos.model.record import read_events
from chaos.run.journal import Journal
from chaos.run.session import FaultSession, look_before
from chaos.testcluster.disturbances import DISTURBANCES

BRIEF: dict[str, Any] = {"settle_s": 0, "effect_timeout_s": 20}
FAULTS: tuple[Disturbance, ...] = (
    HangInstance(**BRIEF),
    PowerLoss(target="any reader", **BRIEF),
    PowerLoss(zone="eu-west-1b", **BRIEF),
    PacketLoss(percent=5, **BRIEF),
    Latency(delay_ms=100, **BRIEF),
    SlowStorage(commit_ms=10, **BRIEF),
    FullDisk(target="i3", **BRIEF),
    ReplicationLag(lag_s=2, **BRIEF),
    DnsStale(endpoint="reader", **BRIEF),
    DnsFlap(times=2, **BRIEF),
    DnsFlipDelay(delay_s=9, **BRIEF),
    DnsTtl(ttl_s=60, **BRIEF),
    DnsEmpty(endpoint="i2", **BRIEF),
    DnsNxdomain(**BRIEF),
    DnsServfail(probability=0.5, **BRIEF),
    DnsSlow(delay_s=1, **BRIEF),
    DnsDrop(**BRIEF),
    DnsTruncate(**BRIEF),
    ReaderEndpointServesWriter(only=True, **BRIEF),
    ApiThrottle(rate_per_s=2, **BRIEF),
    ApiError(code="ServiceUnavailable", message="planted", **BRIEF),
    ApiSlow(delay_s=2, operations=("Describe*",), **BRIEF),
    ApiDrop(silent=True, **BRIEF),
    ApiStale(behind_s=5, **BRIEF),
)
NO_PARAMETERS = {"kind", "name", "for_s", "instance", "cluster"}
"""What a disturbance has that a fault does not let a file set: the run and the target decide it."""


def told(fault: Fault) -> str:
    return fault.fault


def test_every_fault_of_the_kind_is_looked_at_here() -> None:
    assert {type(fault) for fault in FAULTS} == {
        kind for kind in CATALOGUE if kind.works_on == TEST_CLUSTER
    }


@pytest.mark.parametrize("fault", FAULTS, ids=told)
def test_its_parameters_are_the_disturbance_s(fault: Disturbance) -> None:
    """A fault may not import the test cluster, so that this alone holds names and bounds together."""
    schema = DISTURBANCES[fault.kind or fault.fault].model_json_schema()["properties"]
    theirs = {n: f for n, f in schema.items() if n not in NO_PARAMETERS}
    own = {
        n: f
        for n, f in type(fault).model_json_schema()["properties"].items()
        if n not in {*Fault.model_fields, "target"}
    }
    assert set(own) == set(theirs)
    for parameter, theirs_of in theirs.items():
        assert bare(own[parameter]) == bare(theirs_of), parameter


def bare(schema: Mapping[str, Any]) -> Any:
    """Return types and bounds, without words for people."""
    if isinstance(schema, dict):
        return {k: bare(v) for k, v in schema.items() if k not in {"title", "description"}}
    return [bare(one) for one in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("fault", FAULTS, ids=told)
def test_it_is_asked_for_under_its_key_and_taken_back_by_it(
    fault: Disturbance, rds: FakeRds, control: FakeControl
) -> None:
    before = seen(fault, rds, control)
    (record,) = fault.undo(before)
    fault.inject(context_of(rds, control), before)
    assert control.begun == {"key": record.fields}  # type: ignore[attr-defined]
    restoring = replace_control(rds, control)
    assert record.look(restoring).state == "needed"
    record.send(restoring)
    assert record.look(restoring).state == "right"
    assert control.ended == ["key"]
    assert rds.calls == [call for call in rds.calls if call[0] in {"query", "round_trips"}]


def replace_control(rds: FakeRds, control: FakeControl) -> Any:
    rds.control = control  # type: ignore[assignment]
    return rds


@pytest.mark.parametrize("fault", FAULTS, ids=told)
def test_it_is_refused_on_aws_and_says_why(fault: Disturbance, rds: FakeRds) -> None:
    one, two, three = rds.state.members
    rds.state = topology(members=(one, two, replace(three, availability_zone="eu-west-1b")))
    with pytest.raises(GuardRefused, match="c1 is no test cluster, and AWS has no call for this"):
        look_before(fault, rds.context, None, "key")
    assert rds.calls == []


@pytest.mark.parametrize(
    "fault",
    [
        DnsStale(**BRIEF),
        DnsFlap(**BRIEF),
        DnsFlipDelay(delay_s=5, **BRIEF),
        ApiStale(behind_s=5, **BRIEF),
        DnsTtl(ttl_s=60, **BRIEF),
        ApiError(**BRIEF),
        Latency(delay_ms=100, **BRIEF),
    ],
    ids=told,
)
def test_what_is_accepted_and_shows_nothing_has_no_effect(
    fault: Fault, rds: FakeRds, control: FakeControl, clock: VirtualClock, tmp_path: Path
) -> None:
    """The control address says that it is in force, and nobody feels it."""
    journal = Journal(tmp_path / "journal.jsonl", clock, lambda _: None)
    FaultSession(
        fault=fault,
        fault_id=1,
        step=1,
        repeat=1,
        run="run",
        first=rds.state,
        context=context_of(rds, control),
        restorer=replace_control(rds, control),
        journal=journal,
        clock=clock,
    ).carry_out()
    events = read_events(tmp_path / "journal.jsonl")
    (effect,) = (e.data for e in events if "effect" in e.data)
    assert effect["effect"] == "none"
    assert ("nested step" in effect["error"]) is fault.shows_later
    assert control.begun == {}
    assert len(control.ended) == 1


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (DnsTtl(ttl_s=5), "has a time to live of 5 s already"),
        (DnsEmpty(endpoint="nowhere"), "has no endpoint nowhere; say `cluster`, `reader`"),
        (DnsStale(endpoint="i2"), "only of `cluster` and `reader`"),
        (ReplicationLag(target="writer", lag_s=1), "i1 is the writer"),
        (SlowStorage(target="i2", commit_ms=10), "i2 is a reader, which commits nothing"),
        (PowerLoss(zone="eu-west-1c"), "its zones are eu-west-1a, eu-west-1b"),
        (HangInstance(target="i9"), "matches target 'i9'"),
    ],
    ids=lambda v: getattr(v, "fault", ""),
)
def test_what_could_not_be_told_or_done_is_refused_before(
    fault: Fault, why: str, rds: FakeRds, control: FakeControl
) -> None:
    with pytest.raises(GuardRefused, match=why):
        seen(fault, rds, control)
    assert control.begun == {}


@pytest.mark.parametrize(
    "fault",
    [HangInstance(), PowerLoss(target="writer"), PacketLoss(percent=100)],
    ids=told,
)
def test_of_what_is_silent_already_no_silence_is_told(
    fault: Fault, rds: FakeRds, control: FakeControl
) -> None:
    def silent(endpoint: str) -> Identity:
        raise DatabaseError(f"{endpoint} does not answer")

    rds.identify = silent  # type: ignore[method-assign]
    with pytest.raises(DatabaseError, match="i1 does not answer"):
        seen(fault, rds, control)


def test_a_reader_that_lags_already_is_not_made_to(rds: FakeRds, control: FakeControl) -> None:
    rds.replies["aurora_replica_status"] = [("i2", 900.0)]
    assert seen(ReplicationLag(lag_s=2), rds, control).target == "i2"
    rds.replies["aurora_replica_status"] = [("i2", 1000.0)]
    with pytest.raises(GuardRefused, match="i2 is 1000 ms behind already"):
        seen(ReplicationLag(lag_s=2), rds, control)


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (ApiThrottle(rate_per_s=2), api(attempts=2)),
        (ApiSlow(delay_s=2), api(duration_s=2.5)),
    ],
    ids=["throttle", "slow"],
)
def test_an_api_that_is_so_already_is_not_made_so(
    fault: Fault, answer: ApiAnswer, rds: FakeRds, control: FakeControl
) -> None:
    rds.answers["DescribeDBClusters"] = answer
    with pytest.raises(GuardRefused, match="answers so already"):
        seen(fault, rds, control)


def test_a_zone_that_holds_everybody_is_not_cut(rds: FakeRds) -> None:
    with pytest.raises(GuardRefused, match="nothing would serve"):
        PowerLoss(zone="eu-west-1a").resolve(rds.state)


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        (PowerLoss, {}, "name either a target or a zone"),
        (PowerLoss, {"target": "writer", "zone": "a"}, "name either a target or a zone"),
        (SlowStorage, {}, "set commit_ms, statement_ms_max, or both"),
        (SlowStorage, {"statement_ms_min": 2, "statement_ms_max": 1}, "must not be less"),
        (ApiThrottle, {}, "give either rate_per_s or probability"),
        (ApiError, {"operations": ["FailoverDBCluster"]}, "its effect could not be seen"),
        (ApiSlow, {"delay_s": 1, "service": "sts"}, "its effect could not be seen"),
        (DnsSlow, {"delay_s": 61}, "less than or equal to 60"),
        (Latency, {"delay_ms": 0}, "greater than 0"),
    ],
)
def test_wrong_parameters_are_told(kind: type[Fault], fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        kind(**fields)
