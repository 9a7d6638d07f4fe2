"""The sections on writes and reads, and on capacity: what they show, and when they are not there."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fix_history import failover_run
from fix_report import write_verdict
from run_builder import RunBuilder, to_ns

from chaos.model.ledger import ArmLedger, Ledger, ReaderLedger
from chaos.model.operation import Kind, OperationWriter, Outcome
from reports import capacity, html, reads
from reports.drawing import Axis
from reports.read import Report, load

OLD, NEW, OTHER = "gameday-instance-1", "gameday-instance-2", "gameday-instance-3"
ARM = "resilient"


def text_of(report: Report, section: str) -> str:
    """The words of one section of the page, by its heading's id."""
    page = html.page(report)
    _, _, rest = page.partition(f'aria-labelledby="{section}"')
    words = re.sub(r"<[^>]*>", " ", rest.partition("</section>")[0])
    return re.sub(r"\s+", " ", words)


def told(run: RunBuilder) -> Report:
    return load(write_verdict(run.write()))


def with_reads(run: RunBuilder) -> None:
    """Add an arm with writes and with reads of two readers, of which one is stuck at 12 s.

    The simulated arms' reads show no ids, so it is none of them.
    """

    def append(operations: OperationWriter) -> None:
        for number in range(50, 240):
            at_s = number / 10
            for kind, instance, seen, later_s in (
                (Kind.WRITE, OLD, number, 0.0),
                (Kind.READ, NEW, number, 0.05),
                (Kind.READ, OTHER, min(number, 120), 0.06),
            ):
                at_ns = to_ns(at_s + later_s)
                operations.operation(
                    kind=kind, endpoint="cluster" if kind is Kind.WRITE else "reader",
                    intended_ns=at_ns, started_ns=at_ns, ended_ns=at_ns + 10**6,
                    outcome=Outcome.OK, instance=instance, write_id=10**9 + seen,
                )  # fmt: skip

    run.operation("replicas", append)


def test_reads_are_told_by_instance_and_part_of_the_run(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    with_reads(run)
    report = told(run)
    rows = {(row.instance, row.period): row for row in reads.rows(report)}
    assert rows["instance-3", "after"].stale
    assert rows["instance-3", "after"].lacking == rows["instance-3", "after"].reads
    assert rows["instance-3", "before"].lacking == rows["instance-2", "after"].lacking == "0"
    (sentence,) = reads.furthest_back(report)
    assert re.search(r"a read of instance-3 had lost sight of at least 119 writes", sentence)
    said = text_of(report, "h-reads")
    assert sentence in said
    assert "replicas reader instance-" in said


def test_what_other_instances_held_and_who_acknowledged_what_was_lost(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    lost = ArmLedger(
        acknowledged=700,
        lost=3,
        lost_by_instance={OLD: 2, "": 1},
        lost_first_ns=to_ns(9.9),
        lost_last_ns=to_ns(10.1),
        duplicated=1,
        duplicated_ids=(7,),
        duplicated_attempts={"7": (1, 3)},
    )
    good = ReaderLedger(
        complete=True, caught_up=True, missing=0, extra=0, read_at_ns=to_ns(26), sums={ARM: 100}
    )
    behind = replace(
        good, caught_up=False, why="waited 15 s", missing=4, behind_s=2.5, sums={ARM: 99}
    )
    run.ledger = Ledger(
        arms={ARM: lost},
        complete=True,
        read_from=NEW,
        readers={OLD: good, OTHER: behind, "gone": ReaderLedger(why="it does not resolve")},
        sums={ARM: 100},
        sum_expected=100,
    )
    said = text_of(told(run), "h-reads")
    assert "resilient: acknowledged by instance-1 (2), an unnamed instance (1), from" in said
    assert "0.100 s to +0.100 s" in said
    assert "7 by attempts 1, 3" in said
    assert "Balances that should add up to 100: 99 of resilient on instance-3" in said
    assert "had replayed everything" in said
    assert "≥ 2.500 s behind: waited 15 s" in said
    assert "could not be read: it does not resolve" in said


def test_a_run_without_reads_or_readers_says_so(tmp_path: Path) -> None:
    said = text_of(told(failover_run(tmp_path / "run")), "h-reads")
    assert "No other instance was read" in said
    assert "No read was recorded that showed a write" in said


def scaled(tmp_path: Path) -> RunBuilder:
    """A run in which the writer scales from 2 to 8 ACU, and is asked while it does."""
    run = failover_run(tmp_path / "run")
    run.observe(0.2, "capacity", run.cluster, "0.5-8")
    for at_s, acu in ((1.0, 2.0), (18.0, 8.0), (24.0, 8.0)):
        run.observe(at_s + 1, "acu", OLD, f"{acu:g}", width_s=2.0, resolution_s=1.0)
    about = {"fault_id": 9, "fault": "scale-capacity", "step": 2, "repeat": 1}
    run.event(17.0, "fault", **about, verb="inject", state="started",
              parameters={"min_acu": 8, "max_acu": 16})  # fmt: skip
    run.event(23.0, "fault", **about, verb="recovered", state="ended")
    return run


def test_capacity_is_a_lane_above_the_operations_and_a_section(tmp_path: Path) -> None:
    report = told(scaled(tmp_path))
    (lane,) = capacity.group(report, Axis(report)).lanes
    assert [label.text for label in lane.labels] == ["8", "0"]
    assert "2 to 8 ACU" in lane.summary
    page = html.page(report)
    assert page.index('data-group="capacity"') < page.index('data-group="arm-default-pool"')
    (step,) = capacity.steps(report)
    assert (step.cause, step.took) == ("scale-capacity 2", "at most 2.000 s")
    assert (step.before, step.reached) == ("2", "8")
    said = text_of(report, "h-capacity")
    assert "a datapoint each 1.000 s" in said
    assert "scale-capacity 2 instance-1 8 to 16 ACU 2 8 at most 2.000 s" in said
    assert "Latency and failures at each capacity" in said


def keys(value: Any, names: Collection[str] = ()) -> set[str]:
    """All keys within a value; what is below one of `names` is by name, which is no key."""
    if isinstance(value, list):
        return {key for inner in value for key in keys(inner, names)}
    if not isinstance(value, dict):
        return set()
    found = set(value)
    for key, inner in value.items():
        by_name = key in names and isinstance(inner, dict)
        found |= keys(list(inner.values()) if by_name else inner, names)
    return found


def documented(page: str) -> set[str]:
    """All words of a page of the documents that stand as keys in its tables."""
    lines = (Path(__file__).parents[2] / "docs" / page).read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([a-z_0-9]+)`", row)}


def test_every_key_that_these_sections_are_made_of_is_documented(tmp_path: Path) -> None:
    run = scaled(tmp_path)
    with_reads(run)
    run.event(19.0, "load", state="pausing")
    run.event(20.0, "load", state="resumed")
    found = told(run).judgement.told
    assert found["reads"][-1]["furthest_back"] is not None
    assert found["serverless"]["resumes"]
    assert keys(found["reads"]) <= documented("data.md")
    assert keys(found["serverless"], {"series"}) <= documented("serverless.md")
    assert set(asdict(ReaderLedger())) <= documented("data.md")


def test_another_cluster_has_no_such_section(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    run.observations = [o for o in run.observations if o.kind != "capacity"]
    report = told(run)
    assert "h-capacity" not in html.page(report)
    assert capacity.group(report, Axis(report)).lanes == ()
