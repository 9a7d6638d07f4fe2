"""A cluster that pauses while the run's own load stands still, told as what it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conftest import Gameday

pytestmark = [pytest.mark.seconds(60)]


SHIPPED = Path(__file__).parents[2] / "experiments" / "pause-resume.yaml"
LESS = {"writes_per_s": 5, "reads_per_s": 5, "users": 2, "warmup_s": 3, "cooldown_s": 5}


def test_a_pause_is_told_from_the_request_to_the_first_connection(
    gameday: Gameday, tmp_path: Path
) -> None:
    """The experiment that ships, with less traffic around the pause."""
    definition = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    definition["workload"] = LESS
    definition["method"][0] |= {"hold_s": 1, "settle_s": 1}
    path = tmp_path / "pause-resume.yaml"
    path.write_text(yaml.safe_dump(definition), encoding="utf-8")
    done = gameday("run", str(path), "--quiet")
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
