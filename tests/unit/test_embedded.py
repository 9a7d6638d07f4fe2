"""The embedded cluster that an experiment asks for: told strictly, and started as asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from chaos.cli.embedded import specification
from chaos.definition.embedded import EmbeddedCluster
from chaos.testcluster.process.asked import checked
from chaos.testcluster.records import ClusterSpec, EndpointSpec, ServerlessBounds

USUAL = ClusterSpec(profile="aurora", seed=7)


def spec_of(**fields: Any) -> ClusterSpec:
    return specification(EmbeddedCluster(**fields), profile="aurora", seed=7)


def test_an_experiment_that_asks_for_nothing_gets_the_usual_cluster() -> None:
    assert specification(None, profile="aurora", seed=7) == USUAL
    assert spec_of() == USUAL


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"readers": 3, "reader_tiers": (0, 15)}, {"readers": 3, "reader_tiers": (0, 15)}),
        ({"min_acu": 2}, {"serverless": ServerlessBounds(min_acu=2, max_acu=8)}),
        ({"max_acu": 1}, {"serverless": ServerlessBounds(min_acu=0.5, max_acu=1)}),
        (
            {"min_acu": 0, "pause_after_s": 300},
            {"serverless": ServerlessBounds(min_acu=0, max_acu=8, pause_after_s=300)},
        ),
        (
            {"instance_class": "db.r6g.xlarge"},
            {"serverless": None, "instance_class": "db.r6g.xlarge"},
        ),
        (
            {"multi_az_instance": True},
            {"serverless": None, "multi_az_instance": True, "readers": 0},
        ),
        (
            {"custom_endpoints": ({"id": "batch", "kind": "reader", "static_members": (2,)},)},
            {"custom_endpoints": (EndpointSpec(id="batch", kind="READER", static=(2,)),)},
        ),
        ({"secondary_region": "us-east-1"}, {"secondary_region": "us-east-1"}),
        ({"read_availability": False}, {"read_availability": False}),
        ({"cluster_ttl_s": 60, "dns_flip_s": 0.5}, {"cluster_ttl_s": 60, "dns_flip_s": 0.5}),
    ],
    ids="-".join,
)
def test_what_is_asked_for_is_what_the_test_cluster_can_be(
    fields: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert checked(spec_of(**fields)) == replace(USUAL, **changes)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"readers": 16}, "less than or equal to 15"),
        ({"readers": 1, "reader_tiers": (1, 2)}, "2 reader_tiers for 1 readers"),
        ({"reader_tiers": (16,)}, "less than or equal to 15"),
        ({"min_acu": 0.7}, "multiple of 0.5"),
        ({"min_acu": 4, "max_acu": 2}, "min_acu 4 is above max_acu 2"),
        ({"pause_after_s": 300}, "needs min_acu: 0"),
        ({"instance_class": "db.r6g.large", "max_acu": 2}, "db.serverless alone"),
        ({"instance_class": "large"}, "should match pattern"),
        ({"multi_az_instance": True, "readers": 1}, "in no cluster"),
        ({"custom_endpoints": ({"id": "a", "static_members": (4,)},)}, "there are 1 to 3"),
        ({"custom_endpoints": ({"id": "a"}, {"id": "a"})}, "have one id"),
        (
            {"custom_endpoints": ({"id": "a", "static_members": (1,), "excluded_members": (2,)},)},
            "not both",
        ),
        ({"secondary_region": "Frankfurt"}, "should match pattern"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_no_cluster_can_be_is_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        EmbeddedCluster.model_validate(fields)
