"""The catalogue of faults: one line a fault."""

from __future__ import annotations

from chaos.faults.base import Fault
from chaos.faults.delete_reader import DeleteReader
from chaos.faults.failover_cluster import FailoverCluster
from chaos.faults.noop import Noop
from chaos.faults.reboot_instance import RebootInstance
from chaos.faults.scale_capacity import ScaleCapacity

CATALOGUE: tuple[type[Fault], ...] = (
    FailoverCluster,
    RebootInstance,
    DeleteReader,
    ScaleCapacity,
    Noop,
)
