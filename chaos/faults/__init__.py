"""The catalogue of faults: one line a fault."""

from __future__ import annotations

from chaos.faults.add_reader import AddReader
from chaos.faults.base import Fault
from chaos.faults.change_custom_endpoint import ChangeCustomEndpoint
from chaos.faults.change_instance_class import ChangeInstanceClass
from chaos.faults.change_promotion_tier import ChangePromotionTier
from chaos.faults.crash_instance import CrashInstance
from chaos.faults.delete_all_readers import DeleteAllReaders
from chaos.faults.delete_reader import DeleteReader
from chaos.faults.delete_writer import DeleteWriter
from chaos.faults.failover_cluster import FailoverCluster
from chaos.faults.failover_global import FailoverGlobal
from chaos.faults.force_scale_up import ForceScaleUp
from chaos.faults.noop import Noop
from chaos.faults.pause_and_resume import PauseAndResume
from chaos.faults.reboot_instance import RebootInstance
from chaos.faults.reboot_with_failover import RebootWithFailover
from chaos.faults.scale_capacity import ScaleCapacity
from chaos.faults.scale_storm import ScaleStorm
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
    Noop,
)
