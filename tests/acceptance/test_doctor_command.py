"""`gameday doctor` on a running test cluster, and on what a service connects with."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import Gameday
from inside import inside

pytestmark = [pytest.mark.spread, pytest.mark.seconds(15)]


@pytest.fixture
def sick(gameday: Gameday) -> Iterator[str]:
    """A cluster with one reader that would be promoted and is small, and names that live long."""
    up = inside(
        gameday, "cluster", "up", "--identifier", "sick", "--readers", "1", "--reader-tier", "5",
        "--cluster-ttl", "60", "--quiet",
    )  # fmt: skip
    assert up.returncode == 0, up.stderr
    yield "sick"
    inside(gameday, "cluster", "down", "sick", "--quiet")


def test_the_doctor_finds_what_is_wrong_with_cluster_and_client(
    gameday: Gameday, sick: str
) -> None:
    status = json.loads(inside(gameday, "cluster", "status", sick, "--json").stdout)
    instance = status["instances"][0]["endpoint"]
    examined = inside(
        gameday,
        "doctor",
        "--cluster",
        sick,
        "--dsn",
        f"postgresql+psycopg://app:hush@{instance}/shop",
        "--json",
    )
    assert examined.returncode == 1, examined.stderr
    told = json.loads(examined.stdout)
    assert not told["healthy"]
    problems = {f["rule"] for f in told["findings"] if f["level"] == "problem"}
    assert {"sizes", "names", "endpoint", "demoted-writer", "connect-timeout"} <= problems
    assert {f["rule"] for f in told["findings"] if f["level"] == "advice"} >= {"readers", "cache"}
    assert all(f["fix"] for f in told["findings"] if f["level"] != "ok")
    assert "hush" not in examined.stdout + examined.stderr

    shown = inside(gameday, "doctor", "--cluster", sick, "--arm", "resilient")
    assert "--promotion-tier 1" in shown.stdout
