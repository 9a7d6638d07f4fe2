"""The report draws where connections sat, and tells of poisoned pools, stale names and readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from connection_builder import NEW, OLD, READ_ONLY, THIRD, Pool, failover
from fix_history import FAILOVER_EXPERIMENT, RunBuilder
from fix_report import write_verdict

from chaos.model.operation import Kind, Role
from reports import html
from reports.connections import Section, section
from reports.drawing import Axis, Lane
from reports.population import Populations
from reports.read import Report, load
from reports.words import MISSING, uncertainty

UNTIL_S = 20.0


def poisoned_run(folder: Path) -> RunBuilder:
    """Describe a failover at 10 s after which one of three connections stays on the old writer."""
    run = RunBuilder(folder, experiment=FAILOVER_EXPERIMENT)
    failover(run, 10.0, until_s=UNTIL_S)
    run.observe(0.2, "dns", "cluster", OLD, addresses=["127.0.0.1"])
    run.observe(11.5, "dns", "cluster", NEW, addresses=["127.0.0.2"])
    run.observe(0.2, "resolved", "resilient cluster", "127.0.0.1")
    run.observe(13.0, "resolved", "resilient cluster", "127.0.0.2", width_s=0.5)
    pool, readers = Pool(run, "resilient"), Pool(run, "resilient", endpoint="reader")
    pool.connect(OLD, 1.0, closed_s=10.1)
    pool.connect(OLD, 1.0)
    stuck = pool.connect(OLD, 12.4, role=Role.READER)
    well = pool.connect(NEW, 13.1, role=Role.WRITER)
    pool.fail(11.0)
    readers.connect(THIRD, 1.0, pid=50)
    for turn in range(60):
        pool.use(OLD, stuck, 12.5 + turn / 10, error=READ_ONLY)
        pool.use(NEW, well, 13.2 + turn / 10)
        readers.use(THIRD, 50, 2.0 + turn / 10, kind=Kind.READ)
    return run


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The judged run."""
    folder = tmp_path_factory.mktemp("connections") / "20260101T000000Z-poisoned"
    return load(write_verdict(poisoned_run(folder).write()))


@pytest.fixture(scope="module")
def told(report: Report) -> Section:
    """Its section."""
    return section(report)


def lanes(report: Report) -> dict[str, Lane]:
    populations = Populations(report, Axis(report), ())
    return {lane.key: lane for lane in populations.group().lanes}


def test_a_poisoned_pool_stands_with_its_instants_and_the_remedy(told: Section) -> None:
    (pool,) = [one for one in told.pools if one.arm == "resilient"]
    assert (pool.pinned, pool.share, pool.left, pool.to) == ("1", "50%", "1", "the end")
    assert pool.alarm
    assert pool.from_ == "+2.390 s"
    assert pool.refused == "60, 60 for good"
    assert [arms for arms, _ in told.remedies] == ["resilient"]


def test_both_witnesses_and_the_landings_are_told(told: Section) -> None:
    (switch,) = told.switches
    assert switch.title == "From instance-1 to instance-2"
    probes, arm = switch.rows
    assert (probes.witness, probes.right, probes.landed) == ("probes", "+1.500 s", MISSING)
    assert (arm.right, arm.stale, arm.right_uncertainty) == (
        "+3.000 s",
        "+3.000 s",
        uncertainty(0.5),
    )
    assert (arm.landed, arm.first, arm.left) == ("1", "+2.400 s", "1")


def test_connections_and_readers_are_told_by_instance(told: Section) -> None:
    old, new, reader, failed = told.seats
    assert (old.instance, old.opened, old.left, old.refused) == ("instance-1", "3", "2", "60")
    assert (old.roles, new.roles) == ("2 unknown, 1 reader → reader", "writer → writer")
    assert (new.served, reader.endpoint, failed.opened) == ("60", "reader", "1 never opened")
    assert any("reads before" in doubt for doubt in told.doubts)


def test_lanes_show_how_many_sat_where(report: Report) -> None:
    """Two before, one of which broke unnoticed; from 12.4 s one on the demoted writer."""
    populations = Populations(report, Axis(report), ())
    edges = np.asarray(populations.hover["connections"])
    shown = lanes(report)["connections-resilient-cluster"]
    populations.group()
    series = populations.hover["connections-resilient-cluster"]

    def at(name: str, at_s: float) -> float:
        column = int(np.searchsorted(edges, at_s * 1000, side="right")) - 1
        return float(series[name][column])

    zero_s = Axis(report).start_s
    assert at("on the writer", 5 - zero_s) == 2
    assert at("on an instance that did not answer", 11 - zero_s) == 1
    assert at("broken, unnoticed", 15 - zero_s) == 1
    assert at("on a reader, which refuses writes", 15 - zero_s) == 1
    assert at("on the writer", 15 - zero_s) == 1
    assert [layer.style for layer in shown.layers][-1] == "seat-astray"
    assert shown.labels[0].text == "3"


def test_what_an_arm_resolved_is_a_lane_of_instances(report: Report) -> None:
    lane = lanes(report)["resolved-resilient"]
    assert [box.text for box in lane.boxes if box.style != "changing"][-2:] == [
        "instance-1",
        "instance-2",
    ]


def test_the_page_has_the_section_and_the_lanes(report: Report) -> None:
    text = html.page(report)
    assert "Where connections really were" in text
    assert 'data-key="connections-resilient-cluster"' in text
    assert "no health check notices" in text


def test_a_run_without_a_connection_log_says_so(failover_folder: Path) -> None:
    assert not section(load(failover_folder)).seats
    assert "or no connection was recorded" in html.page(load(failover_folder))
