"""Which lag is published of whom: Aurora's readers, another Region's cluster, a read replica."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.testcluster.metrics.answers import Answer
from chaos.testcluster.metrics.lag import Lags, WriterTrack
from chaos.testcluster.metrics.subjects import Subject


def subject(address: str, **fields: Any) -> Subject:
    shown: dict[str, Any] = {
        "region": "eu-west-1",
        "cluster": "c",
        "instance": address,
        "engine": "aurora-postgresql",
        "instance_class": "db.serverless",
        "pid": 1,
        "place": None,
        "is_paused": False,
        "is_stopped": False,
        "is_writer": False,
        "follows": None,
        "is_abroad": False,
        "capacity_acu": None,
        "max_acu": None,
        "cores": None,
    }
    return Subject(address=address, **(shown | fields))


def answer(at_s: float, lsn: int) -> Answer:
    return Answer(at_s, lsn, *(0.0,) * 8)


WRITER = subject("w", is_writer=True)
NEAR = subject("near", follows="w")
SLOW = subject("slow", follows="w")
FAR = subject("far", cluster="other", region="us-east-1", follows="w", is_abroad=True)
COPY = subject("copy", cluster=None, engine="postgres", follows="w")
EVERYBODY = [WRITER, NEAR, SLOW, FAR, COPY]


def test_each_kind_of_reader_publishes_its_own_metric() -> None:
    lags = Lags()
    lags.samples(EVERYBODY, {"w": answer(10.0, 1000)})
    behind = answer(11.0, 1000)
    answers = {"w": answer(11.0, 2000), "near": answer(11.0, 2000)}
    found = lags.samples(EVERYBODY, answers | {"slow": behind, "far": behind, "copy": behind})
    assert found == {
        "near": {"AuroraReplicaLag": 0.0},
        "slow": {"AuroraReplicaLag": 1000.0},
        "far": {"AuroraGlobalDBReplicationLag": 1000.0},
        "copy": {"ReplicaLag": 1.0},
        "w": {
            "AuroraReplicaLagMaximum": 1000.0,
            "AuroraReplicaLagMinimum": 0.0,
        },
    }


def test_nothing_is_told_of_lag_while_the_writer_does_not_answer() -> None:
    lags = Lags()
    everybody = {"w": answer(10.0, 1000), "near": answer(10.0, 1000)}
    assert lags.samples(EVERYBODY, everybody) != {}
    assert lags.samples(EVERYBODY, {"near": answer(11.0, 1000)}) == {}


def test_a_reader_that_does_not_answer_publishes_nothing() -> None:
    assert Lags().samples(EVERYBODY, {"w": answer(10.0, 1000)}) == {}


def test_a_reader_lags_by_the_age_of_what_it_has_replayed() -> None:
    track = WriterTrack()
    for at, lsn in ((10.0, 1000), (11.0, 2000), (12.0, 2000), (13.0, 4000)):
        track.note(at, lsn)
    assert track.lag_s(13.0, 4000) == 0
    assert track.lag_s(13.0, 9999) == 0, "a reader that was asked a moment later"
    assert track.lag_s(13.0, 3000) == pytest.approx(0.5), "evenly written between 12 and 13 s"
    assert track.lag_s(13.0, 2000) == pytest.approx(1.0), "what it lacks was written from 12 s on"
    assert track.lag_s(13.0, 1500) == pytest.approx(2.5)
    assert track.lag_s(13.0, 10) == pytest.approx(3.0), "as far back as is remembered"


def test_without_a_writer_nothing_is_known_of_lag() -> None:
    assert WriterTrack().lag_s(5.0, 100) == 0
