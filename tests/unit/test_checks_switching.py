"""Names, landings, roles and readers around a failover, on runs in which all of it is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from connection_builder import NEW, OLD, READ_ONLY, THIRD, Pool, failover
from fix_history import RunBuilder
from pydantic import ValidationError

from chaos.checks.connections import connections, connections_of
from chaos.checks.instants import instants
from chaos.checks.poisoned_pool import poisonings
from chaos.checks.recording import Recording
from chaos.checks.skew import ReaderSkew, skew
from chaos.checks.switching import switching
from chaos.checks.switching_roles import roles
from chaos.checks.switching_topology import judge_topology
from chaos.model.operation import Kind, Role
from chaos.model.shares import SHARE_DTYPE
from chaos.model.verdict import Verdict

UNTIL_S = 20.0


@pytest.fixture
def run(run_builder: RunBuilder) -> RunBuilder:
    """A failover that is requested at 10 s; the new writer is seen at 11 s, the old one at 12 s."""
    failover(run_builder, 10.0, until_s=UNTIL_S)
    return run_builder


def resolved(
    run: RunBuilder, at_s: float, address: str, *, last_s: float, process: int = 1
) -> None:
    """Let the arm's resolver answer something new, after it answered the old at `last_s` last."""
    run.observe(at_s, "resolved", "arm cluster", address, width_s=at_s - last_s, process=process)


def of_promotion(run: RunBuilder) -> dict[str, Any]:
    (told,) = switching(Recording(run.write()))
    return told


def test_what_names_led_to_is_told_by_probes_and_by_each_arm(run: RunBuilder) -> None:
    Pool(run).connect(NEW, 1.0, closed_s=2.0)  # from which the address is known
    run.observe(0.2, "dns", "cluster", OLD, addresses=["127.0.0.1"])
    for at_s, instance in ((11.5, NEW), (11.7, OLD), (11.8, NEW)):
        run.observe(at_s, "dns", "cluster", instance)
    resolved(run, 0.5, "127.0.0.1", last_s=0.0)
    resolved(run, 13.0, "127.0.0.2", last_s=12.4)
    probes, arm = of_promotion(run)["answers"]
    assert probes["first_right"] == {"at_s": 11.5, "uncertainty_s": pytest.approx(0.05)}
    assert probes["last_stale"] == {"at_s": 11.8, "uncertainty_s": pytest.approx(0.05)}
    assert arm["witness"] == "arm"
    assert arm["first_right"] == {"at_s": 13.0, "uncertainty_s": pytest.approx(0.6)}
    assert arm["last_stale"] == {"at_s": 13.0, "uncertainty_s": pytest.approx(0.6)}


def test_the_named_instants_of_a_failover_tell_it_for_each_arm(run: RunBuilder) -> None:
    run.observe(0.3, "writer", run.cluster, OLD)
    run.observe(12.5, "writer", run.cluster, NEW)
    Pool(run).connect(OLD, 1.0)
    Pool(run).connect(NEW, 13.2, took_s=0.2)
    resolved(run, 0.5, "127.0.0.1", last_s=0.0)
    resolved(run, 13.01, "127.0.0.2", last_s=12.4)
    recording = Recording(run.write())
    told = {(i.name, i.arm): i for i in instants(recording, recording.injections[0])}
    right = told["client's DNS answers the new writer", "arm"]
    stale = told["last stale DNS answer to a client", "arm"]
    assert (right.at_s, right.uncertainty_s) == (13.01, pytest.approx(0.61))
    assert (stale.at_s, stale.instance) == (13.01, OLD)
    connected = told["first new connection to the new writer", "arm"]
    assert (connected.at_s, connected.uncertainty_s) == (13.2, pytest.approx(0.2))


def test_an_answer_of_before_the_promotion_is_not_stale(run: RunBuilder) -> None:
    """It asked for the last time before, and not again until the name was right."""
    for instance, at_s in ((OLD, 1.0), (NEW, 13.1)):
        Pool(run).connect(instance, at_s)
    resolved(run, 0.5, "127.0.0.1", last_s=0.0)
    resolved(run, 13.0, "127.0.0.2", last_s=0.5)
    (arm,) = of_promotion(run)["answers"]
    assert arm["first_right"]["at_s"] == 13.0
    assert arm["last_stale"] == {"at_s": None, "uncertainty_s": None, "why": "none was heard"}


def test_an_arm_that_heard_nothing_right_is_told_so(run: RunBuilder) -> None:
    Pool(run).connect(OLD, 1.0)
    resolved(run, 0.5, "127.0.0.1", last_s=0.0)
    (arm,) = of_promotion(run)["answers"]
    assert arm["first_right"]["why"] == "no answer led there"
    assert arm["last_stale"]["why"] == "the last answer was stale"


def test_the_latest_of_an_arm_s_workers_counts(run: RunBuilder) -> None:
    for instance, at_s in ((OLD, 1.0), (NEW, 13.1)):
        Pool(run).connect(instance, at_s)
    for process, right_s in ((1, 12.0), (2, 14.0)):
        resolved(run, 0.5, "127.0.0.1", last_s=0.0, process=process)
        resolved(run, right_s, "127.0.0.2", last_s=right_s - 0.3, process=process)
    (arm,) = of_promotion(run)["answers"]
    assert (arm["first_right"]["at_s"], arm["last_stale"]["at_s"]) == (12.0, 14.0)


def test_what_another_machine_s_clock_told_is_less_certain(run: RunBuilder) -> None:
    """Its clock may be wrong by 0.2 s: bounds move outwards, a landing must be certain."""
    pool = Pool(run)
    pool.connect(OLD, 11.1, closed_s=11.3)
    pid = pool.connect(OLD, 12.4, closed_s=14.0)
    pool.use(OLD, pid, 12.5, error=READ_ONLY)
    pool.connect(NEW, 13.2)
    resolved(run, 0.5, "127.0.0.1", last_s=0.0)
    resolved(run, 13.0, "127.0.0.2", last_s=12.4)
    history = run.write()
    shares = np.zeros(1, dtype=SHARE_DTYPE)
    shares["error_ns"] = 200_000_000
    log = replace(history.arms["arm"], shares=shares)
    recording = Recording(replace(history, arms={**history.arms, "arm": log}))
    (told,) = switching(recording)
    (arm,) = told["answers"]
    assert arm["last_stale"] == {"at_s": 13.2, "uncertainty_s": pytest.approx(1.0)}
    assert [one["count"] for one in told["landed"] if one["arm"] == "arm"] == [1]
    (poisoned,) = (p for p in poisonings(recording) if p.arm == "arm")
    assert poisoned.measured_s == pytest.approx(14.2 - 12.19)
    assert poisoned.measured_s - poisoned.uncertainty_s == pytest.approx(14.0 - 12.4 - 0.4)


def test_who_landed_on_the_old_writer_is_counted_and_listed(run: RunBuilder) -> None:
    """Only what was ready after the new writer was one, through the cluster endpoint."""
    pool, readers = Pool(run), Pool(run, endpoint="reader")
    pool.connect(OLD, 10.9)
    pool.connect(OLD, 12.1, closed_s=13.0, role=Role.READER)
    pool.connect(OLD, 12.6)
    pool.connect(NEW, 12.7)
    readers.connect(OLD, 12.8, pid=9)
    (landed,) = of_promotion(run)["landed"]
    assert (landed["arm"], landed["count"], landed["left"]) == ("arm", 2, 1)
    assert (landed["first"], landed["last"]) == (12.1, 12.6)
    assert landed["connections"][0] == {
        "backend_pid": 101,
        "began": 12.09,
        "opened": 12.1,
        "closed": 13.0,
    }


def test_a_demoted_writer_is_astray_while_it_answers_until_it_writes_again(
    run_builder: RunBuilder,
) -> None:
    failover(run_builder, 5.0, until_s=UNTIL_S)
    failover(run_builder, 12.0, until_s=UNTIL_S, old=NEW, new=OLD)
    found = roles(Recording(run_builder.write()))
    assert [p.instance for p in found.promotions] == [NEW, OLD]
    (first, second) = found.astray
    assert first.instance == OLD
    assert first.ended is not None
    assert (second.instance, second.ended) == (NEW, None)


def test_an_operation_belongs_to_the_last_connection_of_its_process_id(
    run_builder: RunBuilder,
) -> None:
    """A process id comes again; a retried operation used two connections."""
    pool = Pool(run_builder)
    pool.connect(OLD, 1.0, closed_s=2.0, pid=7)
    pool.connect(OLD, 3.0, pid=7)
    pool.connect(NEW, 3.5, pid=8)
    pool.fail(3.6)
    for at_s in (1.2, 1.4, 3.2):
        pool.use(OLD, 7, at_s)
    pool.use(OLD, 7, 4.0, error=READ_ONLY, retried=(NEW, 8))
    pool.use(THIRD, 7, 4.1)  # of which no log tells
    recording = Recording(run_builder.write())
    found = connections_of(recording, "arm")
    assert found is not None
    served, failed, refused = found.carried()
    assert served.tolist() == [2, 1, 1]
    assert failed.tolist() == refused.tolist() == [0, 1, 0]
    old, new, unopened = connections(recording)
    assert (old["instance"], old["opened"], old["most_at_once"], old["served"]) == (OLD, 2, 1, 3)
    assert (new["instance"], new["refused_read_only"]) == (NEW, 0)
    assert unopened["errors"] == {"----- ConnectionRefused": 1}


def reads(run: RunBuilder, shares: dict[str, float], from_s: float, to_s: float) -> None:
    """A hundred reads, dealt to instances in these shares."""
    pool = Pool(run, endpoint="reader")
    dealt = [i for i, share in shares.items() for _ in range(round(share * 100))]
    for number, instance in enumerate(dealt):
        at_s = from_s + (to_s - from_s) * number / len(dealt)
        pool.use(instance, 1, at_s, kind=Kind.READ)


@pytest.fixture
def lost_reader(run_builder: RunBuilder) -> RunBuilder:
    """A reader is away from 10 s to 12 s; the run goes on to 20 s."""
    for member, role in ((OLD, "writer"), (NEW, "reader"), (THIRD, "reader")):
        run_builder.observe(0.1, "role", member, role)
    run_builder.fault("delete-reader", 10.0, ended_s=13.0)
    run_builder.observe(10.1, "role", THIRD, "unreachable")
    run_builder.observe(12.0, "role", THIRD, "reader")
    run_builder.traffic("other", "cluster", Kind.WRITE, per_s=1, until_s=UNTIL_S)
    reads(run_builder, {NEW: 0.5, THIRD: 0.5}, 1.0, 9.0)
    return run_builder


def test_a_pool_that_never_returns_to_a_reader_is_skewed(lost_reader: RunBuilder) -> None:
    reads(lost_reader, {NEW: 1.0}, 14.1, 19.0)
    recording = Recording(lost_reader.write())
    check = ReaderSkew(check="reader-skew", arm="arm", share_max=0.8, skew_max=2.5)
    share, times = check.judge(recording)
    assert (share.verdict, share.measured) == (Verdict.FAIL, 1.0)
    assert (times.verdict, times.measured) == (Verdict.PASS, 2.0)
    (told,) = [one for one in skew(recording) if one["arm"] == "arm"]
    assert told["before"]["share_max"] == 0.5
    assert told["after"]["reads"] == {NEW: 100, THIRD: 0}
    assert told["after"]["readers"] == [NEW, THIRD]
    (back,) = told["returned"]
    assert (back["instance"], back["served"]) == (THIRD, None)


def test_an_even_spread_passes_and_the_return_is_timed(lost_reader: RunBuilder) -> None:
    reads(lost_reader, {NEW: 0.6, THIRD: 0.4}, 14.1, 19.0)
    recording = Recording(lost_reader.write())
    (finding,) = ReaderSkew(check="reader-skew", arm="arm", share_max=0.8).judge(recording)
    assert (finding.verdict, finding.measured) == (Verdict.PASS, 0.6)
    (told,) = [one for one in skew(recording) if one["arm"] == "arm"]
    (back,) = told["returned"]
    # Of 100 reads in 4.9 s the 61st is the first on it; it was back between 11.95 s and 12 s.
    assert back["measured"] == pytest.approx(14.1 + 4.9 * 0.6 - 11.95, abs=0.01)
    assert back["uncertainty_s"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ((14.1, 14.2, 0.2), "only 100 reads before and 20 after"),
        (None, "only 100 reads before and 0 after"),
    ],
)
def test_few_reads_show_no_skew(
    lost_reader: RunBuilder, after: tuple[float, float, float] | None, why: str
) -> None:
    if after is not None:
        reads(lost_reader, {NEW: after[2]}, after[0], after[1])
    recording = Recording(lost_reader.write())
    check = ReaderSkew(check="reader-skew", arm="arm", share_max=0.1, skew_max=2.5)
    found = check.judge(recording)
    assert [(f.verdict, f.limit, f.unit) for f in found] == [
        (Verdict.UNKNOWN, 0.1, "ratio"),
        (Verdict.UNKNOWN, 2.5, "times the mean"),
    ]
    assert all(why in finding.why for finding in found)


def test_a_bound_is_needed() -> None:
    with pytest.raises(ValidationError, match="give share_max or skew_max"):
        ReaderSkew(check="reader-skew", arm="arm")


def test_an_api_that_lags_behind_an_election_is_shown(run: RunBuilder) -> None:
    run.observe(0.3, "writer", run.cluster, OLD)
    run.observe(12.5, "writer", run.cluster, NEW)
    (finding,) = judge_topology(Recording(run.write()))
    assert finding.verdict is None
    assert (finding.from_s, finding.to_s) == (pytest.approx(10.95), pytest.approx(12.5))


def test_an_api_that_names_another_writer_for_no_reason_is_unknown(
    run_builder: RunBuilder,
) -> None:
    for member, role in ((OLD, "writer"), (NEW, "reader")):
        run_builder.observe(0.1, "role", member, role)
    run_builder.observe(0.3, "writer", run_builder.cluster, OLD)
    run_builder.observe(4.0, "writer", run_builder.cluster, NEW)
    run_builder.observe(6.0, "writer", run_builder.cluster, OLD)
    run_builder.observe(8.0, "writer", run_builder.cluster, NEW)
    run_builder.traffic("arm", "cluster", Kind.WRITE, per_s=1, until_s=UNTIL_S)
    passing, lasting = judge_topology(Recording(run_builder.write()))
    assert (passing.verdict, passing.measured) == (Verdict.UNKNOWN, pytest.approx(2.05))
    assert passing.uncertainty_s == pytest.approx(0.1)
    assert "no fault was under way" in passing.why
    assert (lasting.verdict, lasting.to_s) == (Verdict.UNKNOWN, None)
    assert f"the writer was {NEW} by the API, {OLD} by SQL, to the end" in lasting.why


def test_what_the_rollback_changes_is_no_disagreement(run_builder: RunBuilder) -> None:
    """Instances are asked until traffic stops, the API longer."""
    for member, role in ((OLD, "writer"), (NEW, "reader")):
        run_builder.observe(0.1, "role", member, role)
    run_builder.observe(0.3, "writer", run_builder.cluster, OLD)
    run_builder.observe(UNTIL_S + 2, "writer", run_builder.cluster, NEW)
    run_builder.traffic("arm", "cluster", Kind.WRITE, per_s=1, until_s=UNTIL_S)
    assert judge_topology(Recording(run_builder.write())) == []
