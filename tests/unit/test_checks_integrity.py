"""One writer, constant sums, and the ledger: each defect by hand, and the healthy history beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fix_history import failover_run
from run_builder import RunBuilder, to_ns

from chaos.checks.acknowledged_writes import AcknowledgedWrites
from chaos.checks.constant_sums import ConstantSums
from chaos.checks.judge import judge
from chaos.checks.recording import Recording
from chaos.checks.single_writer import SingleWriter
from chaos.model.ledger import ArmLedger, Ledger, ReaderLedger
from chaos.model.operation import Kind, OperationWriter, Outcome
from chaos.model.record import Observation
from chaos.model.verdict import Finding, Verdict

OLD, NEW = "gameday-instance-1", "gameday-instance-2"
CAUGHT_UP = ReaderLedger(complete=True, caught_up=True, missing=0, extra=0)


def quiet(tmp_path: Path) -> RunBuilder:
    """A run with a fault at 10 s, watched from 0 to 30 s, in which nothing was asked yet."""
    run = RunBuilder(tmp_path / "run")
    run.probes("reader", Kind.READ, until_s=30.0, period_s=1.0)
    run.fault("failover-cluster", 10.0)
    run.alive(until_s=30.0)
    return run


def write(run: RunBuilder, instance: str, at_s: float, *, attempts: int = 1) -> None:
    """Add a write of 10 ms that an instance acknowledged."""

    def append(operations: OperationWriter) -> None:
        operations.operation(
            kind=Kind.WRITE,
            endpoint="cluster",
            intended_ns=to_ns(at_s),
            started_ns=to_ns(at_s),
            ended_ns=to_ns(at_s + 0.01),
            outcome=Outcome.OK,
            attempts=attempts,
            instance=instance,
            write_id=round(at_s * 1000),
        )

    run.operation("arm", append)


def single(run: RunBuilder) -> Finding:
    (finding,) = SingleWriter().judge(Recording(run.write()))
    return finding


class TestSingleWriter:
    def test_a_failover_that_fences_first_passes(self, tmp_path: Path) -> None:
        judgement = judge(failover_run(tmp_path / "run").write(), [])
        (finding,) = [f for f in judgement.findings if f.check == "single-writer"]
        assert finding.verdict is Verdict.PASS, finding.why

    def test_two_roles_at_once_fail_for_as_long_as_both_were_seen(self, tmp_path: Path) -> None:
        run = quiet(tmp_path)
        run.observe(0.1, "role", OLD, "writer")
        run.observe(0.1, "role", NEW, "reader")
        run.observe(12.0, "role", NEW, "writer")
        run.observe(15.0, "role", OLD, "reader", width_s=0.2)
        finding = single(run)
        assert finding.verdict is Verdict.FAIL
        assert f"{OLD} and {NEW} were both writers by SQL for 2.800 s" in finding.why
        assert (finding.from_s, finding.to_s) == (12.0, 14.8)

    def test_a_moment_together_is_told_and_passes(self, tmp_path: Path) -> None:
        """An old writer may answer until it is stopped, and takes nothing any more."""
        run = quiet(tmp_path)
        run.observe(0.1, "role", OLD, "writer")
        run.observe(12.0, "role", NEW, "writer")
        run.observe(12.7, "role", OLD, "unreachable", width_s=0.2)
        finding = single(run)
        assert (finding.verdict, finding.measured) == (Verdict.PASS, pytest.approx(0.5))
        assert "still said that it is a writer" in finding.why

    def test_a_server_that_was_restarted_between_was_not_a_writer_all_the_time(
        self, tmp_path: Path
    ) -> None:
        """It may have been a reader between two samples that both saw a writer."""
        run = quiet(tmp_path)
        run.observe(0.1, "role", OLD, "writer")
        run.observe(0.1, "postmaster", OLD, "09:00")
        run.observe(20.0, "postmaster", OLD, "09:20", width_s=9.0)
        run.observe(12.0, "role", NEW, "writer")
        run.observe(19.0, "role", NEW, "unreachable", width_s=0.2)
        assert single(run).verdict is Verdict.PASS

    @pytest.mark.parametrize("restarted", [False, True])
    def test_writes_in_turns_fail_unless_the_server_was_another(
        self, tmp_path: Path, *, restarted: bool
    ) -> None:
        """The old writer takes one, then the new one, then the old one again."""
        run = quiet(tmp_path)
        run.observe(0.1, "role", OLD, "writer")
        run.observe(0.1, "postmaster", OLD, "09:00")
        if restarted:
            run.observe(13.0, "postmaster", OLD, "09:13", width_s=1.0)
        write(run, OLD, 11.0)
        write(run, NEW, 11.5)
        write(run, NEW, 11.7)
        write(run, OLD, 14.0)
        finding = single(run)
        assert finding.verdict is (Verdict.PASS if restarted else Verdict.FAIL)
        if not restarted:
            assert f"{OLD} and {NEW} acknowledged writes in turns" in finding.why
            assert (finding.from_s, finding.to_s) == (11.5, pytest.approx(11.71))

    def test_writes_one_after_the_other_pass(self, tmp_path: Path) -> None:
        run = quiet(tmp_path)
        run.observe(0.1, "role", OLD, "writer")
        for at_s, instance in ((11.0, OLD), (11.5, OLD), (11.505, NEW), (14.0, NEW)):
            write(run, instance, at_s)
        assert single(run).verdict is Verdict.PASS

    def test_who_took_a_repeated_write_is_not_certain(self, tmp_path: Path) -> None:
        run = quiet(tmp_path)
        run.observe(0.1, "role", OLD, "writer")
        write(run, OLD, 11.0)
        write(run, NEW, 11.5, attempts=2)
        write(run, OLD, 14.0)
        assert single(run).verdict is Verdict.PASS

    def test_where_nobody_looked_nothing_is_known(self, tmp_path: Path) -> None:
        assert single(quiet(tmp_path)).verdict is Verdict.UNKNOWN


class TestConstantSums:
    EXPECTED = 100_000

    def run(self, tmp_path: Path) -> RunBuilder:
        """A bank that is whole: sums read during the run, and read on each instance after it."""
        run = quiet(tmp_path)
        for number in range(300):
            write(run, OLD, number * 0.1)

        def reads(operations: OperationWriter) -> None:
            for number in range(300):
                at_ns = to_ns(number * 0.1 + 0.05)
                operations.operation(
                    kind=Kind.READ, endpoint="reader", intended_ns=at_ns, started_ns=at_ns,
                    ended_ns=at_ns + 1000, outcome=Outcome.OK, instance=NEW, write_id=number * 100,
                )  # fmt: skip

        run.operation("arm", reads)
        run.observe(0.2, "sum", "arm", "none", instance=NEW)
        run.observe(0.3, "sum", "arm", str(self.EXPECTED), instance=NEW)
        sums = {"arm": self.EXPECTED}
        run.ledger = Ledger(
            complete=True,
            read_from=OLD,
            read_at_ns=to_ns(31),
            readers={NEW: replace(CAUGHT_UP, sums=sums, read_at_ns=to_ns(31))},
            sums=sums,
            sum_expected=self.EXPECTED,
        )
        return run

    def judged(self, run: RunBuilder) -> Finding:
        (finding,) = ConstantSums().judge(Recording(run.write()))
        return finding

    def test_a_bank_that_stays_whole_passes(self, tmp_path: Path) -> None:
        finding = self.judged(self.run(tmp_path))
        assert (finding.verdict, finding.arm, finding.measured) == (Verdict.PASS, "arm", 0)

    def test_half_of_a_transfer_that_a_read_showed_fails(self, tmp_path: Path) -> None:
        run = self.run(tmp_path)
        run.observe(12.0, "sum", "arm", "99993", instance=NEW, width_s=0.5)
        run.observe(12.1, "sum", "arm", str(self.EXPECTED), instance=NEW)
        finding = self.judged(run)
        assert (finding.verdict, finding.measured, finding.to_s) == (Verdict.FAIL, 1, 12.0)
        assert f"on {NEW} at some time in 0.500 s added up to 99993, not 100000" in finding.why

    def test_accounts_that_an_instance_had_shown_and_has_no_more_fail(self, tmp_path: Path) -> None:
        run = self.run(tmp_path)
        run.observe(12.0, "sum", "arm", "none", instance=NEW, width_s=0.5)
        finding = self.judged(run)
        assert (finding.verdict, finding.measured, finding.to_s) == (Verdict.FAIL, 1, 12.0)
        assert f"on {NEW} at some time in 0.500 s were gone" in finding.why

    def test_accounts_that_are_gone_after_the_run_fail(self, tmp_path: Path) -> None:
        run = self.run(tmp_path)
        assert run.ledger is not None
        run.ledger = replace(run.ledger, readers={NEW: replace(CAUGHT_UP, sums={})})
        finding = self.judged(run)
        assert finding.verdict is Verdict.FAIL
        assert f"after the run the balances on {NEW} are gone" in finding.why

    def test_accounts_that_an_instance_does_not_show_yet_are_not_gone(self, tmp_path: Path) -> None:
        """Another instance, and the first read of another process, which may have begun long before."""
        run = self.run(tmp_path)
        run.observe(12.0, "sum", "arm", "none", instance=OLD)
        late = Observation(
            at_ns=to_ns(0.4), since_ns=None, kind="sum", subject="arm", value="none",
            detail={"instance": NEW},
        )  # fmt: skip
        run.observations.append(late)
        assert self.judged(run).verdict is Verdict.PASS

    @pytest.mark.parametrize("instance", [OLD, NEW])
    def test_a_wrong_sum_after_the_run_fails_on_any_instance(
        self, tmp_path: Path, instance: str
    ) -> None:
        run = self.run(tmp_path)
        assert run.ledger is not None
        wrong = {"arm": self.EXPECTED + 7}
        if instance == OLD:
            run.ledger = replace(run.ledger, sums=wrong)
        else:
            run.ledger = replace(run.ledger, readers={NEW: replace(CAUGHT_UP, sums=wrong)})
        finding = self.judged(run)
        assert finding.verdict is Verdict.FAIL
        assert f"the balances on {instance} add up to 100007" in finding.why

    def test_no_final_sum_proves_nothing(self, tmp_path: Path) -> None:
        run = self.run(tmp_path)
        run.ledger = None
        assert self.judged(run).verdict is Verdict.UNKNOWN

    def test_they_are_judged_unasked_where_there_are_any(self, tmp_path: Path) -> None:
        run = self.run(tmp_path)
        run.observe(12.0, "sum", "arm", "1", instance=NEW)
        judgement = judge(run.write(), [])
        (finding,) = [f for f in judgement.findings if f.check == "constant-sums"]
        assert finding.verdict is Verdict.FAIL
        assert judgement.verdict is Verdict.FAIL

    def test_asked_for_without_any_it_is_unknown(self, tmp_path: Path) -> None:
        (finding,) = ConstantSums().judge(Recording(quiet(tmp_path).write()))
        assert finding.verdict is Verdict.UNKNOWN


class TestLedger:
    """What `acknowledged-writes` makes of the ledger, beside tests/unit/test_checks.py."""

    def judged(self, tmp_path: Path, counts: ArmLedger, **readers: ReaderLedger) -> list[Finding]:
        run = quiet(tmp_path)
        for number in range(300):
            write(run, OLD, number * 0.1)
        run.ledger = Ledger(complete=True, read_from=NEW, arms={"arm": counts}, readers={**readers})
        return AcknowledgedWrites(duplicated_writes_max=0).judge(Recording(run.write()))

    def test_everything_there_passes(self, tmp_path: Path) -> None:
        lost, doubled = self.judged(tmp_path, ArmLedger(acknowledged=300), one=CAUGHT_UP)
        assert (lost.verdict, doubled.verdict) == (Verdict.PASS, Verdict.PASS)

    def test_who_acknowledged_what_was_lost_and_when(self, tmp_path: Path) -> None:
        counts = ArmLedger(
            acknowledged=300,
            lost=3,
            lost_ids=(9800, 9900, 10000),
            lost_by_instance={OLD: 3},
            lost_first_ns=to_ns(9.81),
            lost_last_ns=to_ns(10.01),
            duplicated=1,
            duplicated_ids=(5,),
            duplicated_attempts={"5": (1, 2)},
        )
        lost, doubled = self.judged(tmp_path, counts)
        assert (lost.verdict, doubled.verdict) == (Verdict.FAIL, Verdict.FAIL)
        assert lost.why.endswith(f"acknowledged by {OLD} (3) -0.190 to +0.010 s from injection 1")
        assert "5 by attempts 1, 2" in doubled.why

    def test_a_ledger_that_counted_other_writes_proves_nothing(self, tmp_path: Path) -> None:
        lost, _ = self.judged(tmp_path, ArmLedger(acknowledged=299))
        assert lost.verdict is Verdict.UNKNOWN
        assert "the recording has 300" in lost.why

    def test_a_reader_with_another_history_fails(self, tmp_path: Path) -> None:
        bad = replace(CAUGHT_UP, missing=2)
        *_, finding = self.judged(tmp_path, ArmLedger(acknowledged=300), bad=bad, good=CAUGHT_UP)
        assert (finding.verdict, finding.endpoint, finding.measured) == (Verdict.FAIL, "bad", 2)

    @pytest.mark.parametrize(
        ("reader", "told"),
        [
            (ReaderLedger(why="it does not resolve"), "could not be read: it does not resolve"),
            (replace(CAUGHT_UP, caught_up=False, why="waited", missing=4), "is behind: waited; 4"),
            (replace(CAUGHT_UP, caught_up=False, is_writer=True, extra=9), "is a writer too"),
        ],
    )
    def test_a_reader_that_was_not_read_to_the_end_is_told(
        self, tmp_path: Path, reader: ReaderLedger, told: str
    ) -> None:
        *_, finding = self.judged(tmp_path, ArmLedger(acknowledged=300), other=reader)
        assert finding.verdict is None
        assert told in finding.why
