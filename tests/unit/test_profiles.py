"""What a cluster's own settings and a disturbance change about the pace of its profile."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from chaos.testcluster.profiles import AURORA, FAST, Pacer, Range, profile_of
from chaos.testcluster.records import ClusterSpec


def test_without_settings_a_cluster_has_its_profile() -> None:
    assert profile_of(ClusterSpec(profile="aurora")) is not FAST
    assert profile_of(ClusterSpec(profile="aurora")) == AURORA


@pytest.mark.parametrize("name", ["cluster_ttl_s", "reader_ttl_s", "instance_ttl_s"])
def test_each_ttl_is_set_by_itself_also_to_0(name: str) -> None:
    profile = profile_of(ClusterSpec(**{name: 0}))
    assert asdict(profile) == asdict(FAST) | {name: 0}


def test_the_flip_is_set_to_one_time() -> None:
    profile = profile_of(ClusterSpec(dns_flip_s=12.5))
    assert profile.dns_lag == Range(12.5, 12.5)
    assert Pacer(profile, 1).next("failover").dns_lag == 12.5


def test_a_fixed_delay_holds_for_what_begins_meanwhile_and_changes_no_other() -> None:
    pacer, free = Pacer(FAST, 7), Pacer(FAST, 7)
    end = pacer.fix("dns_lag", 30)
    fixed = asdict(pacer.next("failover"))
    assert fixed == asdict(free.next("failover")) | {"dns_lag": 30}
    end()
    end()
    assert pacer.next("failover") == free.next("failover")


def test_of_two_fixed_delays_the_later_counts_whichever_ends_first() -> None:
    pacer = Pacer(FAST, 7)
    first, second = pacer.fix("dns_lag", 30), pacer.fix("dns_lag", 60)
    assert pacer.next("failover").dns_lag == 60
    second()
    assert pacer.next("failover").dns_lag == 30
    third = pacer.fix("dns_lag", 90)
    first()
    assert pacer.next("failover").dns_lag == 90
    third()
    low, high = FAST.dns_lag
    assert low <= pacer.next("failover").dns_lag <= high
