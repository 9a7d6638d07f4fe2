"""Checks: pure functions of recorded data that turn a history into findings and a verdict.

`CATALOGUE` lists every check that an experiment may name; a new one is a class in a file of its own
and a line here. What no experiment asks for is judged all the same: chaos.checks.assumptions
and chaos.checks.integrity.
"""

from __future__ import annotations

from chaos.checks.acknowledged_writes import AcknowledgedWrites
from chaos.checks.availability import Availability
from chaos.checks.base import Check
from chaos.checks.capacity_reached import CapacityReached
from chaos.checks.constant_sums import ConstantSums
from chaos.checks.interruption import Interruption
from chaos.checks.monotonic_reads import MonotonicReads
from chaos.checks.no_disconnects import NoDisconnects
from chaos.checks.poisoned_pool_check import PoisonedPool
from chaos.checks.read_your_writes import ReadYourWrites
from chaos.checks.restored import Restored
from chaos.checks.single_writer import SingleWriter
from chaos.checks.skew import ReaderSkew
from chaos.checks.staleness import Staleness
from chaos.checks.success_ratio import SuccessRatio

CATALOGUE: tuple[type[Check], ...] = (
    Interruption,
    AcknowledgedWrites,
    Restored,
    SuccessRatio,
    PoisonedPool,
    ReaderSkew,
    Availability,
    Staleness,
    MonotonicReads,
    ReadYourWrites,
    ConstantSums,
    SingleWriter,
    CapacityReached,
    NoDisconnects,
)

__all__ = ["CATALOGUE", "Check"]
