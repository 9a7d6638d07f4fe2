"""Kill -9 of the runner of an embedded cluster; of one that stands: test_trouble.py."""

from __future__ import annotations

import signal
from collections.abc import Callable

import psutil
import pytest
from conftest import Gameday
from inside import inside

from chaos.model.record import read_events
from chaos.wait import wait_until

PATIENCE_S = 240
RUN = """
version: 1
name: killed
claim: Nothing is left.
workload: {arms: [{arm: resilient}], writes_per_s: 10, reads_per_s: 10, users: 4, warmup_s: 600}
method:
  - {fault: noop}
objectives:
  - {check: restored}
"""

pytestmark = pytest.mark.seconds(15)


def test_a_killed_runner_leaves_no_process_of_an_embedded_cluster(
    gameday: Gameday, descendants: Callable[[int], list[psutil.Process]]
) -> None:
    file = gameday.home / "killed.yaml"
    file.write_text(RUN, encoding="utf-8")
    process = gameday.start("run", str(file))
    wait_until(
        lambda: any(
            e.data.get("phase") == "warm-up"
            for journal in gameday.runs.glob("*/journal.jsonl")
            for e in read_events(journal)
        ),
        "the warm-up",
        timeout_s=PATIENCE_S,
    )
    tree = descendants(process.pid)
    assert len(tree) > 5
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(tree, timeout=PATIENCE_S)
    assert alive == []
    assert "nothing is left" in inside(gameday, "recover").stderr
