"""A load that stood still for a fault: its silence shows nothing, and no window reaches over it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from run_builder import RunBuilder, to_ns
from simulated_clients import Shape

from chaos.checks.completeness import missing_operations, missing_probes
from chaos.checks.instants import instants
from chaos.checks.interruption import Interruption
from chaos.checks.recording import Recording
from chaos.model.operation import Kind
from chaos.model.stretch import Stretch
from chaos.model.verdict import Finding, Verdict

FAULT, PAUSED_S, RESUMED_S, UNTIL_S = "pause-and-resume", 10.0, 25.0, 40.0
EXPERIMENT: Mapping[str, Any] = {
    "workload": {"arms": [{"arm": "arm"}], "writes_per_s": 50, "reads_per_s": 50}
}
STREAMS = (("cluster", Kind.WRITE), ("reader", Kind.READ))


def paused_run(
    folder: Path, *, told: bool = True, resumed: bool = True, effect_s: float = 20.0
) -> RunBuilder:
    """Traffic and probes that stand still from 10 to 25 s; `told`: the journal says so."""
    run = RunBuilder(folder / "run", experiment=EXPERIMENT)
    parts = [(0.0, PAUSED_S), (RESUMED_S, UNTIL_S)]
    for from_s, until_s in parts[: 2 if resumed else 1]:
        for endpoint, kind in STREAMS:
            run.traffic("arm", endpoint, kind, per_s=50, from_s=from_s, until_s=until_s)
    run.fault(FAULT, 9.9, accepted_s=10.5, effect_s=effect_s, ended_s=30.0)
    if told:
        run.event(PAUSED_S, "load", state="pausing")
        run.event(PAUSED_S + 0.2, "load", state="paused")
        if resumed:
            run.event(RESUMED_S, "load", state="resumed")
    return run


def judged(run: RunBuilder, limit_s: float) -> Finding:
    (finding,) = Interruption(arm="arm", interruption_s_max=limit_s).judge(Recording(run.write()))
    return finding


def test_only_a_silence_that_was_wanted_shows_nothing(tmp_path: Path) -> None:
    assert judged(paused_run(tmp_path / "wanted"), 5.0).verdict is Verdict.PASS
    finding = judged(paused_run(tmp_path / "not", told=False), 5.0)
    assert finding.verdict is Verdict.UNKNOWN
    assert "nothing was served for 15.0" in finding.why


@pytest.mark.parametrize(("limit_s", "verdict"), [(7.0, Verdict.PASS), (3.5, Verdict.FAIL)])
def test_who_wakes_the_cluster_waits_from_when_traffic_goes_on(
    tmp_path: Path, limit_s: float, verdict: Verdict
) -> None:
    """Service is back 6 s after traffic went on, and nobody asked for it before."""
    run = paused_run(tmp_path)
    run.outage("cluster", PAUSED_S + 1, RESUMED_S + 6, Shape.FREEZE)
    finding = judged(run, limit_s)
    assert finding.verdict is verdict, finding.why
    assert finding.from_s == pytest.approx(RESUMED_S)
    assert finding.measured == pytest.approx(6, abs=0.1)
    assert finding.measured is not None
    assert finding.measured >= 6
    assert finding.uncertainty_s is not None
    assert finding.uncertainty_s < 1.1, "what is late by a second is known to have waited"


def test_an_outage_that_the_pause_cut_off_has_no_recorded_end(tmp_path: Path) -> None:
    run = paused_run(tmp_path)
    run.outage("cluster", PAUSED_S - 0.5, PAUSED_S + 2, Shape.REFUSE)
    history = run.write()
    recording = Recording(history)
    windows = recording.windows("arm", "cluster", Kind.WRITE)
    assert [w.to_ns for w in windows] == [None]
    assert windows[0].until_ns == to_ns(PAUSED_S)
    (finding,) = Interruption(arm="arm", interruption_s_max=20).judge(recording)
    assert finding.verdict is Verdict.UNKNOWN
    assert "no recovery recorded" in finding.why


def test_what_is_whole_apart_from_the_pause_is_complete(tmp_path: Path) -> None:
    run = paused_run(tmp_path)
    assert list(missing_operations(Recording(run.write()))) == []


def test_a_hole_that_nobody_wanted_is_told(tmp_path: Path) -> None:
    missing = list(missing_operations(Recording(paused_run(tmp_path, told=False).write())))
    assert len(missing) == len(STREAMS)
    assert all("were recorded for 15.0 s" in clause for clause in missing), missing


def test_a_hole_beside_the_pause_is_told(tmp_path: Path) -> None:
    """Only the pause itself is left out: probes that never come back are missing from its end on."""
    run = paused_run(tmp_path)
    run.probes("cluster", Kind.WRITE, until_s=PAUSED_S)
    clauses = [c for c in missing_probes(Recording(run.write())) if "on cluster" in c]
    (clause,) = clauses
    assert clause.startswith("no writes of probe on cluster were recorded for 15.0 s, from 10.0 s ")


def test_a_load_that_never_went_on_stands_still_to_the_end(tmp_path: Path) -> None:
    recording = Recording(paused_run(tmp_path, resumed=False).write())
    assert recording.quiet == (Stretch(to_ns(PAUSED_S), recording.until_ns),)
    (finding,) = Interruption(arm="arm", interruption_s_max=5).judge(recording)
    assert finding.verdict is Verdict.UNKNOWN
    assert "s were recorded after the fault, 2 s are needed" in finding.why


def test_a_fault_within_the_pause_alone_proves_nothing(tmp_path: Path) -> None:
    """Its period begins and ends in the silence."""
    run = paused_run(tmp_path)
    run.fault("noop", 15.0, effect_s=16.0, ended_s=17.0, fault_id=2)
    run.fault("noop", 18.0, effect_s=19.0, ended_s=19.5, fault_id=3)
    findings = Interruption(arm="arm", interruption_s_max=5).judge(Recording(run.write()))
    assert findings[1].verdict is Verdict.UNKNOWN


def test_the_instants_of_a_pause_are_named(tmp_path: Path) -> None:
    run = paused_run(tmp_path)
    run.outage("cluster", PAUSED_S + 1, RESUMED_S + 1.5, Shape.FREEZE)
    run.topology(0.3, run.writers[0][1])
    for at_s, bounds in ((0.3, "0.5-8"), (10.8, "0-8, pauses after 300 s"), (30.5, "0.5-8")):
        run.observe(at_s, "capacity", run.cluster, bounds)
    run.observe(14.0, "event", "gameday-instance-1", "Successfully paused the DB instance.")
    recording = Recording(run.write())
    named = {
        (i.name, i.arm, i.endpoint): i.at_s for i in instants(recording, recording.injections[0])
    }
    assert named["API shows the new bounds", "", ""] == pytest.approx(10.8)
    assert named["traffic stands still", "", ""] == pytest.approx(PAUSED_S)
    assert named["RDS event of the last pause", "", ""] == pytest.approx(14.0)
    assert named["CloudWatch shows every instance at 0 ACU", "", ""] == pytest.approx(20.0)
    assert named["traffic goes on", "", ""] == pytest.approx(RESUMED_S)
    first = named["first connection after the pause", "arm", "cluster"]
    assert first == pytest.approx(RESUMED_S + 1.5, abs=0.1)
    reader = named["first connection after the pause", "arm", "reader"]
    assert reader == pytest.approx(RESUMED_S, abs=0.1)
    assert named["API shows the old bounds again", "", ""] == pytest.approx(30.5)


def test_the_instants_of_a_storm_are_named_in_its_order(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=20.0)
    run.fault("scale-storm", 5.0, ended_s=15.0)
    series = [{"min_acu": 4.0, "max_acu": 8.0}, {"min_acu": 0.5, "max_acu": 1.0}]
    run.event(15.0, "fault", fault_id=1, verb="recovered", parameters={"series": series})
    run.topology(0.3, run.writers[0][1])
    for at_s, bounds in ((0.3, "0.5-8"), (6.0, "4-8"), (8.0, "0.5-1"), (12.0, "0.5-8")):
        run.observe(at_s, "capacity", run.cluster, bounds)
    recording = Recording(run.write())
    named = {i.name: i.at_s for i in instants(recording, recording.injections[0])}
    assert named["API shows bounds 1 of 2: 4 to 8 ACU"] == pytest.approx(6.0)
    assert named["API shows bounds 2 of 2: 0.5 to 1 ACU"] == pytest.approx(8.0)
    assert named["API shows the old bounds again"] == pytest.approx(12.0)
