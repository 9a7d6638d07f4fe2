"""The control plane of a paper cluster with CloudWatch's metrics in reach of the test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from fix_control_plane import REGION, PaperCluster, rds_client, serve
from rds_model import holding_to_the_model

from chaos.testcluster.metrics.monitoring import Monitoring
from chaos.testcluster.metrics.telemetry import Telemetry


@dataclass(frozen=True)
class Observed:
    """A served paper cluster, validating clients of the services beside RDS, the metrics behind."""

    cluster: PaperCluster
    url: str
    cloudwatch: Any
    sts: Any
    tagging: Any
    fis: Any
    monitoring: Monitoring
    telemetry: Telemetry


@pytest.fixture(scope="module")
def observed() -> Iterator[Observed]:
    """One for a module; tests use metric and alarm names of their own."""
    cluster = PaperCluster()
    telemetry = Telemetry()
    with serve(cluster, telemetry.monitoring) as served:
        cloudwatch = holding_to_the_model(rds_client(served.url, service="cloudwatch"))
        sts = holding_to_the_model(rds_client(served.url, service="sts"))
        tagging = holding_to_the_model(rds_client(served.url, service="resourcegroupstaggingapi"))
        fis = holding_to_the_model(rds_client(served.url, service="fis"))
        yield Observed(
            cluster=cluster,
            url=served.url,
            cloudwatch=cloudwatch,
            sts=sts,
            tagging=tagging,
            fis=fis,
            monitoring=telemetry.monitoring(REGION),
            telemetry=telemetry,
        )
        for client in (cloudwatch, sts, tagging, fis):
            client.close()
