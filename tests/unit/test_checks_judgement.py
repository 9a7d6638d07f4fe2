"""The judgement of whole runs: what must hold for a verdict to mean anything, and `verdict.json`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fix_history import RunBuilder, Shape, failover_run, outage_run
from run_builder import to_ns

from chaos.checks.acknowledged_writes import AcknowledgedWrites
from chaos.checks.assumptions import PREFIX
from chaos.checks.base import Check
from chaos.checks.interruption import Interruption
from chaos.checks.judge import PARTS, Judgement, judge
from chaos.checks.recording import Recording
from chaos.checks.restored import Restored
from chaos.model.history import History
from chaos.model.ledger import ArmLedger, Ledger
from chaos.model.operation import PROBE_ARM, Kind
from chaos.model.record import Observation
from chaos.model.verdict import Finding, Verdict
from reports import html
from reports.read import load

WRITES = Interruption(arm="arm", interruption_s_max=5.0)


def named(judgement: Judgement, check: str) -> Finding:
    (finding,) = [f for f in judgement.findings if f.check == check]
    return finding


def crashed(*_: object) -> object:
    raise ZeroDivisionError("planted")


class TestAssumptions:
    """Each way in which a run proves nothing keeps it from passing, and is named."""

    def judge(self, run: RunBuilder, name: str, **ending: object) -> Finding:
        judgement = judge(run.write(**ending), [WRITES])  # type: ignore[arg-type]
        finding = named(judgement, PREFIX + name)
        assert judgement.verdict is not Verdict.PASS
        return finding

    def test_a_sound_run_passes(self, tmp_path: Path) -> None:
        judgement = judge(outage_run(tmp_path).write(), [WRITES])
        assert judgement.verdict is Verdict.PASS, [
            f.why for f in judgement.findings if f.verdict is not Verdict.PASS
        ]

    def test_no_effect(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.events = [
            replace(e, data={**e.data, "effect": "none"}) if "effect" in e.data else e
            for e in run.events
        ]
        assert self.judge(run, "effect").verdict is Verdict.UNKNOWN

    def test_an_effect_never_established(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.events = [e for e in run.events if e.data.get("verb") == "inject"]
        assert "never established" in self.judge(run, "effect").why

    def test_a_repeat_that_never_came(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.experiment = {"method": [{"fault": "failover-cluster", "repeat": 2}]}
        (missing, _) = [
            f for f in judge(run.write(), [WRITES]).findings if f.check == PREFIX + "effect"
        ]
        assert missing.verdict is Verdict.UNKNOWN
        assert missing.why == "only 1 of 2 declared injections were made"

    def test_noop_needs_no_effect(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.outages.clear()
        run.events = [
            replace(e, data={**e.data, "fault": "noop", "effect": ""}) for e in run.events
        ]
        assert judge(run.write(), [WRITES]).verdict is Verdict.PASS

    def test_no_traffic_before(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.outage("cluster", 2.5, 5.05, Shape.REFUSE)
        assert "before failover-cluster 1" in self.judge(run, "traffic").why

    def test_no_success_after(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path, until_s=9.0)
        run.outage("cluster", 5.5, 60.0, Shape.REFUSE)
        assert "nothing succeeded after" in self.judge(run, "traffic").why

    def test_a_generator_far_behind(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        for second in range(1, 21):
            run.observe(float(second), "lag", "arm", "2500.0" if second == 10 else "1.0")
        assert "2.500 s behind" in self.judge(run, "generator-lag").why

    @pytest.mark.parametrize("status", ["", "aborted", "interrupted"])
    def test_a_run_that_did_not_complete(self, tmp_path: Path, status: str) -> None:
        finding = self.judge(outage_run(tmp_path), "run-ended", status=status)
        assert finding.verdict is Verdict.UNKNOWN

    @pytest.mark.parametrize(
        ("when", "verdict"), [("before", Verdict.UNKNOWN), ("after", Verdict.FAIL)]
    )
    def test_no_steady_state(self, tmp_path: Path, when: str, verdict: Verdict) -> None:
        run = outage_run(tmp_path)
        run.event(19.0, "steady", probe="arm write", when=when, ok=False, why="p99 is 9 s")
        finding = named(judge(run.write(), [WRITES]), "steady-state")
        assert finding.verdict is verdict
        assert "p99 is 9 s" in finding.why

    def test_a_tolerance_that_nobody_looked_at(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.experiment = {
            "steady_state": [{"arm": "arm", "operation": kind} for kind in ("write", "read")]
        }
        for at_s, when in ((4.0, "before"), (19.0, "after")):
            run.event(at_s, "steady", probe="arm write", when=when, ok=True)
        run.event(4.1, "steady", probe="arm read", when="before", ok=True)
        judgement = judge(run.write(), [WRITES])
        before, after = [f for f in judgement.findings if f.check == "steady-state"]
        assert (before.verdict, after.verdict) == (Verdict.PASS, Verdict.UNKNOWN)
        assert "of arm read was never observed after" in after.why


class TestCompleteness:
    """Whatever was declared and is absent, or silent, keeps a run from passing and is named."""

    def missing(self, run: RunBuilder, name: str) -> str:
        judgement = judge(run.write(), [WRITES])
        found = named(judgement, PREFIX + name)
        assert judgement.verdict is Verdict.UNKNOWN
        assert found.verdict is Verdict.UNKNOWN
        others = [f.why for f in judgement.findings if f.verdict not in {None, Verdict.PASS}]
        assert others == [found.why], "something else was found faulty too"
        return found.why

    def test_a_declared_arm_that_left_nothing(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.experiment = {"workload": {"arms": [{"arm": "arm"}, {"arm": "gone"}]}}
        run.observe(0.5, "lag", "gone", "1.0")
        run.observe(12.0, "lag", "gone", "1.0")
        run.observe(19.5, "lag", "gone", "1.0")
        why = self.missing(run, "recording")
        assert why == (
            "no writes of gone on cluster were recorded; no reads of gone on reader were recorded"
        )

    def test_an_experiment_without_arms(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.experiment = {"workload": {"arms": []}}
        assert self.missing(run, "recording") == "no arm was declared"

    @pytest.mark.parametrize(
        ("from_s", "until_s", "told"),
        [
            (0.0, 12.0, "for 8.1 s, from 11.9 s after the run began"),
            (8.0, 20.0, "for 8.1 s, from 0.0 s after the run began"),
        ],
    )
    def test_an_arm_that_began_late_or_ended_early(
        self, tmp_path: Path, from_s: float, until_s: float, told: str
    ) -> None:
        run = outage_run(tmp_path)
        run.streams = [
            replace(s, from_s=from_s, until_s=until_s, jitter=0.0) if s.kind is Kind.READ
            and s.arm == "arm" else s
            for s in run.streams
        ]  # fmt: skip
        assert f"no reads of arm on reader were recorded {told}" in self.missing(run, "recording")

    def test_an_arm_with_a_hole(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.streams = [s for s in run.streams if (s.arm, s.kind) != ("arm", Kind.READ)]
        run.traffic("arm", "reader", Kind.READ, per_s=50, until_s=10.0)
        run.traffic("arm", "reader", Kind.READ, per_s=50, from_s=14.0, until_s=20.0)
        assert "reads of arm on reader were recorded for 4.0 s" in self.missing(run, "recording")

    def test_rare_arrivals_are_no_hole(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.streams = [s for s in run.streams if (s.arm, s.kind) != ("arm", Kind.READ)]
        run.traffic("arm", "reader", Kind.READ, per_s=0.2, until_s=20.0)
        run.experiment = {"workload": {"arms": [{"arm": "arm", "reads_per_s": 0.2}]}}
        assert judge(run.write(), [WRITES]).verdict is Verdict.PASS

    @pytest.mark.parametrize("endpoint", ["cluster", "reader", "gameday-instance-3"])
    def test_an_endpoint_that_was_never_probed(self, tmp_path: Path, endpoint: str) -> None:
        run = outage_run(tmp_path)
        run.streams = [s for s in run.streams if (s.arm, s.endpoint) != (PROBE_ARM, endpoint)]
        why = self.missing(run, "probes")
        assert f"of probe on {endpoint} were recorded" in why

    def test_probes_that_stopped_trying(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.streams = [replace(s, until_s=12.0) if s.arm == PROBE_ARM else s for s in run.streams]
        assert "writes of probe on cluster were recorded for 8.1 s" in self.missing(run, "probes")

    def test_a_member_whose_role_nobody_saw(self, tmp_path: Path) -> None:
        run = outage_run(tmp_path)
        run.observations = [
            o for o in run.observations if (o.kind, o.subject) != ("role", "gameday-instance-2")
        ]
        assert "which role gameday-instance-2 had" in self.missing(run, "probes")

    def test_members_that_were_not_noted_down(self, tmp_path: Path) -> None:
        history = outage_run(tmp_path).write()
        history = replace(history, environment={**history.environment, "members": {}})
        found = named(judge(history, [WRITES]), PREFIX + "probes")
        assert (found.verdict, found.why) == (
            Verdict.UNKNOWN,
            "the members of the cluster were not noted down",
        )

    @pytest.mark.parametrize(
        ("subject", "who"),
        [("api", "observer api"), ("probes", "observer probes"), ("arm", "the generator of arm")],
    )
    @pytest.mark.parametrize(
        ("silent", "told"),
        [
            ((-1.0, 99.0), "never spoke"),
            ((-1.0, 8.0), "was silent for 8.0 s after the start"),
            ((9.5, 99.0), "was silent for 31.0 s before the end"),
            ((9.5, 28.5), "was silent for 20.0 s in between"),
        ],
    )
    def test_a_silent_observer(
        self, tmp_path: Path, subject: str, who: str, silent: tuple[float, float], told: str
    ) -> None:
        run = outage_run(tmp_path, until_s=40.0)
        run.observations = [
            o
            for o in run.observations
            if o.kind not in {"alive", "lag"}
            or o.subject != subject
            or not to_ns(silent[0]) < o.at_ns < to_ns(silent[1])
        ]
        assert self.missing(run, "observers") == f"{who} {told}"

    @pytest.mark.parametrize(
        ("count", "told"), [("0", "never spoke"), ("7", "was silent for 20.0 s before the end")]
    )
    def test_an_observer_that_samples_nothing_more(
        self, tmp_path: Path, count: str, told: str
    ) -> None:
        """It tells that it lives, but the API never answers it."""
        run = outage_run(tmp_path)
        run.observations = [
            replace(o, value=count) if (o.kind, o.subject) == ("alive", "api") else o
            for o in run.observations
        ]
        assert self.missing(run, "observers") == f"observer api {told}"

    def test_an_api_that_did_not_answer_for_a_while_is_no_reason_to_doubt(
        self, tmp_path: Path
    ) -> None:
        run = outage_run(tmp_path)
        run.observations = [
            o
            for o in run.observations
            if (o.kind, o.subject) != ("alive", "api") or not to_ns(4.5) < o.at_ns < to_ns(12.5)
        ]
        assert judge(run.write(), [WRITES]).verdict is Verdict.PASS

    @pytest.mark.parametrize("status", ["refused", "aborted", "interrupted", ""])
    def test_nobody_expects_a_run_that_did_not_complete_to_be_complete(
        self, tmp_path: Path, status: str
    ) -> None:
        run = RunBuilder(tmp_path / "run")
        judgement = judge(run.write(status=status, ended_s=3.0), [WRITES])
        assert judgement.verdict is Verdict.UNKNOWN
        told = {f.check for f in judgement.findings}
        assert not told & {PREFIX + name for name in ("recording", "observers", "probes")}


class TestJudge:
    def test_verdict_json_is_complete_and_repeatable(self, failover_history: History) -> None:
        objectives = [
            Interruption(arm="resilient", interruption_s_max=10.0),
            AcknowledgedWrites(),
            Restored(),
        ]
        told = judge(failover_history, objectives).as_json()
        assert told == judge(failover_history, objectives).as_json()
        assert json.loads(json.dumps(told, allow_nan=False))["findings"] == told["findings"]
        assert (told["verdict"], told["status"]) == ("pass", "completed")
        assert failover_history.ledger is not None
        counted = [arm.acknowledged for arm in failover_history.ledger.arms.values()]
        assert told["writes"]["acknowledged"] == sum(counted) > 1000
        assert told["writes"]["arms"]["resilient"]["acknowledged"] == counted[1]
        assert told["writes"]["readers"] == {}
        (fault,) = told["faults"]
        assert (fault["effect"], fault["actual_target"]) == ("taken", "gameday-instance-1")
        assert told["statistics"]["interruption"] == []

    @pytest.mark.parametrize(
        "ledger", [None, Ledger(arms={"arm": ArmLedger(acknowledged=9)}, why="cut off")]
    )
    def test_totals_that_nobody_could_count_are_null(
        self, tmp_path: Path, ledger: Ledger | None
    ) -> None:
        run = outage_run(tmp_path)
        run.ledger = ledger
        writes = judge(run.write(), [WRITES]).as_json()["writes"]
        totals = ("acknowledged", "lost", "duplicated", "unknown_applied", "unknown_lost")
        assert {name: writes[name] for name in totals} == dict.fromkeys(totals)
        assert writes["complete"] is False
        assert writes["why"] == (ledger.why if ledger else "the table was never read")

    def test_what_no_objective_binds_is_shown_beside(self, failover_history: History) -> None:
        judgement = judge(failover_history, [Interruption(arm="resilient", interruption_s_max=10)])
        shown = {
            (f.arm, f.endpoint): f
            for f in judgement.findings
            if f.check == "interruption" and f.verdict is None
        }
        assert shown["default-pool", "cluster"].measured == pytest.approx(5.9, abs=0.3)
        assert ("resilient", "cluster") not in shown
        assert {endpoint for arm, endpoint in shown if arm == PROBE_ARM} >= {"cluster", "reader"}
        assert judgement.verdict is Verdict.PASS

    def test_several_repeats_give_median_and_worst_with_n(self, tmp_path: Path) -> None:
        history = failover_run(tmp_path / "run", repeats=3).write()
        judgement = judge(history, [WRITES])
        (statistics,) = [
            s
            for s in judgement.parts["statistics"]["interruption"]
            if (s["arm"], s["endpoint"]) == ("resilient", "cluster")
        ]
        assert statistics["n"] == 3
        assert 1.4 <= statistics["median"] <= statistics["worst"] < 1.6
        assert [r["repeat"] for r in judgement.parts["repeats"]] == [1, 2, 3]

    def test_a_crashed_check_is_unknown_with_its_error(self, tmp_path: Path) -> None:
        class Broken(Check):
            """Crashes."""

            def judge(self, recording: Recording) -> list[Finding]:
                raise ZeroDivisionError("1/0")

        judgement = judge(outage_run(tmp_path).write(), [Broken(check="broken"), WRITES])
        finding = named(judgement, "broken")
        assert finding.verdict is Verdict.UNKNOWN
        assert "ZeroDivisionError: 1/0" in finding.why
        assert judgement.verdict is Verdict.UNKNOWN

    def test_a_part_that_cannot_be_made_is_null_and_a_finding_says_why(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("chaos.checks.judge.PARTS", {**PARTS, "windows": crashed})
        judgement = judge(outage_run(tmp_path).write(), [WRITES])
        assert judgement.as_json()["windows"] is None
        assert judgement.as_json()["retries"] is not None
        finding = named(judgement, "windows")
        assert "ZeroDivisionError: planted" in finding.why
        assert judgement.verdict is Verdict.UNKNOWN

    @pytest.mark.parametrize(
        ("function", "key"), [("repeats", "repeats"), ("over_repeats", "statistics")]
    )
    def test_repeats_that_cannot_be_told_leave_the_rest_of_the_verdict(
        self, function: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(f"chaos.checks.judge.{function}", crashed)
        judgement = judge(outage_run(tmp_path).write(), [WRITES])
        assert judgement.as_json()[key] is None
        assert "ZeroDivisionError: planted" in named(judgement, key).why
        assert judgement.verdict is Verdict.UNKNOWN
        assert Verdict.PASS in {f.verdict for f in judgement.findings if f.check == "interruption"}

    def test_instants_that_cannot_be_named_keep_a_run_from_passing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("chaos.checks.judge.instants", crashed)
        history = outage_run(tmp_path, until_s=30.0, repeats=2).write()
        judgement = judge(history, [WRITES])
        found = [f for f in judgement.findings if f.check == "instants"]
        assert [f.verdict for f in found] == [Verdict.UNKNOWN] * 2
        assert "ZeroDivisionError: planted" in found[0].why
        assert [fault["instants"] for fault in judgement.faults] == [None, None]
        (history.folder / "verdict.json").write_text(json.dumps(judgement.as_json()), "utf-8")
        assert "ZeroDivisionError: planted" in html.page(load(history.folder))

    def test_no_objective_is_unknown(self, tmp_path: Path) -> None:
        assert judge(outage_run(tmp_path).write(), []).verdict is Verdict.UNKNOWN

    @pytest.mark.parametrize("phase", ["nothing", "no operations"])
    def test_a_run_that_ended_early_is_judged(self, tmp_path: Path, phase: str) -> None:
        run = RunBuilder(tmp_path / "run")
        if phase == "no operations":
            run.fault("noop", 1.0)
        history = run.write(status="refused", ended_s=3.0)
        judgement = judge(history, [WRITES, AcknowledgedWrites(), Restored()])
        assert judgement.verdict is Verdict.UNKNOWN
        assert not [f.why for f in judgement.findings if "itself failed" in f.why]


def test_observations_of_other_kinds_do_not_disturb(failover_history: History) -> None:
    strange = Observation(at_ns=0, since_ns=None, kind="weather", subject="sky", value="grey")
    history = replace(failover_history, observations=(strange, *failover_history.observations))
    check = [Interruption(arm="resilient", interruption_s_max=10)]
    assert judge(history, check).verdict is judge(failover_history, check).verdict
