"""Faults at the same time and within each other, on a real cluster: all take effect, all recover."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Gameday

from chaos.checks.injections import find_injections
from chaos.model.record import read_events

pytestmark = [pytest.mark.spread, pytest.mark.seconds(40)]

EXPERIMENT = """\
version: 1
name: composed
claim: Whatever happens at once, everything is restored.
test_cluster: {reader_tiers: [1, 2]}
workload:
  {arms: [{arm: resilient}], writes_per_s: 5, reads_per_s: 5, users: 2, warmup_s: 3, cooldown_s: 1}
method:
  - do: parallel
    steps:
      - {fault: delete-reader, target: "reader:tier=1", hold_s: 6, settle_s: 0}
      - {fault: reboot-instance, target: "reader:tier=2", settle_s: 0}
  - do: nested
    outer: {fault: delete-reader, target: "reader:tier=1", settle_s: 0}
    when: recovering
    steps:
      - {fault: failover-cluster, settle_s: 0}
objectives:
  - {check: restored}
rollback: [restore-writer]
"""


def test_what_happens_at_once_takes_effect_and_is_restored(
    gameday: Gameday, tmp_path: Path
) -> None:
    """Neither verdict nor durations are looked at, which this machine decides, too."""
    path = tmp_path / "composed.yaml"
    path.write_text(EXPERIMENT, encoding="utf-8")
    done = gameday("run", str(path))
    verdict = gameday.verdict()
    assert verdict["status"] == "completed", done.stdout + done.stderr
    assert [(f["fault"], f["place"], f["effect"]) for f in verdict["faults"]] == [
        ("delete-reader", "1 of parallel 1", "taken"),
        ("reboot-instance", "2 of parallel 1", "taken"),
        ("delete-reader", "outer of nested 1", "taken"),
        ("failover-cluster", "1 of nested 1, while delete-reader recovers", "taken"),
    ]
    journal = gameday.folder() / "journal.jsonl"
    events = read_events(journal)
    undone = {e.data["id"] for e in events if e.type == "undone"}
    assert {e.data["id"] for e in events if e.type == "undo"} == undone
    deleted, rebooted, again, failed_over = find_injections(events, 0)
    assert deleted.recovered_ns is not None
    assert rebooted.requested_ns < deleted.recovered_ns < again.requested_ns
    assert again.recover_ns is not None
    assert again.recovered_ns is not None
    assert again.recover_ns < failed_over.requested_ns < again.recovered_ns
    assert deleted.group == rebooted.group != again.group == failed_over.group
    page = (gameday.folder() / "report.html").read_text(encoding="utf-8")
    assert "2 of parallel 1" in page
