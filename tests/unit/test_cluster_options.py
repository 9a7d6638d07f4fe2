"""`gameday cluster up`: what the options of names come to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chaos.cli import main
from chaos.errors import DefinitionError, ExitCode
from chaos.testcluster.process import lifecycle
from chaos.testcluster.process.server_config import ServerConfig
from chaos.testcluster.records import ClusterSpec


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


@pytest.mark.parametrize("option", [("--reader-ttl", "-1"), ("--dns-flip", "-0.1")])
def test_times_before_now_are_refused(
    asked: list[ClusterSpec], monkeypatch: pytest.MonkeyPatch, option: Sequence[str]
) -> None:
    assert gameday(monkeypatch, "cluster", "up", *option) == ExitCode.USAGE
    assert asked == []
