"""A pool that keeps connections to a demoted writer, on runs whose connections are all known."""

from __future__ import annotations

import pytest
from connection_builder import NEW, OLD, READ_ONLY, THIRD, Pool, failover
from fix_history import RunBuilder

from chaos.checks.poisoned_pool import Poisoning, poisoned, poisonings
from chaos.checks.poisoned_pool_check import PoisonedPool, inform
from chaos.checks.recording import Recording
from chaos.model.operation import Kind
from chaos.model.verdict import Finding, Verdict

FAULT_S, UNTIL_S = 10.0, 20.0


@pytest.fixture
def pool(run_builder: RunBuilder) -> Pool:
    """The pool of `arm` in a run of one failover: requested at 10 s, demoted and answering at 12 s."""
    failover(run_builder, FAULT_S, until_s=UNTIL_S)
    return Pool(run_builder)


def of_arm(pool: Pool) -> Poisoning:
    (one,) = [p for p in poisonings(Recording(pool.run.write())) if p.arm == pool.arm]
    return one


def judged(pool: Pool, limit_s: float | None = None) -> Finding:
    check = PoisonedPool(check="poisoned-pool", arm=pool.arm, poisoned_s_max=limit_s)
    (finding,) = check.judge(Recording(pool.run.write()))
    return finding


def work(pool: Pool, instance: str, pid: int, from_s: float, to_s: float, error: str = "") -> None:
    """Ten operations a second."""
    for turn in range(round((to_s - from_s) * 10)):
        pool.use(instance, pid, from_s + turn / 10, error=error)


def test_a_connection_to_the_demoted_writer_that_stays_is_found_and_fails(pool: Pool) -> None:
    """Two of three connections were opened while the name led astray, and are kept."""
    pool.connect(NEW, 12.3)
    for at_s in (12.4, 12.5):
        pid = pool.connect(OLD, at_s)
        work(pool, OLD, pid, at_s + 0.1, 19.9, READ_ONLY)
    finding = judged(pool)
    assert finding.verdict is Verdict.FAIL
    assert finding.to_s is None
    assert finding.from_s == pytest.approx(12.39)
    assert finding.measured == pytest.approx(20.0 - 12.39, abs=1e-3)
    assert "2 connections were pinned to gameday-instance-1" in finding.why
    assert "67% of the pool" in finding.why
    assert "2 were left at the end" in finding.why
    assert "remedy: " in finding.why


def test_a_pool_that_lets_go_passes_and_tells_for_how_long(pool: Pool) -> None:
    """One connection landed there, refused a write, and was dropped."""
    pid = pool.connect(OLD, 12.4, closed_s=13.0)
    pool.use(OLD, pid, 12.9, error=READ_ONLY, retried=(NEW, 500))
    new = pool.connect(NEW, 13.1)
    work(pool, NEW, new, 13.2, 19.9)
    one = of_arm(pool)
    assert (one.pinned, one.remaining, one.refused, one.failed) == (1, 0, 1, 0)
    assert one.measured_s == pytest.approx(0.61)
    assert one.uncertainty_s == pytest.approx(0.01)
    assert one.share_max == 1.0


def test_the_limit_binds_the_whole_figure(pool: Pool) -> None:
    pid = pool.connect(OLD, 12.4, closed_s=13.0, took_s=0.1)
    pool.use(OLD, pid, 12.9, error=READ_ONLY)
    work(pool, NEW, pool.connect(NEW, 13.1), 13.2, 19.9)
    recording = Recording(pool.run.write())

    def verdict(limit_s: float | None) -> Verdict | None:
        check = PoisonedPool(check="poisoned-pool", arm="arm", poisoned_s_max=limit_s)
        return check.judge(recording)[0].verdict

    # Truth lies in 0.6 to 0.7 s.
    assert verdict(0.5) is Verdict.FAIL
    assert verdict(0.65) is Verdict.UNKNOWN
    assert verdict(0.75) is Verdict.PASS
    assert verdict(None) is Verdict.PASS


def test_the_time_between_two_pins_is_none(pool: Pool) -> None:
    """A connection for each operation: two landed on the old writer, for a tenth of a second each."""
    for at_s in (12.4, 18.0):
        pid = pool.connect(OLD, at_s, closed_s=at_s + 0.1)
        pool.use(OLD, pid, at_s + 0.05, error=READ_ONLY)
    work(pool, NEW, pool.connect(NEW, 12.6), 12.7, 19.9)
    recording = Recording(pool.run.write())
    (finding,) = PoisonedPool(arm="arm", poisoned_s_max=1).judge(recording)
    assert finding.verdict is Verdict.PASS, finding
    assert finding.measured == pytest.approx(0.11)
    (one,) = (p for p in poisonings(recording) if p.arm == "arm")
    assert one.measured_s == pytest.approx(0.22)
    assert one.uncertainty_s == pytest.approx(0.02)


def test_what_died_with_the_restart_is_broken_and_not_pinned(pool: Pool) -> None:
    """The pool keeps it, unnoticed: its server process is gone."""
    pool.connect(OLD, 1.0)
    work(pool, NEW, pool.connect(NEW, 12.5), 12.6, 19.9)
    one = of_arm(pool)
    assert (one.pinned, one.measured_s) == (0, 0.0)


def test_a_writer_demoted_in_place_keeps_every_connection_pinned(run_builder: RunBuilder) -> None:
    """It never restarted: what was open before the promotion is on a reader since."""
    for member, role in ((OLD, "writer"), (NEW, "reader")):
        run_builder.observe(0.1, "role", member, role)
    failover_s = 10.0
    run_builder.fault("failover-cluster", failover_s, ended_s=13.0)
    run_builder.observe(10.9, "role", OLD, "reader", width_s=0.2)
    run_builder.observe(11.0, "role", NEW, "writer")
    run_builder.traffic("other", "reader", Kind.READ, per_s=1, until_s=UNTIL_S)
    pool = Pool(run_builder)
    pid = pool.connect(OLD, 1.0)
    work(pool, OLD, pid, 11.5, 19.9, READ_ONLY)
    one = of_arm(pool)
    assert (one.pinned, one.remaining, one.unused) == (1, 1, 0)
    assert one.from_ns == pytest.approx(1_010_700_000_000)
    assert one.uncertainty_s == pytest.approx(0.2)


def test_an_idle_connection_is_pinned_too_but_proves_nothing(pool: Pool) -> None:
    """Nobody used it: whether the pool would hand it out again is not known."""
    pool.connect(OLD, 12.4)
    work(pool, NEW, pool.connect(NEW, 12.5), 12.6, 19.9)
    one = of_arm(pool)
    assert (one.pinned, one.remaining, one.unused) == (1, 1, 1)
    assert one.share_max == pytest.approx(1.0)


def test_an_idle_connection_that_is_left_is_unknown(pool: Pool) -> None:
    pool.connect(OLD, 12.4)
    work(pool, NEW, pool.connect(NEW, 12.5), 12.6, 19.9)
    finding = judged(pool)
    assert finding.verdict is Verdict.UNKNOWN
    assert "1 of them unused since" in finding.why


def test_a_refusal_shows_a_pin_before_the_probes_do(pool: Pool) -> None:
    """The demoted writer answered this client before a probe reached it, and was left at once."""
    pid = pool.connect(OLD, 11.2, closed_s=11.6)
    pool.use(OLD, pid, 11.5, error=READ_ONLY)
    work(pool, NEW, pool.connect(NEW, 11.7), 11.8, 19.9)
    one = of_arm(pool)
    assert (one.pinned, one.refused, one.remaining) == (1, 1, 0)
    assert one.measured_s == pytest.approx(0.1)


def test_each_failover_has_its_own_pins(run_builder: RunBuilder) -> None:
    """What the first one left is told of the second as well, until it is closed; nothing else is."""
    failover(run_builder, 5.0, until_s=40.0)
    failover(run_builder, 20.0, until_s=40.0, old=NEW, new=THIRD)
    pool = Pool(run_builder)
    work(pool, OLD, pool.connect(OLD, 7.5, closed_s=9.0), 7.6, 8.9, READ_ONLY)
    work(pool, OLD, pool.connect(OLD, 7.5, closed_s=23.0), 7.6, 22.9, READ_ONLY)
    work(pool, NEW, pool.connect(NEW, 22.5, closed_s=24.0), 22.6, 23.9, READ_ONLY)
    recording = Recording(pool.run.write())
    first, second = (p for p in poisonings(recording) if p.arm == "arm")
    assert (first.instances, first.pinned, first.remaining) == ((OLD,), 2, 1)
    assert (second.instances, second.pinned, second.remaining) == ((OLD, NEW), 2, 0)
    assert second.measured_s == pytest.approx(4.0)
    assert second.share_max == 1.0
    assert second.refused == 42


def test_a_reader_lost_after_a_failover_is_no_demotion(run_builder: RunBuilder) -> None:
    failover(run_builder, 5.0, until_s=40.0)
    run_builder.fault("delete-reader", 20.0, fault_id=2, ended_s=25.0)
    pool = Pool(run_builder)
    work(pool, NEW, pool.connect(NEW, 7.5), 7.6, 30.0)
    (only,) = (p for p in poisonings(Recording(pool.run.write())) if p.arm == "arm")
    assert (only.injection.fault, only.instances) == ("failover-cluster", (OLD,))


def test_a_pool_of_another_endpoint_is_no_concern(pool: Pool) -> None:
    """A demoted writer is a good reader."""
    readers = Pool(pool.run, endpoint="reader")
    readers.connect(OLD, 12.4, pid=7)
    work(pool, NEW, pool.connect(NEW, 12.5), 12.6, 19.9)
    assert of_arm(pool).pinned == 0


def test_without_evidence_nothing_passes(run_builder: RunBuilder) -> None:
    failover(run_builder, FAULT_S, until_s=UNTIL_S)
    pool = Pool(run_builder)
    recording = Recording(run_builder.write())
    check = PoisonedPool(check="poisoned-pool", arm=pool.arm, poisoned_s_max=None)
    (unlogged,) = check.judge(recording)
    assert (unlogged.verdict, unlogged.why) == (
        Verdict.UNKNOWN,
        "no connection of this arm was recorded",
    )


def test_too_little_traffic_after_the_demotion_is_unknown(pool: Pool) -> None:
    work(pool, NEW, pool.connect(NEW, 12.5), 19.0, 19.9)
    finding = judged(pool)
    assert finding.verdict is Verdict.UNKNOWN
    assert "only 9 operations after the demotion" in finding.why


def test_a_run_without_a_demotion_is_unknown(run_builder: RunBuilder) -> None:
    run_builder.fault("noop", 5.0)
    pool = Pool(run_builder)
    work(pool, OLD, pool.connect(OLD, 0.5), 1.0, 9.0)
    run_builder.observe(0.1, "role", OLD, "writer")
    run_builder.traffic("other", "reader", Kind.READ, per_s=1, until_s=UNTIL_S)
    finding = judged(pool)
    assert finding.verdict is Verdict.UNKNOWN
    assert "no demoted writer was seen to answer" in finding.why


def test_a_poisoned_pool_is_told_where_no_objective_asks(pool: Pool) -> None:
    pid = pool.connect(OLD, 12.4)
    work(pool, OLD, pid, 12.5, 19.9, READ_ONLY)
    recording = Recording(pool.run.write())
    (told,) = inform(recording, ())
    assert (told.verdict, told.arm) == (None, "arm")
    assert inform(recording, (PoisonedPool(check="poisoned-pool"),)) == []
    (shown,) = [one for one in poisoned(recording) if one["arm"] == "arm"]
    assert shown["steps"][-1][1:] == [1, 1]
    assert (shown["remaining"], shown["to"]) == (1, None)
    assert shown["refused"] == shown["failed"] == 74


@pytest.mark.parametrize("through", ["its own name", "the cluster's"])
def test_an_instance_that_tells_its_address_alone_is_known_by_the_name_server(
    pool: Pool, through: str
) -> None:
    """A PostgreSQL that is not Aurora: the probes were told to whom the address belongs."""
    subject, value = (OLD, "127.0.0.1") if through == "its own name" else ("cluster", OLD)
    pool.run.observe(0.2, "dns", subject, value, addresses=["127.0.0.1"])
    pool.run.observe(0.2, "dns", NEW, "127.0.0.2", addresses=["127.0.0.2"])
    pool.by_address = True
    stuck = pool.connect(OLD, 12.4)
    work(pool, "127.0.0.1", stuck, 12.5, 19.9, READ_ONLY)
    work(pool, "127.0.0.2", pool.connect(NEW, 12.5), 12.6, 19.9)
    finding = judged(pool)
    assert finding.verdict is Verdict.FAIL
    assert "1 connections were pinned to gameday-instance-1" in finding.why


def test_refusals_of_nobody_knows_whom_keep_it_from_passing(pool: Pool) -> None:
    """Neither the probes nor a name tell whose the address is that refused them."""
    pool.by_address = True
    work(pool, "127.0.0.1", pool.connect(OLD, 12.4), 12.5, 19.9, READ_ONLY)
    work(pool, "127.0.0.2", pool.connect(NEW, 12.5), 12.6, 19.9)
    recording = Recording(pool.run.write())
    (one,) = (p for p in poisonings(recording) if p.arm == pool.arm)
    assert (one.pinned, one.unplaced) == (0, 74)
    (finding,) = PoisonedPool(arm=pool.arm).judge(recording)
    assert finding.verdict is Verdict.UNKNOWN
    assert "74 operations were refused with 25006 on connections that are not known" in finding.why
    (told,) = inform(recording, ())
    assert told.why.startswith("74 operations were refused")


def test_a_refusal_on_what_its_client_closed_before_it_told_of_it_is_placed(pool: Pool) -> None:
    """The pool dropped the connection within the attempt, before any probe saw the demotion."""
    pid = pool.connect(OLD, 11.2, closed_s=11.5)
    pool.use(OLD, pid, 11.45, error=READ_ONLY, took_s=0.1)
    work(pool, NEW, pool.connect(NEW, 11.7), 11.8, 19.9)
    recording = Recording(pool.run.write())
    (one,) = (p for p in poisonings(recording) if p.arm == pool.arm)
    assert (one.pinned, one.unplaced, one.remaining, one.refused) == (1, 0, 0, 1)
    (finding,) = PoisonedPool(arm=pool.arm).judge(recording)
    assert finding.verdict is Verdict.PASS


def test_what_was_written_before_the_demotion_was_certain_is_no_use_of_a_pin(
    run_builder: RunBuilder,
) -> None:
    """Demoted in place between two samples, in which the connection still wrote; idle since."""
    for member, role in ((OLD, "writer"), (NEW, "reader")):
        run_builder.observe(0.1, "role", member, role)
    run_builder.fault("failover-cluster", 10.0, ended_s=13.0)
    run_builder.observe(10.9, "role", OLD, "reader", width_s=0.4)
    run_builder.observe(11.0, "role", NEW, "writer")
    run_builder.traffic("other", "reader", Kind.READ, per_s=1, until_s=UNTIL_S)
    pool = Pool(run_builder)
    idle = pool.connect(OLD, 1.0)
    pool.use(OLD, idle, 10.6)
    pool.use(OLD, idle, 10.7, error="40001 SerializationFailure")
    work(pool, NEW, pool.connect(NEW, 11.1), 11.2, 19.9)
    recording = Recording(pool.run.write())
    (one,) = (p for p in poisonings(recording) if p.arm == pool.arm)
    assert (one.pinned, one.remaining, one.unused, one.answered) == (1, 1, 1, 0)
    (finding,) = PoisonedPool(arm=pool.arm).judge(recording)
    assert finding.verdict is Verdict.UNKNOWN


def test_the_remedy_is_told_once_an_arm(run_builder: RunBuilder) -> None:
    """In the first finding in which something is left."""
    failover(run_builder, 5.0, until_s=60.0)
    failover(run_builder, 20.0, until_s=60.0, old=NEW, new=THIRD)
    failover(run_builder, 35.0, until_s=60.0, old=THIRD, new=OLD)
    pool = Pool(run_builder)
    work(pool, OLD, pool.connect(OLD, 7.5, closed_s=9.0), 7.6, 8.9, READ_ONLY)
    work(pool, NEW, pool.connect(NEW, 22.5), 22.6, 59.9, READ_ONLY)
    recording = Recording(pool.run.write())
    for findings in (PoisonedPool(arm="arm").judge(recording), inform(recording, ())):
        left = ["were left at the end" in f.why for f in findings if f.arm == "arm"]
        told = ["remedy: " in f.why for f in findings if f.arm == "arm"]
        assert left == [False, True, True]
        assert told == [False, True, False]
