"""What reads showed, judged: histories by hand, each with one defect or with none."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_builder import RunBuilder, to_ns

from chaos.checks.base import Check
from chaos.checks.judge import judge
from chaos.checks.monotonic_reads import MonotonicReads
from chaos.checks.read_table import reads_shown
from chaos.checks.read_your_writes import ReadYourWrites
from chaos.checks.recording import Recording
from chaos.checks.staleness import Staleness
from chaos.model.ledger import Ledger, ReaderLedger
from chaos.model.operation import NO_WRITE_ID, Failure, Kind, OperationWriter, Outcome
from chaos.model.verdict import Finding, Verdict

ARM, PERIOD_S, UNTIL_S = "arm", 0.1, 20.0
FRESH, STALE = "gameday-instance-2", "gameday-instance-3"


class Reads(RunBuilder):
    """Writes 10 a second from 0 s on, acknowledged after 5 ms; reads by hand; one fault at 10 s."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "run")
        self.fault("failover-cluster", 10.0)
        for number in range(int(UNTIL_S / PERIOD_S)):
            self.put(Kind.WRITE, number + 1, number * PERIOD_S, 0.005)
        self.probes("cluster", Kind.WRITE, until_s=UNTIL_S, period_s=1.0)

    def put(
        self,
        kind: Kind,
        write_id: int,
        at_s: float,
        took_s: float,
        *,
        endpoint: str = "cluster",
        instance: str = "gameday-instance-1",
        retried_s: float = 0.0,
    ) -> None:
        """Add one operation that succeeded, `retried_s` after its first attempt."""
        failure = Failure(started_ns=to_ns(at_s), ended_ns=to_ns(at_s + retried_s), error="08006 X")

        def append(operations: OperationWriter) -> None:
            operations.operation(
                kind=kind,
                endpoint=endpoint,
                intended_ns=to_ns(at_s),
                started_ns=to_ns(at_s),
                ended_ns=to_ns(at_s + retried_s + took_s),
                outcome=Outcome.OK,
                attempts=1 + bool(retried_s),
                instance=instance,
                write_id=write_id,
                failures=[failure] if retried_s else [],
            )

        self.operation(ARM, append)

    def read(self, at_s: float, seen: int, instance: str = FRESH, **more: float) -> None:
        """Add one read and what it showed."""
        self.put(
            Kind.READ,
            seen,
            at_s,
            0.002,
            endpoint="reader",
            instance=instance,
            **more,  # type: ignore[arg-type]
        )

    def read_all(self, *, but: tuple[float, float] = (0.0, 0.0), lag_s: float = 0.0) -> None:
        """Read between any two writes what there is; `lag_s` behind between two instants."""
        for number in range(1, int(UNTIL_S / PERIOD_S)):
            at_s = number * PERIOD_S + 0.05
            behind_s = lag_s if but[0] <= at_s < but[1] else 0.0
            self.read(at_s, max(1, number + 1 - round(behind_s / PERIOD_S)))


def found(run: RunBuilder, check: Check) -> Finding:
    (finding,) = check.judge(Recording(run.write()))
    return finding


@pytest.mark.parametrize(
    "check", [Staleness(staleness_s_max=1), MonotonicReads(), ReadYourWrites()]
)
def test_reads_that_show_everything_pass(tmp_path: Path, check: Check) -> None:
    run = Reads(tmp_path)
    run.read_all()
    finding = found(run, check)
    assert (finding.verdict, finding.measured) == (Verdict.PASS, 0)
    assert (finding.arm, finding.endpoint) == (ARM, "reader")


def test_a_reader_that_falls_behind_is_stale_and_lacks_writes(tmp_path: Path) -> None:
    """It shows what was newest 2 s before: the next write had been told 1.945 s before the read."""
    run = Reads(tmp_path)
    run.read_all(but=(11.0, 12.0), lag_s=2.0)
    history = run.write()
    (stale,) = Staleness(staleness_s_max=1).judge(Recording(history))
    assert stale.verdict is Verdict.FAIL
    assert stale.measured == pytest.approx(1.945)
    assert stale.uncertainty_s == pytest.approx(0)
    assert stale.to_s is not None
    assert stale.from_s is not None
    assert stale.to_s - stale.from_s == pytest.approx(stale.measured)
    assert 11 <= stale.to_s < 12
    assert FRESH in stale.why
    (within,) = Staleness(staleness_s_max=1.95).judge(Recording(history))
    assert within.verdict is Verdict.PASS
    (own,) = ReadYourWrites().judge(Recording(history))
    assert (own.verdict, own.measured) == (Verdict.FAIL, 10)
    (back,) = MonotonicReads().judge(Recording(history))
    assert (back.verdict, back.measured) == (Verdict.FAIL, 10)


def test_a_write_that_overlapped_the_newest_shown_tells_nothing(tmp_path: Path) -> None:
    """Nobody knows whether a read that shows 300 shows 299, acknowledged while 300 was under way."""
    run = Reads(tmp_path)
    run.read_all()
    run.put(Kind.WRITE, 299, 20.0, 0.010)
    run.put(Kind.WRITE, 300, 20.005, 0.010)
    run.read(23.0, 300)
    recording = Recording(run.write())
    (finding,) = Staleness(staleness_s_max=1).judge(recording)
    assert (finding.verdict, finding.measured) == (Verdict.PASS, 0)
    (told,) = reads_shown(recording)
    (row,) = [row for row in told["rows"] if row["period"] == "after"]
    assert (row["lacking"], row["overlapped"]) == (0, 1)
    assert row["staleness_s_at_most"] == pytest.approx(2.99)


def test_a_retried_read_began_with_the_attempt_that_succeeded(tmp_path: Path) -> None:
    """What was acknowledged while it was tried again is missing from it as well."""
    run = Reads(tmp_path)
    run.read_all()
    run.read(5.051, 60, STALE, retried_s=1.0)
    run.read(6.06, 60, STALE)
    history = run.write()
    (own,) = ReadYourWrites().judge(Recording(history))
    assert own.measured == 2, "61 was acknowledged at 6.005 s, before both began"
    (back,) = MonotonicReads(backward_reads_max=3).judge(Recording(history))
    assert (back.verdict, back.measured) == (Verdict.PASS, 1)
    assert FRESH in back.why
    assert "furthest back by at least 1 writes and at most 0.105 s" in back.why


def test_a_read_that_waited_before_it_was_retried_may_be_as_stale_as_at_its_end(
    tmp_path: Path,
) -> None:
    """When the second attempt began is not recorded: up to the wait, which counts."""
    run = Reads(tmp_path)
    run.read_all()
    run.put(Kind.READ, 111, 12.0, 0.95, endpoint="reader", instance=STALE, retried_s=0.001)
    (finding,) = Staleness(staleness_s_max=1.0).judge(Recording(run.write()))
    assert finding.verdict is Verdict.UNKNOWN, finding
    assert finding.measured == pytest.approx(12.951 - 11.105)
    assert finding.uncertainty_s == pytest.approx(0.95)
    assert (finding.from_s, finding.to_s) == (pytest.approx(11.105), pytest.approx(12.951))


def test_a_write_of_a_later_process_is_missing_from_a_read_that_shows_an_earlier_one(
    tmp_path: Path,
) -> None:
    """Ids of its block are greater than all of the blocks before it, and a read returns the greatest."""
    run = Reads(tmp_path)
    run.read_all()
    run.put(Kind.WRITE, 10**9 + 1, 18.0, 0.005)
    run.put(Kind.WRITE, 10**9 + 2, 18.1, 0.005)
    run.read(18.151, 10**9 + 2, STALE)
    history = run.write()
    (own,) = ReadYourWrites().judge(Recording(history))
    assert (own.verdict, own.measured) == (Verdict.FAIL, 20), "18.05 s to 19.95 s"
    (back,) = MonotonicReads().judge(Recording(history))
    assert (back.verdict, back.measured) == (Verdict.FAIL, 18), "18.25 s to 19.95 s"
    (stale,) = Staleness(staleness_s_max=1).judge(Recording(history))
    assert stale.measured == pytest.approx(19.95 - 18.005)
    assert stale.verdict is Verdict.FAIL


@pytest.mark.parametrize(("limit_s", "verdict"), [(5.0, Verdict.UNKNOWN), (15.0, Verdict.PASS)])
def test_reads_of_several_processes_pass_only_by_their_upper_bound(
    tmp_path: Path, limit_s: float, verdict: Verdict
) -> None:
    """All show the one write of the last process: what the first wrote since may be missing."""
    run = Reads(tmp_path)
    run.put(Kind.WRITE, 10**9 + 1, 8.0, 0.001)
    for number in range(1, 200):
        at_s = number * PERIOD_S + 0.05
        run.read(at_s, number + 1 if at_s < 8 else 10**9 + 1)
    recording = Recording(run.write())
    (finding,) = Staleness(staleness_s_max=limit_s).judge(recording)
    assert (finding.verdict, finding.measured) == (verdict, 0)
    said = "those of others may have been missing for up to 11.945 s" in finding.why
    assert said == (verdict is Verdict.UNKNOWN)
    for check in (ReadYourWrites(), MonotonicReads()):
        (told,) = check.judge(recording)
        assert (told.verdict, told.measured) == (Verdict.UNKNOWN, 0), told
        assert "those of others may have been missing for up to 11.945 s" in told.why


def test_reads_of_several_processes_without_an_upper_bound_are_unknown(tmp_path: Path) -> None:
    run = Reads(tmp_path)
    run.read_all()
    run.read(20.5, 10**9 + 7)
    finding = found(run, Staleness(staleness_s_max=100))
    assert finding.verdict is Verdict.UNKNOWN
    assert "1 reads showed one that was never recorded" in finding.why


def test_a_reader_that_shows_no_row_lacks_everything(tmp_path: Path) -> None:
    """It has the table and none of the rows: it fails all three, beside a reader that is well."""
    run = Reads(tmp_path)
    run.read_all()
    for at_s in (4.06, 15.06):
        run.read(at_s, NO_WRITE_ID, STALE)
    recording = Recording(run.write())
    (own,) = ReadYourWrites().judge(recording)
    assert (own.verdict, own.measured) == (Verdict.FAIL, 2)
    (stale,) = Staleness(staleness_s_max=1).judge(recording)
    assert stale.verdict is Verdict.FAIL
    assert stale.measured == pytest.approx(15.06 - 0.005), "the first write was told at 0.005 s"
    assert STALE in stale.why
    (back,) = MonotonicReads().judge(recording)
    assert (back.verdict, back.measured) == (Verdict.FAIL, 2)
    assert "furthest back by at least 151 writes, from what" in back.why
    (told,) = reads_shown(recording)
    assert (told["reads"], told["showed_none"], told["unbounded"]) == (201, 2, 0)


def test_nothing_is_right_before_the_first_write_was_told(tmp_path: Path) -> None:
    run = Reads(tmp_path)
    run.read_all()
    for at_s in (-1.0, 0.001, 0.004):
        run.read(at_s, NO_WRITE_ID, STALE)
    recording = Recording(run.write())
    for check in (Staleness(staleness_s_max=1), MonotonicReads(), ReadYourWrites()):
        (finding,) = check.judge(recording)
        assert (finding.verdict, finding.measured) == (Verdict.PASS, 0)


def test_reads_that_never_show_a_write_are_no_evidence(tmp_path: Path) -> None:
    """Whether they asked for one is not recorded; neither an alarm nor a pass follows."""
    run = Reads(tmp_path)
    for number in range(1, 200):
        run.read(number * PERIOD_S + 0.05, NO_WRITE_ID)
    recording = Recording(run.write())
    for check in (Staleness(staleness_s_max=1), MonotonicReads(), ReadYourWrites()):
        (finding,) = check.judge(recording)
        assert (finding.verdict, finding.measured) == (Verdict.UNKNOWN, None)


def test_what_the_earlier_read_may_not_have_shown_was_not_lost_sight_of(tmp_path: Path) -> None:
    """230 is told before 240 begins; 231 to 239 overlap it, so nobody knows whether 240 came first."""
    run = Reads(tmp_path)
    run.read_all()
    run.put(Kind.WRITE, 230, 23.0, 0.005)
    for write_id in range(231, 240):
        run.put(Kind.WRITE, write_id, 23.01, 1.0)
    run.put(Kind.WRITE, 240, 23.02, 0.005)
    run.read(25.0, 240)
    run.read(25.1, 200, STALE)
    (told,) = reads_shown(Recording(run.write()))
    assert told["furthest_back"]["writes"] == 2, "230 and 240"


def test_reads_of_too_few_writes_prove_nothing(tmp_path: Path) -> None:
    run = Reads(tmp_path)
    for number in range(120, 130):
        run.read(number * PERIOD_S + 0.05, number + 1)
    finding = found(run, MonotonicReads())
    assert finding.verdict is Verdict.UNKNOWN
    assert "only 0 reads before and 10 after the effect of injection 1" in finding.why


@pytest.mark.parametrize(("until_s", "verdict"), [(11.0, Verdict.UNKNOWN), (20.0, Verdict.PASS)])
def test_reads_between_the_request_and_its_effect_are_not_from_after(
    tmp_path: Path, until_s: float, verdict: Verdict
) -> None:
    """It is requested at 10 s, its effect seen at 11.05 s."""
    run = Reads(tmp_path)
    for number in range(1, round(until_s / PERIOD_S)):
        run.read(number * PERIOD_S + 0.05, number + 1)
    finding = found(run, MonotonicReads())
    assert finding.verdict is verdict
    doubted = "0 after the effect of injection 1" in finding.why
    assert doubted is (verdict is Verdict.UNKNOWN)


def test_without_reads_nothing_is_known(tmp_path: Path) -> None:
    finding = found(Reads(tmp_path), Staleness(staleness_s_max=1, arm="other"))
    assert (finding.verdict, finding.arm) == (Verdict.UNKNOWN, "other")


@pytest.mark.parametrize(("limit_s", "verdict"), [(5.0, Verdict.FAIL), (60.0, Verdict.UNKNOWN)])
def test_a_reader_that_stays_behind_is_told_by_the_ledger(
    tmp_path: Path, limit_s: float, verdict: Verdict
) -> None:
    """Also where it answered no read: its table may not even be there."""
    run = Reads(tmp_path)
    run.read_all()
    behind = ReaderLedger(
        complete=True,
        why="waited 15 s",
        read_at_ns=to_ns(30),
        missing=3,
        extra=0,
        missing_by_arm={ARM: 3},
        behind_s=12.5,
    )
    fresh = ReaderLedger(complete=True, caught_up=True, read_at_ns=to_ns(30), missing=0, extra=0)
    run.ledger = Ledger(complete=True, readers={STALE: behind, FRESH: fresh})
    reads, afterwards = Staleness(staleness_s_max=limit_s).judge(Recording(run.write()))
    assert reads.verdict is Verdict.PASS
    assert (afterwards.verdict, afterwards.endpoint) == (verdict, STALE)
    assert (afterwards.measured, afterwards.from_s, afterwards.to_s) == (12.5, 17.5, 30.0)


def test_of_a_hundred_reads_the_worst_is_beyond_the_99th_percentile(tmp_path: Path) -> None:
    run = Reads(tmp_path)
    run.read_all()
    run.read(5.07, 11)
    (told,) = reads_shown(Recording(run.write()))
    (before,) = (row for row in told["rows"] if row["period"] == "before")
    assert (before["reads"], before["staleness_s_p99"]) == (100, 0)
    assert before["staleness_s_worst"] > 3


def test_what_nobody_asks_for_is_told_and_not_judged(tmp_path: Path) -> None:
    run = Reads(tmp_path)
    run.read_all(but=(11.0, 12.0), lag_s=2.0)
    judgement = judge(run.write(), [ReadYourWrites()])
    by_check = {
        f.check: f for f in judgement.findings if f.check in {"staleness", "monotonic-reads"}
    }
    assert {f.verdict for f in by_check.values()} == {None}
    assert by_check["staleness"].measured == pytest.approx(1.945)
    assert by_check["monotonic-reads"].measured == 10
    (told,) = judgement.as_json()["reads"]
    rows = {row["period"]: row for row in told["rows"]}
    assert {p: row["lacking"] for p, row in rows.items()} == {"before": 0, "during": 10, "after": 0}
    assert rows["during"]["staleness_s_worst"] == pytest.approx(1.945)
    assert rows["before"]["staleness_s_p99"] is None, "99 reads have no 99th percentile"
    assert told["furthest_back"]["writes"] == 19, "110 had been seen, then 91"
    assert told["furthest_back"]["s"] >= 1.9 >= told["furthest_back"]["s"] - 0.2
