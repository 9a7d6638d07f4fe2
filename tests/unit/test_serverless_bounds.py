"""Serverless v2 bounds and the settings that a capacity means: AWS's rules and AWS's examples."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.testcluster.records import ApiError, ServerlessBounds
from chaos.testcluster.serverless.bounds import as_shown, can_pause, completed, validate
from chaos.testcluster.serverless.settings import (
    class_acu,
    engine_settings,
    modelled_shared_buffers,
)

HALVES = st.integers(0, 512).map(lambda halves: halves / 2)


def bounds(low: float, high: float, pause_after_s: int | None = None) -> ServerlessBounds:
    return ServerlessBounds(min_acu=low, max_acu=high, pause_after_s=pause_after_s)


@pytest.mark.parametrize(
    ("asked", "code", "complaint"),
    [
        (bounds(0, 4, 299), "InvalidParameterValue", "299 is not between 300 and 86400"),
        (bounds(0, 4, 86_401), "InvalidParameterValue", "86401 is not between"),
        (bounds(0.5, 4, 600), "InvalidParameterCombination", "only if MinCapacity is 0"),
    ],
)
def test_idle_times_that_aws_refuses_are_refused(
    asked: ServerlessBounds, code: str, complaint: str
) -> None:
    with pytest.raises(ApiError, match=complaint) as refused:
        validate(asked)
    assert refused.value.code == code


def test_idle_times_that_aws_takes_are_taken() -> None:
    for after_s in (None, 300, 86_400):
        validate(bounds(0, 1, after_s))


@pytest.mark.parametrize(
    ("before", "scaling", "after"),
    [
        (bounds(1, 8), {"MinCapacity": 2}, bounds(2, 8)),
        (bounds(1, 8), {"MaxCapacity": 2.5}, bounds(1, 2.5)),
        (bounds(1, 8), {"MinCapacity": 0}, bounds(0, 8)),
        (bounds(0, 8, 600), {"MaxCapacity": 16}, bounds(0, 16, 600)),
        (bounds(0, 8, 600), {"SecondsUntilAutoPause": 900}, bounds(0, 8, 900)),
        (bounds(0, 8, 600), {"MinCapacity": 2}, bounds(2, 8)),
        (None, {"MinCapacity": 0, "MaxCapacity": 2}, bounds(0, 2)),
    ],
)
def test_what_a_change_does_not_name_stays(
    before: ServerlessBounds | None, scaling: dict[str, Any], after: ServerlessBounds
) -> None:
    assert completed(before, scaling, "c") == after


def test_the_first_bounds_must_be_whole() -> None:
    with pytest.raises(ApiError, match="set both MinCapacity and MaxCapacity"):
        completed(None, {"MinCapacity": 1}, "c")


def test_the_idle_time_is_shown_only_with_a_minimum_of_0() -> None:
    assert as_shown(bounds(0, 4)) == {
        "MinCapacity": 0,
        "MaxCapacity": 4,
        "SecondsUntilAutoPause": 300,
    }
    assert as_shown(bounds(0.5, 4)) == {"MinCapacity": 0.5, "MaxCapacity": 4}
    assert as_shown(None) is None


@pytest.mark.parametrize(
    ("version", "pauses"),
    [
        ("15.6", False),
        ("15.7", True),
        ("16.2", False),
        ("17.0", True),
        ("14.12", True),
        ("12", False),
    ],
)
def test_pausing_depends_on_the_engine_version(version: str, pauses: object) -> None:
    assert can_pause(version) is pauses


@pytest.mark.parametrize(
    ("low", "high", "connections"),
    [
        # The user guide's table ...
        (1, 1, 189),
        (1, 4, 823),
        (1, 8, 1669),
        (1, 16, 3360),
        (1, 32, 5000),
        (1, 256, 5000),
        # ... and its examples: a small minimum caps it.
        (0.5, 128, 2000),
        (0, 128, 2000),
        (0.5, 1, 189),
    ],
)
def test_max_connections_follow_the_maximum_as_aws_documents(
    low: float, high: float, connections: int
) -> None:
    settings = engine_settings(bounds(low, high), "db.serverless")
    assert settings["max_connections"] == str(connections)


def test_a_provisioned_class_has_the_settings_of_its_memory() -> None:
    assert class_acu("db.r6g.large") == 8
    assert class_acu("db.r6g.2xlarge") == 32
    assert class_acu("db.t4g.medium") == 2
    assert class_acu("db.x2g.large") == 16
    assert class_acu("db.serverless") is None
    assert engine_settings(None, "db.r6g.large") == engine_settings(bounds(1, 8), "db.serverless")
    assert engine_settings(None, "db.unheard-of.large") == {}


@given(low=HALVES, high=HALVES)
def test_more_capacity_never_means_smaller_settings(low: float, high: float) -> None:
    small, large = sorted((max(low, 1.0), max(high, 1.0)))
    below, above = (
        {
            n: int(v.removesuffix("kB"))
            for n, v in engine_settings(bounds(1, m), "db.serverless").items()
        }
        for m in (small, large)
    )
    assert below.keys() == above.keys()
    assert all(below[name] <= above[name] for name in below)


@pytest.mark.parametrize(
    ("acu", "pages"), [(0.5, 16_384), (2, 16_384), (8, 1_425_408), (12.5, 2_211_840)]
)
def test_the_modelled_shared_buffers_meet_awss_examples(acu: float, pages: int) -> None:
    assert modelled_shared_buffers(acu) == pages
