"""The test cluster's decisions that need no server: pacing, election, capacity, names, storage."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from chaos.errors import DefinitionError, HostError
from chaos.testcluster.aurora.core import Member, endpoint_hash
from chaos.testcluster.aurora.election import class_size, ranked
from chaos.testcluster.postgres.account import Account
from chaos.testcluster.postgres.configuration import NodeSettings
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.testcluster.postgres.storage import Storage, segment_suffix
from chaos.testcluster.profiles import AURORA, FAST, Delays, Pacer, profile_named
from chaos.testcluster.records import ApiError, InstanceSpec, ServerlessBounds
from chaos.testcluster.serverless.bounds import validate


def test_the_kth_failover_of_a_seed_is_the_same_whatever_else_happens() -> None:
    quiet, busy = Pacer(FAST, 7), Pacer(FAST, 7)
    for _ in range(5):
        busy.next("restart of a")
    assert [quiet.next("failover") for _ in range(3)] == [busy.next("failover") for _ in range(3)]
    assert quiet.delays("failover", 2) == busy.delays("failover", 2)
    assert Pacer(FAST, 8).next("failover") != Pacer(FAST, 7).next("failover")


@pytest.mark.parametrize("profile", [FAST, AURORA], ids=lambda p: p.name)
def test_every_delay_lies_in_its_range(profile: Any) -> None:
    pacer = Pacer(profile, 0)
    for number in range(1, 50):
        delays = pacer.delays("failover", number)
        for name in Delays.__slots__:
            low, high = getattr(profile, name)
            assert 0 <= low <= getattr(delays, name) <= high


def test_a_fast_outage_takes_one_to_two_and_a_half_seconds_until_the_name_follows() -> None:
    for edge in (0, 1):
        outage = FAST.shutdown[edge] + FAST.promote[edge] + FAST.dns_lag[edge]
        assert 1 <= outage <= 2.5


@pytest.mark.parametrize("profile", [FAST, AURORA], ids=lambda p: p.name)
def test_the_name_may_follow_after_the_old_writer_is_back(profile: Any) -> None:
    """That is when pools are poisoned: connections to a writer that has become a reader."""
    assert profile.rejoin.low_s < profile.dns_lag.high_s


def test_an_unknown_profile_says_which_there_are() -> None:
    with pytest.raises(DefinitionError, match="aurora, fast"):
        profile_named("slow")


def member(name: str, tier: int, instance_class: str = "db.serverless") -> Member:
    @dataclass
    class Paper:
        spec: InstanceSpec

        @property
        def id(self) -> str:
            return self.spec.id

    spec = InstanceSpec(id=name, promotion_tier=tier, instance_class=instance_class)
    return cast("Member", Paper(spec))


def test_election_is_by_tier_then_size_then_seeded_chance() -> None:
    members = [
        member("late", 5, "db.r6g.16xlarge"),
        member("small", 1, "db.r6g.large"),
        member("big", 1, "db.r6g.2xlarge"),
        member("b", 2),
        member("a", 2),
    ]
    order = [m.id for m in ranked(members, random.Random(3))]
    assert order[:2] == ["big", "small"]
    assert order[-1] == "late"
    assert [m.id for m in ranked(reversed(members), random.Random(3))] == order
    firsts = {ranked(members[3:], random.Random(seed))[0].id for seed in range(20)}
    assert firsts == {"a", "b"}


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("db.serverless", "db.t4g.medium"),
        ("db.t4g.medium", "db.r6g.large"),
        ("db.r6g.large", "db.r6g.xlarge"),
        ("db.r6g.xlarge", "db.x2g.2xlarge"),
        ("db.r5.4xlarge", "db.r5.12xlarge"),
    ],
)
def test_classes_compare_by_size(smaller: str, larger: str) -> None:
    assert class_size(smaller) < class_size(larger)


@pytest.mark.parametrize(
    ("low", "high", "complaint"),
    [
        (0.7, 4, "multiple of 0.5"),
        (-0.5, 4, "MinCapacity -0.5 is not between"),
        (1, 256.5, "MaxCapacity 256.5 is not between"),
        (0.5, 0.5, "MaxCapacity 0.5 is not between 1"),
        (8, 4, "greater than"),
    ],
)
def test_bounds_that_aws_refuses_are_refused(low: float, high: float, complaint: str) -> None:
    with pytest.raises(ApiError, match=complaint) as refused:
        validate(ServerlessBounds(min_acu=low, max_acu=high))
    assert refused.value.code == "InvalidParameterValue"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.5, 256), (4, 4)])
def test_bounds_that_aws_takes_are_taken(low: float, high: float) -> None:
    validate(ServerlessBounds(min_acu=low, max_acu=high))


def test_endpoint_hashes_are_like_rds_and_depend_on_block_and_cluster() -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]{11}", endpoint_hash(1, "a"))
    assert endpoint_hash(1, "a") == endpoint_hash(1, "a")
    assert len({endpoint_hash(n, name) for n in (1, 2) for name in ("a", "b")}) == 4


@pytest.mark.parametrize(
    ("lsn", "suffix"),
    [
        ("0/1", "0000000000000000"),
        ("0/400000", "0000000000000000"),  # the last byte before it
        ("0/400001", "0000000000000001"),
        ("0/FFFFFFFF", "00000000000003FF"),
        ("16/B374D848", "00000016000002CD"),
    ],
)
def test_segment_names_follow_postgresqls_arithmetic(lsn: str, suffix: str) -> None:
    assert segment_suffix(lsn) == suffix


def test_storage_moves_at_once_and_knows_what_it_holds(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "storage")
    for name, segment in [("old", "000000010000000000000004"), ("new", "000000020000000000000005")]:
        (tmp_path / name / "pg_wal").mkdir(parents=True)
        (tmp_path / name / "pg_wal" / segment).touch()
    storage.attach(tmp_path / "old")
    assert storage.continues("0/1000010")
    storage.attach(tmp_path / "new")
    assert not storage.continues("0/1000010"), "the segment is gone: a gap"
    assert storage.continues("0/1400008")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "old", "storage"]


class Reader(Account):
    """Answers every command with an error."""

    why: ClassVar[str] = ""

    def run(self, command: Sequence[str], **_: Any) -> str:
        raise HostError(f"{Path(command[0]).name} {self.why}")


@pytest.mark.parametrize("why", ["did not end within 10 s", "failed: out of memory"])
def test_a_history_that_cannot_be_read_has_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """Whoever took it for ended would promote a reader that lacks commits."""
    monkeypatch.setattr(Reader, "why", why)
    storage, binaries = Storage(tmp_path / "storage"), PostgresBinaries(tmp_path, "15.1")
    (tmp_path / "pg_wal").mkdir()
    storage.attach(tmp_path)
    for name, content in [("1" + "4".zfill(16), b"\x01"), ("3" + "5".zfill(16), b"\0\0")]:
        (tmp_path / "pg_wal" / name.zfill(24)).write_bytes(content)
    with pytest.raises(HostError, match=f"pg_waldump {why}"):
        storage.holds_more("0/1000010", binaries, Reader())
    assert not storage.holds_more("0/1400000", binaries, Reader()), "made in advance"
    assert not storage.holds_more("0/1800000", binaries, Reader()), "not there"


def test_configuration_quotes_what_it_is_given(tmp_path: Path) -> None:
    text = NodeSettings(
        identifier="it's",
        data=tmp_path / "a'b",
        hba=tmp_path / "hba",
        address="127.77.1.11",
        port=5432,
        upstream=None,
        stream_password="secret",
        storage=tmp_path / "s",
    ).render()
    assert "cluster_name = 'it''s'" in text
    assert "a''b'" in text
    assert "secret" not in text, "a writer has no upstream to log in to"
