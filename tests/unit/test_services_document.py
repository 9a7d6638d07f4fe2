"""docs/aws-services.md tells of every service and metric that there is, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

from chaos.testcluster.api.services import offered_services
from chaos.testcluster.metrics.catalogue import METRICS
from chaos.testcluster.metrics.telemetry import Telemetry

TEXT = (Path(__file__).parents[2] / "docs" / "aws-services.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| `")
]


def test_services_and_operations_agree() -> None:
    told = {row[0].strip("`"): re.findall(r"`(\w+)`", row[2]) for row in ROWS if len(row) == 3}
    offered = {
        service.name: sorted(service.operations)
        for service in offered_services(Telemetry().monitoring)
        if service.name != "rds"
    }
    assert told == offered


def test_metrics_agree() -> None:
    told = {row[0].strip("`"): tuple(row[1:]) for row in ROWS if len(row) == 4}
    assert told == {name: tuple(metric) for name, metric in METRICS.items()}
