"""The page: complete without its script, self-contained, escaped, honest about what is missing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fix_history import RunBuilder, failover_run
from fix_report import stuck_pool_run, write_verdict

from chaos.model.ledger import ArmLedger, Ledger
from chaos.model.verdict import Verdict
from reports import html, tables
from reports.read import load


class Outline(HTMLParser):
    """Tags, attributes that could load something, and the text outside of scripts and styles."""

    VOID = frozenset({"meta", "link", "br", "input", "img", "path", "rect", "circle"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in {"src", "href", "data", "action"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data


def outlined(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    outline.close()
    assert outline.open == [], "every tag is closed"
    outline.text = re.sub(r"\s+", " ", outline.text)
    return outline


@pytest.fixture(scope="module")
def stuck_page(stuck_pool_folder: Path) -> str:
    return html.page(load(stuck_pool_folder))


@pytest.fixture(scope="module")
def page(failover_folder: Path) -> str:
    return html.page(load(failover_folder))


def test_a_report_is_written_at_once_and_returned(failover_folder: Path) -> None:
    path = html.render(failover_folder)
    assert path == failover_folder / "report.html"
    assert not list(failover_folder.glob(".report*"))
    before = path.stat().st_ino
    assert html.render(failover_folder).stat().st_ino != before, "replaced, not overwritten"


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="environment"):
        html.render(tmp_path)


def test_a_damaged_verdict_is_said_with_its_file(tmp_path: Path) -> None:
    folder = write_verdict(failover_run(tmp_path / "run").write())
    for damaged, said in (
        ("{", "not JSON"),
        ("[]", "no verdict"),
        ('{"verdict": "maybe"}', "no verdict"),
        ('{"findings": [{"check": "c"}]}', "no verdict"),
    ):
        (folder / "verdict.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(ValueError, match=rf"verdict\.json: {said}.*`gameday judge`"):
            load(folder)


def test_the_page_needs_nothing_else(page: str) -> None:
    outline = outlined(page)
    assert outline.links == ["data:,"]
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_the_page_is_small(page: str, stuck_page: str) -> None:
    assert len(page.encode()) < 300_000
    assert len(stuck_page.encode()) < 300_000


def test_the_verdict_comes_first_then_the_numbers_then_the_timeline(page: str) -> None:
    text = outlined(page).text
    order = [
        "pass",
        "Prepared clients write again",
        "Embedded test cluster: durations are modelled, not AWS's.",
        "What clients felt",
        "Writes accounted for",
        "Timeline",
        "The fault, instant by instant",
        "What clients met, and what retries absorbed",
        "What the harness did",
        "The experiment, as resolved",
        "How this was measured",
        "Action items",
    ]
    body = text[text.index("pass", text.index("writer-failover")) :]
    places = [body.index(part) for part in order]
    assert places == sorted(places)


def test_no_recorded_text_becomes_markup(stuck_page: str) -> None:
    outline = outlined(stuck_page)
    assert outline.tags.count("script") == 2
    assert '<script>document.title="owned"</script> & "quoted"' in outline.text
    assert "\x00" not in stuck_page
    assert "\x1b" not in stuck_page


def test_an_arm_that_never_recovered_says_so(stuck_page: str, stuck_pool_folder: Path) -> None:
    text = outlined(stuck_page).text
    assert re.search(r"not recovered within the recording \(≥ 1\d\.\d\d s\)", text)
    assert "not recovered, ≥" in text, "in the timeline, too"
    rows = tables.interruptions(load(stuck_pool_folder))
    (stuck,) = [row for row in rows if row.open_ended]
    assert (stuck.arm, stuck.operation, stuck.verdict) == ("default-pool", "write", "not judged")
    resilient = next(r for r in rows if (r.arm, r.operation) == ("resilient", "write"))
    assert stuck.share == 1.0
    assert resilient.share < 0.2


def test_one_fault_is_no_distribution_and_several_name_their_number(
    page: str, repeated_folder: Path
) -> None:
    assert "one measurement, not a distribution" in outlined(page).text
    assert "median" not in outlined(page).text.split("Timeline")[0]
    text = outlined(html.page(load(repeated_folder))).text
    assert "not a distribution" not in text
    assert re.search(r"worst of 3, median \d\.\d{3} s", text)
    assert "2 of 3, requested +15.000 s" in text


def test_a_missing_instant_is_told_with_its_reason(tmp_path: Path) -> None:
    folder = write_verdict(failover_run(tmp_path / "run").write())
    told = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    instants = told["faults"][0]["instants"]
    instants.insert(1, {"name": "last 25006", "at_s": None, "missing": True, "why": "none <seen>"})
    (folder / "verdict.json").write_text(json.dumps(told), encoding="utf-8")
    report = load(folder)
    rows = tables.instants(report, report.judgement.faults[0])
    assert [r.missing for r in rows] == sorted(r.missing for r in rows), "missing ones last"
    assert "missing: none <seen>" in outlined(html.page(report)).text


def test_instants_are_in_order_with_their_gaps(failover_folder: Path) -> None:
    report = load(failover_folder)
    rows = tables.instants(report, report.judgement.faults[0])
    assert (rows[0].name, rows[0].at) == ("requested", "+0.000 s")
    assert (rows[1].name, rows[1].at, rows[1].gap) == ("API accepted", "+0.040 s", "+40 ms")
    assert all(r.share is None or r.share >= 0 for r in rows)


@pytest.mark.parametrize("status", ["aborted", "interrupted", "refused"])
def test_a_run_that_did_not_complete_never_looks_like_a_pass(tmp_path: Path, status: str) -> None:
    folder = write_verdict(failover_run(tmp_path / "run").write(status=status), verdict="pass")
    text = outlined(html.page(load(folder))).text
    assert tables.headline(load(folder)) == status
    assert f"{status} The run did not complete. What was recorded is judged pass." in text


def test_a_run_without_a_verdict_is_not_judged(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    run.everything_applied = False
    folder = run.write().folder
    text = outlined(html.page(load(folder))).text
    assert "not judged" in text
    assert "nothing is known about lost or duplicated writes" in text


def test_a_run_that_was_refused_before_anything_has_a_page(run_builder: RunBuilder) -> None:
    run_builder.event(1.0, "guard", guard="opted-in", refused=True, why="no tag gameday=allowed")
    folder = run_builder.write(status="refused").folder
    text = outlined(html.page(load(folder))).text
    assert "refused" in text
    assert "guard opted-in refused: no tag gameday=allowed" in text.split("What clients felt")[0]
    assert "Nothing was recorded" in text
    assert "No operation was recorded" in text


def test_the_reasons_for_a_failed_verdict_are_at_the_top(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    counts = ArmLedger(acknowledged=700, applied_once=698, lost=2, lost_ids=(41, 42))
    run.ledger = Ledger(arms={"resilient": counts}, read_from="gameday-instance-2", complete=True)
    report = load(write_verdict(run.write()))
    assert report.judgement.verdict is Verdict.FAIL
    top = outlined(html.page(report)).text.split("What clients felt")[0]
    assert "2 acknowledged writes are gone: ids 41, 42" in top
    assert "2 of 700 acknowledged writes lost" in top


def test_an_incomplete_ledger_accounts_for_nothing(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    run.ledger = replace(Ledger(), complete=False, why="the writer was gone")
    text = outlined(html.page(load(write_verdict(run.write())))).text
    assert "no write is accounted for: the writer was gone" in text


def test_a_cluster_of_aws_carries_no_banner(tmp_path: Path) -> None:
    folder = write_verdict(failover_run(tmp_path / "run").write(), cluster_kind="aws")
    assert "durations are modelled" not in outlined(html.page(load(folder))).text


def test_the_windows_of_the_timeline_are_the_numbers_of_the_table(failover_folder: Path) -> None:
    report = load(failover_folder)
    page = html.page(report)
    (finding,) = [
        f
        for f in report.judgement.findings
        if (f.check, f.arm, f.operation) == ("interruption", "resilient", "write")
    ]
    assert finding.from_s is not None
    assert finding.to_s is not None
    start_s = report.recording.start_s
    a, b = round((finding.from_s - start_s) * 1000), round((finding.to_s - start_s) * 1000)
    assert f'style="--a:{a};--b:{b}"' in page


def test_the_same_run_gives_the_same_page(stuck_pool_folder: Path, stuck_page: str) -> None:
    assert html.page(load(stuck_pool_folder)) == stuck_page


def test_stuck_pool_run_is_what_it_says(tmp_path: Path) -> None:
    history = stuck_pool_run(tmp_path / "run").write()
    assert b"\\u0000" in (history.folder / "journal.jsonl").read_bytes()
