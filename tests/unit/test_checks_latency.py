"""Latencies: exact percentiles of recorded operations, from the intended and from the actual start."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fix_history import RunBuilder, Shape, failover_run
from fix_report import write_verdict
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from chaos.checks.generator_table import generator_table
from chaos.checks.latency import latency_table, percentiles
from chaos.checks.recording import Recording
from chaos.model.operation import Kind
from reports import html, latency, text
from reports.read import load


@given(st.lists(st.integers(0, 10**10), max_size=3000))
def test_a_percentile_is_a_recorded_value_that_so_many_are_not_above(taken: list[int]) -> None:
    told = percentiles(np.array(taken, dtype=np.int64))
    n = len(taken)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)):
        value_ms = told[name]
        if n * (1 - share) < 1 - 1e-9:
            assert value_ms is None, f"{name} of {n}"
            continue
        rank = math.ceil(round(share * n, 6))
        assert value_ms == round(sorted(taken)[rank - 1] / 1e6, 3)
    assert told["max"] == (round(max(taken) / 1e6, 3) if taken else None)


def rows(run: RunBuilder, **wanted: Any) -> list[dict[str, Any]]:
    table = latency_table(Recording(run.write()))
    return [row for row in table if all(row[key] == value for key, value in wanted.items())]


def frozen_run(folder: Path, *, users: int = 1000, queue_max: int = 1000) -> RunBuilder:
    """200 writes a second; nothing answers from second 10 to 12, in a fault from 9.9 to 15.

    With few users most of what was due meanwhile waited for a user, not for its own answer.
    """
    run = RunBuilder(folder / "run")
    run.traffic(
        "arm", "cluster", Kind.WRITE, per_s=200, until_s=30, users=users, queue_max=queue_max
    )
    run.outage("cluster", 10.0, 12.0, Shape.FREEZE)
    run.fault("failover-cluster", 9.9, effect_s=12.0, ended_s=15.0)
    run.fill(until_s=30)
    return run


def test_the_parts_are_before_during_and_after_the_fault(tmp_path: Path) -> None:
    found = rows(frozen_run(tmp_path), operation="write")
    assert [row["part"] for row in found] == ["before", "during", "after"]
    assert [(row["from"], row["to"]) for row in found] == [(2.0, 9.9), (9.9, 15.0), (15.0, 30.0)]
    assert [row["n"] for row in found] == pytest.approx([1580, 1020, 3000], abs=3)
    before, during, after = (row["corrected_ms"] for row in found)
    assert max(before["max"], after["max"]) < 5
    assert 1990 < during["max"] < 2010
    assert None not in {before["p99.9"], during["p99.9"], after["p99.9"]}


def test_a_wait_for_a_user_is_in_the_corrected_latency_alone(tmp_path: Path) -> None:
    (during,) = rows(frozen_run(tmp_path, users=4), part="during", operation="write")
    assert during["corrected_ms"]["p90"] > 100
    assert during["raw_ms"]["p90"] < 10
    assert during["corrected_ms"]["max"] >= during["raw_ms"]["max"] > 1900


def test_what_was_not_served_is_counted_and_not_quick(tmp_path: Path) -> None:
    """A refusal in 0.3 ms is no latency; an arrival that found the queue full was never sent."""
    run = frozen_run(tmp_path, users=4, queue_max=50)
    run.outage("cluster", 20.0, 21.0, Shape.REFUSE)
    history = run.write()
    (during, after) = (
        row
        for row in latency_table(Recording(history))
        if row["part"] in {"during", "after"} and row["operation"] == "write"
    )
    assert during["never_sent"] == pytest.approx(350, abs=5)
    assert after["not_served"] == pytest.approx(200, abs=3)
    for row in (during, after):
        assert row["n"] + row["not_served"] + row["never_sent"] == row["operations"]
    (generator,) = generator_table(Recording(history))
    (never_sent,) = generator["never_sent"]
    assert never_sent["operations"] == during["never_sent"]
    assert 10.2 < never_sent["first"] < 10.4
    assert 11.9 < never_sent["last"] <= 12.0


def test_without_a_fault_it_is_one_part(tmp_path: Path) -> None:
    run = RunBuilder(tmp_path / "run")
    run.traffic("arm", "cluster", Kind.WRITE, per_s=50, until_s=10)
    run.fill(until_s=10)
    (row,) = rows(run, operation="write")
    assert (row["part"], row["fault_number"], row["n"]) == ("all", 0, 400)


def test_a_second_fault_has_its_own_before(tmp_path: Path) -> None:
    found = rows(
        failover_run(tmp_path / "run", repeats=2),
        arm="resilient", operation="write", fault_number=2,
    )  # fmt: skip
    assert [(row["part"], row["from"], row["to"]) for row in found] == [
        ("before", 15.0, 25.0),
        ("during", 25.0, 30.0),
        ("after", 30.0, 40.0),
    ]


def test_the_report_shows_both_and_says_what_was_never_sent(tmp_path: Path) -> None:
    run = failover_run(tmp_path / "run")
    run.streams = [s for s in run.streams if (s.arm, s.kind) != ("resilient", Kind.WRITE)]
    run.traffic("resilient", "cluster", Kind.WRITE, per_s=200, until_s=25, users=2, queue_max=20)
    run.outage("cluster", 11.6, 13.0, Shape.FREEZE)
    report = load(write_verdict(run.write()))
    (table,) = latency.latencies(report)
    parts = [(r.arm, r.operation, r.part) for r in table.rows if r.operation == "write"]
    assert parts == [
        (arm, "write", part)
        for arm in ("default-pool", "resilient")
        for part in ("before", "during", "after")
    ]
    (resilient,) = [row for row in latency.generators(report) if row.arm == "resilient"]
    assert "found the queue full, from +1." in resilient.never_sent[0]
    console = Console(width=200, file=io.StringIO())
    console.print(text.summary(report.history.folder))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"resilient never sent all: {resilient.never_sent[0]}" in shown
    assert "default-pool never sent" not in shown
    page = html.page(report)
    assert "How long operations took" in page
    assert resilient.never_sent[0] in page


def test_every_number_is_json(tmp_path: Path) -> None:
    table = latency_table(Recording(failover_run(tmp_path / "run").write()))
    assert json.loads(json.dumps(table, allow_nan=False)) == table
