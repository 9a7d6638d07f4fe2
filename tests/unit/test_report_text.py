"""The terminal's summary and JUnit tell what the page tells."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from fix_history import failover_run
from fix_report import stuck_pool_run, write_verdict
from rich.console import Console

from chaos.model.ledger import ArmLedger, Ledger
from reports import html, junit, text


def plain(folder: Path, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(text.summary(folder))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_summary_tells_verdict_numbers_instants_and_where_the_report_is(
    failover_folder: Path,
) -> None:
    path = html.render(failover_folder)
    said = plain(failover_folder)
    assert said.startswith("✓ PASS  writer-failover")
    assert "durations are modelled, not AWS's" in said
    assert "at most 1.4" in said
    assert "+0.040 s" in said
    assert "API accepted" in said
    assert "1\N{NARROW NO-BREAK SPACE}250" in said
    assert f"Report: {path}" in said.replace("\n", "")


def test_a_summary_without_a_report_says_how_to_make_one(tmp_path: Path) -> None:
    folder = write_verdict(failover_run(tmp_path / "run").write())
    assert "gameday report" in plain(folder)


def test_a_summary_of_one_failover_fits_a_terminal_of_100_columns(failover_folder: Path) -> None:
    lines = plain(failover_folder, width=100).splitlines()
    assert any("resilient     write cluster" in line and "✓ pass" in line for line in lines)


def test_a_summary_of_repeats_tells_the_worst_and_how_many(repeated_folder: Path) -> None:
    said = plain(repeated_folder, width=100)
    assert "worst of 3 " in said
    assert "median 1.4" in said
    assert "3 faults in all; the others are in the report" in said


def test_a_summary_survives_hostile_text_and_narrow_terminals(stuck_pool_folder: Path) -> None:
    said = plain(stuck_pool_folder, width=80)
    assert "\x1b" not in said
    assert "\x00" not in said
    assert "not recovered" in said


def test_markup_in_recorded_text_is_not_obeyed(tmp_path: Path) -> None:
    folder = write_verdict(failover_run(tmp_path / "run").write(), claim="[bold]x[/bold] [/red]")
    assert "[bold]x[/bold] [/red]" in plain(folder)


def test_a_run_that_was_aborted_says_so_first(tmp_path: Path) -> None:
    folder = write_verdict(failover_run(tmp_path / "run").write(status="aborted"))
    assert "ABORTED" in plain(folder).splitlines()[0]


def suite(folder: Path) -> ET.Element:
    root = ET.parse(junit.render(folder)).getroot()
    found = root.find("testsuite")
    assert found is not None
    return found


def test_every_finding_is_a_test_case_and_a_pass_is_green(failover_folder: Path) -> None:
    found = suite(failover_folder)
    assert (found.get("failures"), found.get("errors")) == ("0", "0")
    names = [case.get("name") for case in found.findall("testcase")]
    assert names[0] == "the run completed and was judged"
    assert "interruption resilient write cluster" in names
    assert len(set(names)) == len(names)
    skipped = found.findall("testcase/skipped")
    assert len(skipped) == int(found.get("skipped", "0")) > 0
    assert all(s.get("message", "").startswith("not judged: ") for s in skipped)


def test_repeats_are_cases_of_their_own(repeated_folder: Path) -> None:
    names = [case.get("name") for case in suite(repeated_folder).findall("testcase")]
    assert "interruption resilient write cluster #3" in names


def test_a_failed_finding_is_a_failure(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    lost = ArmLedger(acknowledged=700, applied_once=699, lost=1, lost_ids=(7,))
    run.ledger = Ledger(arms={"resilient": lost}, complete=True)
    (failure,) = suite(write_verdict(run.write())).findall("testcase/failure")
    assert failure.get("message", "").startswith("1 lost writes, limit 0 lost writes: ")


def test_an_unknown_finding_is_an_inconclusive_error(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    run.ledger = Ledger(complete=False, why="the writer was gone")
    errors = suite(write_verdict(run.write())).findall("testcase/error")
    assert errors
    assert {e.get("type") for e in errors} == {"inconclusive"}
    assert any("the writer was gone" in e.get("message", "") for e in errors)


@pytest.mark.parametrize("status", ["aborted", "interrupted", "failed"])
def test_a_run_that_did_not_complete_is_red_whatever_it_found(tmp_path: Path, status: str) -> None:
    folder = write_verdict(failover_run(tmp_path / "run").write(status=status), findings=[])
    found = suite(folder)
    assert found.get("errors") == "1"
    assert status in found.findall("testcase/error")[0].get("message", "")


def test_a_run_without_a_verdict_is_red(tmp_path: Path) -> None:
    found = suite(failover_run(tmp_path / "run").write().folder)
    assert found.get("errors") == "1"


def test_hostile_text_is_legal_xml(tmp_path: Path) -> None:
    hostile = "]]> <evil/> \x00\x08\x1b & \ud800"
    folder = write_verdict(
        stuck_pool_run(tmp_path / "run").write(),
        findings=[{"check": "c", "verdict": "fail", "why": hostile, "from": None, "to": None}],
    )
    (failure,) = suite(folder).findall("testcase/failure")
    assert failure.get("message") == "]]> <evil/> \ufffd\ufffd\ufffd & \ufffd"
