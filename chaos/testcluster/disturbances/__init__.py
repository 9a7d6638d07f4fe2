"""What only a test cluster can suffer, each a `Disturbance`; `DISTURBANCES` lists them by kind."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.testcluster.disturbances.api import (
    ApiDrop,
    ApiErrors,
    ApiSlow,
    ApiStale,
    ApiThrottle,
)
from chaos.testcluster.disturbances.base import Disturbance
from chaos.testcluster.disturbances.commands import (
    CapacityStuck,
    DeletionsLinger,
    IgnoreCapacity,
    IgnoreFailover,
    NeverReturns,
)
from chaos.testcluster.disturbances.defects import DEFECTS
from chaos.testcluster.disturbances.dns import (
    DnsDrop,
    DnsEmpty,
    DnsFlap,
    DnsFlipDelay,
    DnsNxdomain,
    DnsServfail,
    DnsSlow,
    DnsStale,
    DnsTruncate,
    DnsTtl,
    ReaderEndpointServesWriter,
)
from chaos.testcluster.disturbances.network import Latency, PacketLoss
from chaos.testcluster.disturbances.node import Crash, Hang, PowerLoss
from chaos.testcluster.disturbances.planned import BlueGreenDeployment, PendingMaintenance
from chaos.testcluster.disturbances.storage import (
    DiskCongestion,
    DiskFailure,
    FullDisk,
    ReplicaFailure,
    ReplicationLag,
    SlowStorage,
)

_ALL: tuple[type[Disturbance], ...] = (
    Crash,
    Hang,
    PowerLoss,
    PacketLoss,
    Latency,
    ReplicationLag,
    ReplicaFailure,
    SlowStorage,
    DiskFailure,
    DiskCongestion,
    FullDisk,
    DnsStale,
    DnsFlap,
    DnsFlipDelay,
    DnsTtl,
    DnsEmpty,
    DnsNxdomain,
    DnsServfail,
    DnsSlow,
    DnsDrop,
    DnsTruncate,
    ReaderEndpointServesWriter,
    ApiThrottle,
    ApiErrors,
    ApiSlow,
    ApiDrop,
    ApiStale,
    IgnoreFailover,
    IgnoreCapacity,
    CapacityStuck,
    NeverReturns,
    DeletionsLinger,
    PendingMaintenance,
    BlueGreenDeployment,
    *DEFECTS,
)

DISTURBANCES: Mapping[str, type[Disturbance]] = {
    cls.model_fields["kind"].default: cls for cls in _ALL
}
