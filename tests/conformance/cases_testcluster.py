"""Cases of what only a test cluster has a call for."""

from __future__ import annotations

from conformance.case import BRIEF, Case, Cases

from chaos.faults.api_drop import ApiDrop
from chaos.faults.api_error import ApiError
from chaos.faults.api_slow import ApiSlow
from chaos.faults.api_stale import ApiStale
from chaos.faults.api_throttle import ApiThrottle
from chaos.faults.dns_drop import DnsDrop
from chaos.faults.dns_empty import DnsEmpty
from chaos.faults.dns_flap import DnsFlap
from chaos.faults.dns_flip_delay import DnsFlipDelay
from chaos.faults.dns_nxdomain import DnsNxdomain
from chaos.faults.dns_servfail import DnsServfail
from chaos.faults.dns_slow import DnsSlow
from chaos.faults.dns_stale import DnsStale
from chaos.faults.dns_truncate import DnsTruncate
from chaos.faults.dns_ttl import DnsTtl
from chaos.faults.failover_cluster import FailoverCluster
from chaos.faults.full_disk import FullDisk
from chaos.faults.hang_instance import HangInstance
from chaos.faults.latency import Latency
from chaos.faults.packet_loss import PacketLoss
from chaos.faults.power_loss import PowerLoss
from chaos.faults.reader_endpoint_serves_writer import ReaderEndpointServesWriter
from chaos.faults.reboot_instance import RebootInstance
from chaos.faults.replication_lag import ReplicationLag
from chaos.faults.slow_storage import SlowStorage


def failover(_: object) -> FailoverCluster:
    return FailoverCluster(**BRIEF)


CASES: Cases = {
    "hang-instance": {
        "a reader": Case(lambda _: HangInstance(target="any reader", **BRIEF)),
    },
    "power-loss": {
        "a reader": Case(lambda _: PowerLoss(target="any reader", **BRIEF), needs="filters"),
        "a zone": Case(
            lambda now: PowerLoss(zone=now.readers[-1].availability_zone, **BRIEF),
            needs="filters",
        ),
    },
    "packet-loss": {
        "some": Case(
            lambda _: PacketLoss(target="any reader", percent=20, **BRIEF), needs="filters"
        ),
        "all": Case(
            lambda _: PacketLoss(target="any reader", percent=100, **BRIEF), needs="filters"
        ),
    },
    "latency": {"of the writer": Case(lambda _: Latency(delay_ms=400, jitter_ms=100, **BRIEF))},
    "slow-storage": {
        "commits": Case(lambda _: SlowStorage(commit_ms=100, **BRIEF)),
        "statements": Case(
            lambda _: SlowStorage(
                target="any reader", statement_ms_min=300, statement_ms_max=400, **BRIEF
            )
        ),
    },
    "full-disk": {
        "of a reader": Case(lambda _: FullDisk(target="any reader", **BRIEF), needs="mounts")
    },
    "replication-lag": {"of a reader": Case(lambda _: ReplicationLag(lag_s=1.5, **BRIEF))},
    "dns-empty": {"every name": Case(lambda _: DnsEmpty(**BRIEF))},
    "dns-nxdomain": {
        "some queries": Case(lambda _: DnsNxdomain(endpoint="reader", probability=0.5, **BRIEF))
    },
    "dns-servfail": {"the cluster": Case(lambda _: DnsServfail(endpoint="cluster", **BRIEF))},
    "dns-slow": {"the cluster": Case(lambda _: DnsSlow(endpoint="cluster", delay_s=0.5, **BRIEF))},
    "dns-drop": {
        "an instance": Case(lambda now: DnsDrop(endpoint=now.readers[0].id, **BRIEF)),
    },
    "dns-truncate": {
        "a whole name": Case(lambda now: DnsTruncate(endpoint=now.cluster_endpoint, **BRIEF))
    },
    "dns-ttl": {"every name": Case(lambda _: DnsTtl(ttl_s=300, **BRIEF))},
    "dns-stale": {
        "in a failover": Case(
            lambda _: DnsStale(endpoint="cluster", **BRIEF), within=failover, moves_writer=True
        )
    },
    "dns-flap": {
        "after a failover": Case(
            lambda _: DnsFlap(period_s=3, times=2, **BRIEF), within=failover, moves_writer=True
        )
    },
    "dns-flip-delay": {
        "in a failover": Case(
            lambda _: DnsFlipDelay(delay_s=20, **BRIEF), within=failover, moves_writer=True
        )
    },
    "reader-endpoint-serves-writer": {
        "beside the readers": Case(lambda _: ReaderEndpointServesWriter(**BRIEF)),
        "only": Case(lambda _: ReaderEndpointServesWriter(only=True, **BRIEF)),
    },
    "api-throttle": {
        "over a rate": Case(lambda _: ApiThrottle(rate_per_s=2, **BRIEF)),
        "a share": Case(lambda _: ApiThrottle(probability=0.5, **BRIEF)),
    },
    "api-error": {"all": Case(lambda _: ApiError(**BRIEF))},
    "api-slow": {
        "one operation": Case(
            lambda _: ApiSlow(delay_s=0.5, operations=("DescribeDBClusters",), **BRIEF)
        )
    },
    "api-drop": {
        "closed": Case(lambda _: ApiDrop(**BRIEF)),
        "silent": Case(lambda _: ApiDrop(silent=True, operations=("DescribeDBI*",), **BRIEF)),
    },
    "api-stale": {
        "a restart": Case(
            lambda _: ApiStale(behind_s=20, **BRIEF),
            within=lambda _: RebootInstance(target="any reader", **BRIEF),
            # What the API tells 20 s late, it tells for as long as the restart took: not to be missed.
            defect={"kind": "slow-recovery", "extra_s": 5},
        )
    },
}
