"""A cluster that pauses while the run's own load stands still, told as what it was."""

from __future__ import annotations

import pytest
from conftest import Gameday

pytestmark = [pytest.mark.seconds(60)]


def test_a_pause_is_told_from_the_request_to_the_first_connection(gameday: Gameday) -> None:
    done = gameday("run", "pause-resume", "--quiet")
    verdict = gameday.verdict()
    assert verdict["status"] == "completed", done.stdout + done.stderr
    (fault,) = verdict["faults"]
    assert fault["effect"] == "taken"
    at = {
        (i["name"], i.get("arm", ""), i.get("endpoint", "")): i["at_s"]
        for i in fault["instants"]
        if i["at_s"] is not None
    }
    stood_s, went_on_s = at["traffic stands still", "", ""], at["traffic goes on", "", ""]
    assert stood_s < at["CloudWatch shows every instance at 0 ACU", "", ""] < went_on_s
    for arm in ("default-pool", "resilient"):
        assert at["first connection after the pause", arm, "cluster"] > went_on_s
    assert ("API shows the old bounds again", "", "") in at

    felt = [f for f in verdict["findings"] if f["check"] == "interruption" and f["measured"]]
    assert felt, "waking takes about a second: somebody must have felt it"
    # Nothing that was felt reaches over the silence, and nothing of it is taken for an outage.
    assert all(f["to"] <= stood_s + 10 or f["from"] >= went_on_s for f in felt if f["to"]), felt
    assert verdict["writes"]["lost"] == 0
    report = (gameday.folder() / "report.html").read_text(encoding="utf-8")
    assert "silence shows nothing" in report
