"""Who is blamed for what clients felt: a generator that was the bottleneck, or the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fix_history import RunBuilder, Shape

from chaos.checks.availability import Availability
from chaos.checks.interruption import Interruption
from chaos.checks.judge import judge
from chaos.checks.recording import Recording
from chaos.checks.success_ratio import SuccessRatio
from chaos.model.operation import Kind
from chaos.model.verdict import Finding, Verdict


def recorded(run: RunBuilder) -> Recording:
    return Recording(run.write())


def judged(recording: Recording, **fields: Any) -> Finding:
    (finding,) = Interruption(arm="arm", **fields).judge(recording)
    return finding


class TestGenerator:
    """Four users for 50 writes a second of 0.1 s each: they fall behind, the cluster does not."""

    def crowded(self, folder: Path, *, users: int = 4, queue_max: int = 10_000) -> RunBuilder:
        run = RunBuilder(folder / "run")
        run.traffic(
            "arm", "cluster", Kind.WRITE, per_s=50, until_s=20, latency_s=0.1, users=users,
            queue_max=queue_max,
        )  # fmt: skip
        run.settings = {"arm": {"users": users, "streams": {"cluster write": 50.0}}}
        run.fault("noop", 10.0, effect="none")
        run.fill(until_s=20)
        return run

    def test_a_window_without_an_end_is_not_the_cluster_s(self, tmp_path: Path) -> None:
        run = self.crowded(tmp_path)
        finding = judged(recorded(run), interruption_s_max=2)
        assert (finding.verdict, finding.to_s) == (Verdict.UNKNOWN, None)
        assert "the traffic generator was too small" in finding.why
        told = judge(run.write(), [Interruption(arm="arm", interruption_s_max=2)])
        assert told.verdict is Verdict.UNKNOWN

    def test_an_outage_without_an_end_is(self, tmp_path: Path) -> None:
        run = self.crowded(tmp_path, users=20)
        run.outage("cluster", 11.0, 99.0, Shape.REFUSE)
        assert judged(recorded(run), interruption_s_max=2).verdict is Verdict.FAIL

    @pytest.mark.parametrize("over", ["run", "fault"])
    def test_what_it_made_late_uses_up_no_availability_for_certain(
        self, tmp_path: Path, over: Any
    ) -> None:
        check = Availability(arm="arm", availability_min=0.9, over=over)
        (finding,) = check.judge(recorded(self.crowded(tmp_path)))
        assert finding.verdict is Verdict.UNKNOWN
        assert finding.measured is not None
        assert finding.measured < 0.9
        assert "the traffic generator was too small" in finding.why

    @pytest.mark.parametrize("by", ["operations", "time"])
    def test_an_outage_does(self, tmp_path: Path, by: Any) -> None:
        run = self.crowded(tmp_path, users=20)
        run.outage("cluster", 11.0, 16.0, Shape.REFUSE)
        check = Availability(arm="arm", availability_min=0.9, by=by)
        (finding,) = check.judge(recorded(run))
        assert finding.verdict is Verdict.FAIL
        assert finding.measured == pytest.approx(0.75, abs=0.02)

    def test_what_it_never_sent_is_no_failure_of_the_cluster(self, tmp_path: Path) -> None:
        recording = recorded(self.crowded(tmp_path, queue_max=40))
        (finding,) = SuccessRatio(arm="arm", success_ratio_min=0.99).judge(recording)
        assert finding.verdict is Verdict.UNKNOWN
        assert finding.measured is not None
        assert 0.5 < finding.measured < 0.99
        assert "the traffic generator was too small" in finding.why

    def test_what_the_cluster_refused_is(self, tmp_path: Path) -> None:
        """A second of lag elsewhere excuses none of it."""
        run = self.crowded(tmp_path, users=20)
        run.outage("cluster", 11.0, 16.0, Shape.REFUSE)
        run.outage("cluster", 3.0, 3.5, Shape.REFUSE)
        run.observe(3.8, "lag", "arm", "1000.0", width_s=1.0)
        recording = recorded(run)
        (finding,) = SuccessRatio(arm="arm", success_ratio_min=0.99).judge(recording)
        assert finding.verdict is Verdict.FAIL
        (finding,) = SuccessRatio(arm="arm", success_ratio_min=0.74).judge(recording)
        assert finding.verdict is Verdict.UNKNOWN
        for by in ("operations", "time"):
            for least, verdict in ((0.99, Verdict.FAIL), (0.74, Verdict.UNKNOWN)):
                fields: dict[str, Any] = {"by": by, "availability_min": least}
                (finding,) = Availability(arm="arm", **fields).judge(recording)
                assert finding.verdict is verdict
                assert ("the traffic generator itself" in finding.why) is (least == 0.74)
