"""The catalogue of faults: one line a fault."""

from __future__ import annotations

from chaos.faults.add_reader import AddReader
from chaos.faults.api_drop import ApiDrop
from chaos.faults.api_error import ApiError
from chaos.faults.api_slow import ApiSlow
from chaos.faults.api_stale import ApiStale
from chaos.faults.api_throttle import ApiThrottle
from chaos.faults.base import Fault
from chaos.faults.block_with_lock import BlockWithLock
from chaos.faults.change_custom_endpoint import ChangeCustomEndpoint
from chaos.faults.change_instance_class import ChangeInstanceClass
from chaos.faults.change_promotion_tier import ChangePromotionTier
from chaos.faults.crash_instance import CrashInstance
from chaos.faults.delete_all_readers import DeleteAllReaders
from chaos.faults.delete_reader import DeleteReader
from chaos.faults.delete_writer import DeleteWriter
from chaos.faults.disk_congestion import DiskCongestion
from chaos.faults.disk_failure import DiskFailure
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
from chaos.faults.exhaust_connections import ExhaustConnections
from chaos.faults.failover_cluster import FailoverCluster
from chaos.faults.failover_global import FailoverGlobal
from chaos.faults.force_scale_up import ForceScaleUp
from chaos.faults.full_disk import FullDisk
from chaos.faults.hang_instance import HangInstance
from chaos.faults.latency import Latency
from chaos.faults.long_transaction import LongTransaction
from chaos.faults.noop import Noop
from chaos.faults.packet_loss import PacketLoss
from chaos.faults.pause_and_resume import PauseAndResume
from chaos.faults.power_loss import PowerLoss
from chaos.faults.reader_endpoint_serves_writer import ReaderEndpointServesWriter
from chaos.faults.reboot_instance import RebootInstance
from chaos.faults.reboot_with_failover import RebootWithFailover
from chaos.faults.replica_lag import ReplicaLag
from chaos.faults.replication_lag import ReplicationLag
from chaos.faults.scale_capacity import ScaleCapacity
from chaos.faults.scale_storm import ScaleStorm
from chaos.faults.slow_storage import SlowStorage
from chaos.faults.stop_cluster import StopCluster
from chaos.faults.switchover_global import SwitchoverGlobal

CATALOGUE: tuple[type[Fault], ...] = (
    FailoverCluster,
    RebootWithFailover,
    RebootInstance,
    CrashInstance,
    SwitchoverGlobal,
    FailoverGlobal,
    DeleteReader,
    DeleteWriter,
    DeleteAllReaders,
    AddReader,
    StopCluster,
    ChangeInstanceClass,
    ChangePromotionTier,
    ChangeCustomEndpoint,
    ScaleCapacity,
    ScaleStorm,
    ForceScaleUp,
    PauseAndResume,
    ExhaustConnections,
    BlockWithLock,
    LongTransaction,
    ReplicaLag,
    DiskCongestion,
    DiskFailure,
    HangInstance,
    PowerLoss,
    PacketLoss,
    Latency,
    SlowStorage,
    FullDisk,
    ReplicationLag,
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
    ApiError,
    ApiSlow,
    ApiDrop,
    ApiStale,
    Noop,
)
