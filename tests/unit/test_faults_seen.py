"""How the effect of what only a test cluster can suffer is seen from outside."""

from __future__ import annotations

from typing import Any

import pytest
from fix_control import FakeControl, api, context_of, name, seen
from fix_rds import FakeRds

from chaos.errors import DatabaseError, GuardRefused
from chaos.faults.api_drop import ApiDrop
from chaos.faults.api_error import ApiError
from chaos.faults.api_slow import ApiSlow
from chaos.faults.api_stale import ApiStale
from chaos.faults.api_throttle import ApiThrottle
from chaos.faults.base import Fault
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
from chaos.faults.hang_instance import HangInstance
from chaos.faults.latency import Latency
from chaos.faults.packet_loss import PacketLoss
from chaos.faults.power_loss import PowerLoss
from chaos.faults.reader_endpoint_serves_writer import ReaderEndpointServesWriter
from chaos.faults.slow_storage import SlowStorage
from chaos.model.answers import ApiAnswer, NameAnswer


def told(fault: Fault) -> str:
    return fault.fault


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        (DnsEmpty(), name("", error="NODATA")),
        (DnsNxdomain(), name("", error="NXDOMAIN")),
        (DnsServfail(), name("", error="SERVFAIL")),
        (DnsDrop(), name("", error="timeout", took_s=4)),
        (DnsSlow(delay_s=1), name("127.0.0.1", took_s=1.1)),
        (DnsSlow(delay_s=9), name("", error="timeout", took_s=4)),
        (DnsTruncate(), name("127.0.0.1", by_tcp=True)),
        (DnsTtl(ttl_s=60), name("127.0.0.1", ttl_s=60)),
    ],
    ids=lambda v: getattr(v, "fault", ""),
)
def test_a_name_shows_the_effect_by_its_answer(
    fault: Fault, struck: NameAnswer, rds: FakeRds, control: FakeControl
) -> None:
    context, before = context_of(rds, control), seen(fault, rds, control)
    assert fault.took_effect(context, before) is None
    assert fault.is_recovered(context, before)
    rds.named["cluster"] = struck
    assert fault.took_effect(context, before) == "c1"
    assert not fault.is_recovered(context, before)


@pytest.mark.parametrize(
    ("fault", "struck"),
    [
        (ApiThrottle(probability=0.5), api(attempts=2)),
        (ApiThrottle(rate_per_s=0), api("Throttling", attempts=5)),
        (ApiError(), api("InternalFailure")),
        (ApiSlow(delay_s=2), api(duration_s=2.1)),
        (ApiSlow(delay_s=60), api("no answer", duration_s=10)),
        (ApiDrop(), api("no answer")),
    ],
    ids=lambda v: getattr(v, "fault", ""),
)
def test_the_api_shows_the_effect_by_its_answer(
    fault: Fault, struck: ApiAnswer, rds: FakeRds, control: FakeControl
) -> None:
    context, before = context_of(rds, control), seen(fault, rds, control)
    assert fault.took_effect(context, before) is None
    assert fault.is_recovered(context, before)
    rds.answers["DescribeDBClusters"] = struck
    assert fault.took_effect(context, before) == "c1"
    assert not fault.is_recovered(context, before)
    if struck.error_code:
        with pytest.raises(GuardRefused, match=f"answers {struck.error_code} already"):
            seen(fault, rds, control)


@pytest.mark.parametrize("fault", [HangInstance(), PowerLoss(zone="eu-west-1a")], ids=told)
def test_an_instance_is_gone_when_it_does_not_answer_and_not_when_it_refuses(
    fault: Fault, rds: FakeRds, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, before = context_of(rds, control), seen(fault, rds, control)
    for sqlstate, gone in ((None, True), ("57P03", True), ("53300", False), ("28P01", False)):

        def silent(endpoint: str, sqlstate: str | None = sqlstate) -> Any:
            raise DatabaseError("planted", sqlstate=sqlstate)

        with monkeypatch.context() as patched:
            patched.setattr(rds, "identify", silent)
            assert bool(fault.took_effect(context, before)) is gone
            assert fault.is_recovered(context, before) is not gone
    assert fault.took_effect(context, before) is None


def test_statements_show_latency_and_lost_packets(rds: FakeRds, control: FakeControl) -> None:
    context = context_of(rds, control)
    late, lossy = Latency(delay_ms=100), PacketLoss(percent=5)
    slow = SlowStorage(commit_ms=50, statement_ms_max=100, percent=50)
    before = {f: seen(f, rds, control) for f in (late, lossy, slow)}
    assert [f.took_effect(context, before[f]) for f in before] == [None] * 3
    rds.trip_s = 0.0505
    rds.sent_again = 1
    assert [f.took_effect(context, before[f]) for f in before] == [None, "i1", "i1"]
    rds.trip_s = 0.052
    assert late.took_effect(context, before[late]) == "i1"


def test_a_name_is_stale_once_the_writer_moved_and_it_did_not(
    rds: FakeRds, control: FakeControl
) -> None:
    fault = DnsStale()
    context, before = context_of(rds, control), seen(fault, rds, control)
    assert fault.took_effect(context, before) is None
    rds._promote("i2")
    assert fault.took_effect(context, before) == "c1"
    assert not fault.is_recovered(context, before)
    rds.named["cluster"] = name("127.0.0.2")
    assert fault.took_effect(context, before) is None
    assert fault.is_recovered(context, before)


def test_a_name_flaps_when_it_leads_astray_again(rds: FakeRds, control: FakeControl) -> None:
    fault = DnsFlap()
    context, before = context_of(rds, control), seen(fault, rds, control)
    rds._promote("i2")
    assert fault.took_effect(context, before) is None
    rds.named["cluster"] = name("127.0.0.2")
    assert fault.took_effect(context, before) is None
    rds.named["cluster"] = name("127.0.0.1")
    assert fault.took_effect(context, before) == "c1"


def test_a_flip_is_late_when_the_name_leads_astray_for_so_long(
    rds: FakeRds, control: FakeControl
) -> None:
    """Every flip takes a while, so leading astray alone proves nothing."""
    fault = DnsFlipDelay(delay_s=10)
    context, before = context_of(rds, control), seen(fault, rds, control)
    rds._promote("i2")
    for at_s, astray in ((1, True), (5, True), (7, False), (8, True), (13.5, True)):
        rds.named["cluster"] = name("127.0.0.1" if astray else "127.0.0.2", at_s=at_s)
        fault.meanwhile(context, before)
    assert fault.took_effect(context, before) == "c1"
    before.seen.notes[:] = before.seen.notes[:3]
    rds.named["cluster"] = name("127.0.0.2", at_s=18)
    assert fault.took_effect(context, before) is None
    assert fault.is_recovered(context, before)


def test_the_reader_endpoint_shows_the_writer(rds: FakeRds, control: FakeControl) -> None:
    fault = ReaderEndpointServesWriter()
    context, before = context_of(rds, control), seen(fault, rds, control)
    assert fault.took_effect(context, before) is None
    rds.named["reader"] = name("127.0.0.1")
    assert fault.took_effect(context, before) == "i1"
    assert not fault.is_recovered(context, before)
    with pytest.raises(GuardRefused, match="serves i1 already"):
        seen(fault, rds, control)


def test_an_api_is_stale_when_sql_contradicts_it(
    rds: FakeRds, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = ApiStale(behind_s=5)
    context, before = context_of(rds, control), seen(fault, rds, control)
    assert fault.took_effect(context, before) is None
    now, identify = rds.state, rds.identify
    told = {endpoint: identify(endpoint) for endpoint in ("i1", "i2", "i3")}
    rds._promote("i2")
    monkeypatch.setattr(rds, "identify", lambda endpoint: told[endpoint])
    assert fault.took_effect(context, before) == "c1"
    rds.state = now
    assert fault.is_recovered(context, before)
