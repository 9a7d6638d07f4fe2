"""`gameday cluster up`: what the options of names come to."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from chaos.cli import main
from chaos.cli.cluster import app
from chaos.errors import DefinitionError, ExitCode
from chaos.testcluster.process import lifecycle
from chaos.testcluster.process.asked import checked
from chaos.testcluster.process.server_config import ServerConfig
from chaos.testcluster.records import ClusterSpec, EndpointSpec


def gameday(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command and return its exit status."""
    monkeypatch.setattr("sys.argv", ["gameday", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[ClusterSpec]:
    """What would be started; nothing is."""
    specs: list[ClusterSpec] = []

    def up(spec: ClusterSpec) -> None:
        specs.append(spec)
        raise DefinitionError("the test starts nothing")

    monkeypatch.setattr(lifecycle, "up", up)
    return specs


def test_ttls_and_flip_reach_the_server(
    asked: list[ClusterSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [
        "--cluster-ttl",
        "9",
        "--reader-ttl",
        "0",
        "--instance-ttl",
        "60",
        "--dns-flip",
        "2.5",
    ]
    gameday(monkeypatch, "cluster", "up", *options)
    (spec,) = asked
    found = ServerConfig.from_json(ServerConfig(spec=spec).as_json()).spec
    ttls = (found.cluster_ttl_s, found.reader_ttl_s, found.instance_ttl_s)
    assert (*ttls, found.dns_flip_s) == (9, 0, 60, 2.5)


def test_absent_ones_are_the_profile_s(
    asked: list[ClusterSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    gameday(monkeypatch, "cluster", "up")
    (spec,) = asked
    assert (spec.cluster_ttl_s, spec.reader_ttl_s, spec.instance_ttl_s) == (None, None, None)
    assert spec.dns_flip_s is None


def test_what_it_begins_with_reaches_the_server(
    asked: list[ClusterSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--reader-tier", "0", "--reader-tier", "15", "--secondary-region", "us-east-1"]
    options += ["--custom-endpoint", "some:reader:2,3", "--custom-endpoint", "rest:ANY:-1"]
    options += ["--custom-endpoint", "all:any"]
    gameday(monkeypatch, "cluster", "up", *options)
    (spec,) = asked
    found = ServerConfig.from_json(json.loads(json.dumps(ServerConfig(spec=spec).as_json()))).spec
    assert found == spec
    assert (found.reader_tiers, found.secondary_region) == ((0, 15), "us-east-1")
    assert found.custom_endpoints == (
        EndpointSpec(id="some", kind="READER", static=(2, 3)),
        EndpointSpec(id="rest", kind="ANY", excluded=(1,)),
        EndpointSpec(id="all", kind="ANY"),
    )
    assert (found.first_class, found.multi_az_instance) == ("db.serverless", False)


def test_a_class_is_without_serverless_capacity(
    asked: list[ClusterSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    gameday(monkeypatch, "cluster", "up", "--instance-class", "db.r7g.large")
    gameday(monkeypatch, "cluster", "up", "--multi-az-instance")
    provisioned, instance = asked
    assert (provisioned.serverless, provisioned.first_class) == (None, "db.r7g.large")
    assert instance.multi_az_instance


@pytest.mark.parametrize("text", ["some", "some:writer", "some:any:0x2", "some:any:1,-2", "some:"])
def test_an_endpoint_that_is_written_wrong_is_refused(
    asked: list[ClusterSpec],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    assert gameday(monkeypatch, "cluster", "up", "--custom-endpoint", text) == ExitCode.USAGE
    assert asked == []
    assert f"--custom-endpoint {text}: write ID:any|reader" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"instance_class": "large"}, "'large' is not an instance class"),
        (
            {"instance_class": "db.serverless", "serverless": None},
            "needs a cluster with Serverless",
        ),
        ({"instance_class": "db.serverless", "multi_az_instance": True}, "needs a cluster with"),
        ({"reader_tiers": (1, 1, 1)}, "3 promotion tiers are given, for 2 readers"),
        ({"reader_tiers": (16,)}, "0 to 15, not 16"),
        ({"secondary_region": "there"}, "'there' is not an AWS Region"),
        ({"secondary_region": "eu-west-1"}, "in another Region than eu-west-1"),
        ({"multi_az_instance": True, "secondary_region": "us-east-1"}, "neither custom endpoints"),
        ({"multi_az_instance": True, "reader_tiers": (1,)}, "nor promotion tiers"),
        ({"secondary_region": "us-east-1", "id": "a" * 42}, "At most 41"),
        ({"custom_endpoints": (EndpointSpec(id="-"),)}, "'-' cannot be called so"),
        ({"custom_endpoints": (EndpointSpec(id="a", kind="WRITER"),)}, "READER or ANY"),
        (
            {"custom_endpoints": (EndpointSpec(id="a", static=(4,)),)},
            "instance 4; there are 1 to 3",
        ),
        ({"custom_endpoints": (EndpointSpec(id="a", static=(1,), excluded=(2,)),)}, "not both"),
        ({"custom_endpoints": (EndpointSpec(id="a"), EndpointSpec(id="A"))}, "of its own"),
        ({"custom_endpoints": tuple(EndpointSpec(id=f"a{n}") for n in range(6))}, "at most 5"),
    ],
)
def test_what_no_cluster_can_be_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        checked(ClusterSpec(**fields))


def test_identifiers_are_kept_as_the_service_keeps_them() -> None:
    spec = checked(ClusterSpec(id="Shop", custom_endpoints=(EndpointSpec(id="Some"),)))
    assert (spec.id, spec.custom_endpoints[0].id) == ("shop", "some")


@pytest.mark.parametrize("option", [("--reader-ttl", "-1"), ("--dns-flip", "-0.1")])
def test_times_before_now_are_refused(
    asked: list[ClusterSpec], monkeypatch: pytest.MonkeyPatch, option: Sequence[str]
) -> None:
    assert gameday(monkeypatch, "cluster", "up", *option) == ExitCode.USAGE
    assert asked == []


def test_the_page_tells_of_options_that_there_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "test-cluster.md").read_text(encoding="utf-8")
    _, _, section = page.partition("## What it can be from the start")
    section, _, _ = section.partition("\n## ")
    told = set(re.findall(r"`(--[a-z-]+)", section))
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    known = {option for parameter in group.commands["up"].params for option in parameter.opts}
    assert told <= known
    shape = {"--instance-class", "--reader-tier", "--custom-endpoint", "--secondary-region"}
    assert {*shape, "--multi-az-instance", "--min-acu", "--max-acu", "--readers"} <= told
