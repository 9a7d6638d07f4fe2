"""A whole test cluster in a process of its own, opened as the command line opens it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.cli.target import Target, opened
from chaos.testcluster.records import ClusterSpec


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One embedded cluster for the tests of a module: 1 writer, 2 readers, fast profile."""
    log: Path = tmp_path_factory.mktemp("embedded") / "cluster.log"
    with opened(None, ClusterSpec(), log, lambda _: None) as found:
        yield found
