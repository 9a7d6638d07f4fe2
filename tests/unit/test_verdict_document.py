"""docs/verdict.md and verdict.json have the same keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fix_history import ORIGIN_NS, failover_run

from chaos.checks.judge import judge
from chaos.checks.success_ratio import SuccessRatio
from chaos.clock import NS
from chaos.model.operation import Kind, OperationWriter, Outcome

DOCUMENT = (Path(__file__).parents[2] / "docs" / "verdict.md").read_text(encoding="utf-8")
# Their keys are names: of parameters, errors, arms.
MAPS = {"parameters", "errors", "applied_twice"}
ELSEWHERE = {"complete", "why", "read_from", "arms", "readers", "sums", "sum_expected"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was judged of two failovers, with a brown-out and a lonely slow operation."""
    run = failover_run(tmp_path_factory.mktemp("verdict") / "run", repeats=2)

    def slow(operations: OperationWriter) -> None:
        for at_s in (2.0, 6.0, 6.1, 6.2):
            at_ns = ORIGIN_NS + round(at_s * NS)
            operations.operation(
                kind=Kind.READ, endpoint="reader", intended_ns=at_ns, started_ns=at_ns,
                ended_ns=at_ns + NS // 2, outcome=Outcome.OK,
            )  # fmt: skip

    run.operation("default-pool", slow)
    objective = SuccessRatio(arm="default-pool", success_ratio_min=0.5)
    return judge(run.write(), [objective]).as_json()


def keys(value: Any) -> Iterator[str]:
    """Yield the keys of all objects within a value, but for those that are names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in MAPS:
                yield from keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner)


def documented(section: str) -> set[str]:
    """Return the keys that a section names in its tables, or `key` within a sentence of a table."""
    text = DOCUMENT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([a-z_0-9]+)`", row)}


def named_first(section: str) -> set[str]:
    """Return the keys that stand in the first column of a section's tables of keys."""
    text = DOCUMENT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    table = text.partition("| Measure |")[0]
    cells = re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([a-z_0-9]+)`", cell)}


def test_every_key_at_the_top_is_told_and_no_other(told: dict[str, Any]) -> None:
    table = DOCUMENT.partition("| Key | Holds |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE)
    assert {n for cell in cells for n in re.findall(r"`([a-z_]+)`", cell)} == set(told)


@pytest.mark.parametrize(
    "section",
    ["findings", "faults", "windows", "brownouts", "availability", "retries", "arms"],
)
def test_every_key_within_is_told_and_no_other(told: dict[str, Any], section: str) -> None:
    found = set(keys(told[section]))
    assert told[section]
    assert found <= documented(section)
    assert named_first(section) <= found


def test_repeats_and_their_statistics_are_told(told: dict[str, Any]) -> None:
    found = set(keys(told["repeats"])) | set(keys(told["statistics"]))
    assert told["statistics"]["interruption"]
    assert found <= documented("repeats and statistics")
    assert named_first("repeats and statistics") <= found


def test_writes_are_told_up_to_what_the_ledger_holds(told: dict[str, Any]) -> None:
    assert set(told["writes"]) <= documented("writes") | ELSEWHERE
    assert named_first("writes") == set(told["writes"])


def test_latency_and_generators_are_told(told: dict[str, Any]) -> None:
    assert told["latency"]
    assert told["generators"]
    found = set(keys(told["latency"])) | set(keys(told["generators"]))
    assert found - {"p99.9"} <= documented("latency and generators")
    never_sent = {"operations", "of", "first", "last"}
    assert named_first("latency and generators") <= found | never_sent


def test_every_measure_is_told(told: dict[str, Any]) -> None:
    table = DOCUMENT.partition("| Measure |")[2]
    cells = re.findall(r"^\| (`[^|]*)\|", table, re.MULTILINE)
    names = {n for cell in cells for n in re.findall(r"`([a-z_0-9]+)`", cell)}
    shown = {measure["measure"] for measure in told["arms"]["measures"]}
    assert shown <= names
    assert names - shown <= {"connections_opened", "pinned", "pinned_share_max"}
