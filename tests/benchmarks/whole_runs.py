"""False alarms and detection, by whole runs: 50 undisturbed ones, each planted defect ten times.

    python tests/benchmarks/whole_runs.py [--short] [--results FILE] [--runs 50] [--times 10]
        [--only false-alarms | detection] [--json FILE]

false-alarms  `gameday run control`: traffic, probes and every check, and a fault that does nothing.
              Reported interruptions, of any arm or probe, and verdicts that are not pass, are counted.
detection     every case of tests/acceptance/test_defects.py: a whole run on a cluster with a planted
              defect, which the check that it names has to catch; a healthy cluster has to pass them.

Each result is a line of `--results` (`whole-runs.jsonl` here, by default), flushed as it comes. What a
file holds already is not done again: an interrupted bench goes on where it was.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import Figures, parser, say

ROOT = Path(__file__).parents[2]
CASES = "tests/acceptance/test_defects.py"
FALSE_ALARMS, DETECTION = "false-alarms", "detection"
RUN_S_MAX = 600


def undisturbed(hold_s: float) -> dict[str, Any]:
    """Carry out one control run and return what it claims to have seen."""
    with tempfile.TemporaryDirectory(prefix="gameday-runs-") as place:
        command = [sys.executable, "-m", "chaos", "run", "control", "--quiet", "--json"]
        ran = subprocess.run(
            [*command, "--out", place, "--set", f"HOLD_S={hold_s:g}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_S_MAX,
        )
        told = [json.loads(p.read_text("utf-8")) for p in Path(place).glob("*/verdict.json")]
        if len(told) != 1:
            return {
                "verdict": None,
                "windows": [],
                "why": ran.stderr[-500:],
                "exit": ran.returncode,
            }
        verdict = told[0]
    return {
        "verdict": verdict["verdict"],
        "exit": ran.returncode,
        "windows": [
            window
            for repeat in verdict["repeats"]
            for window in repeat["windows"]
            if window["measured"]
        ],
        "why": "; ".join(
            f"{finding['check']} {finding['arm']}: {finding['why']}"
            for finding in verdict["findings"]
            if finding["verdict"] not in {None, "pass"}
        ),
    }


def cases() -> list[str]:
    """Return the name of every case of a planted defect."""
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", CASES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in listed.stdout.splitlines() if "::" in line]


def detected(case: str) -> dict[str, Any]:
    """Do one case; return whether the defect was caught."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", case],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_S_MAX,
    )
    lines = ran.stdout.strip().splitlines()
    return {"caught": ran.returncode == 0, "why": "" if ran.returncode == 0 else lines[-1]}


class Results:
    """The lines of one file: what was done before, and what comes now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.all: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def of(self, what: str, case: str = "") -> list[dict[str, Any]]:
        return [one for one in self.all if (one["what"], one["case"]) == (what, case)]

    def add(self, what: str, case: str, took_s: float, result: dict[str, Any]) -> None:
        line = {"what": what, "case": case, "took_s": round(took_s, 1), **result}
        self.all.append(line)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def due(options: Any, results: Results) -> Iterator[tuple[str, str]]:
    """Yield what is still to be done, the cases in turn."""
    if options.only != DETECTION:
        for _ in range(options.runs - len(results.of(FALSE_ALARMS))):
            yield FALSE_ALARMS, ""
    if options.only != FALSE_ALARMS:
        chosen = cases()[:1] if options.short else cases()
        for number in range(options.times):
            for case in chosen:
                if len(results.of(DETECTION, case)) <= number:
                    yield DETECTION, case


def main() -> int:
    """Do what is due; exit with 1 when one run was wrong."""
    made = parser(__doc__)
    made.add_argument("--results", type=Path, default=None, help="lines of results, gone on with")
    made.add_argument("--runs", type=int, default=50)
    made.add_argument("--times", type=int, default=10)
    made.add_argument("--only", choices=(FALSE_ALARMS, DETECTION))
    made.add_argument("--hold-s", type=float, default=10.0, help="how long nothing is disturbed")
    options = made.parse_args()
    if options.short:
        options.runs, options.times, options.hold_s = 1, 1, 3.0
    with tempfile.TemporaryDirectory() as trial:
        usual = Path(trial) if options.short else Path()
        results = Results(options.results or usual / "whole-runs.jsonl")
        for what, case in due(options, results):
            began = time.monotonic()
            result = undisturbed(options.hold_s) if what == FALSE_ALARMS else detected(case)
            results.add(what, case, time.monotonic() - began, result)
            say(f"{what} {case.rpartition('::')[2]}: {result.get('verdict', result.get('caught'))}")
    return told(options, results)


def told(options: Any, results: Results) -> int:
    """Print what all runs together show."""
    figures = Figures("whole runs", options)
    undisturbed_runs = results.of(FALSE_ALARMS)
    if undisturbed_runs:
        wrong = [one for one in undisturbed_runs if one["verdict"] != "pass"]
        felt = [one for one in undisturbed_runs if one["windows"]]
        figures.row(
            "undisturbed", runs=len(undisturbed_runs), wrong=len(wrong), interrupted=len(felt)
        )
        figures.goal("undisturbed runs with an interruption", len(felt), at_most=0)
        figures.goal("undisturbed runs that did not pass", len(wrong), at_most=0)
        for one in (*wrong, *felt):
            say(f"  {one['verdict']}: {one['why']} {one['windows']}")
    for case in dict.fromkeys(one["case"] for one in results.all if one["what"] == DETECTION):
        done = results.of(DETECTION, case)
        missed = [one for one in done if not one["caught"]]
        name = case.rpartition("::")[2]
        figures.row(name, runs=len(done), wrong=len(missed))
        figures.goal(f"caught of {name}", 1 - len(missed) / len(done), at_least=1.0)
        for one in missed:
            say(f"  {name}: {one['why']}")
    return figures.told()


if __name__ == "__main__":
    sys.exit(main())
