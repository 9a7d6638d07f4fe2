"""The fixtures' plugin list: one concern each, below `tests/fix_*.py`; append yours."""

from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from chaos.startup import importing

# The same examples in every run, and however busy the machine is: a gate decides by the code alone.
settings.register_profile(
    "gate", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gate")

pytest_plugins = [
    "distribution",
    "fix_history",
    "fix_postgres",
    "fix_testcluster",
    "fix_control_plane",
    "fix_server",
    "fix_exec",
    "fix_rds",
    "fix_service",
    "fix_threads",
    "fix_aws",
    "fix_rds_model",
    "fix_standalone",
    "fix_cloudwatch",
    "fix_cluster_life",
    "fix_embedded",
    "fix_report",
    "fix_browser",
    "fix_faults",
    "fix_clients",
    "fix_control",
]


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Import and collect without the garbage collector: all of it lives as long as the process."""
    with importing():
        return (yield)
