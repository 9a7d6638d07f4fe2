"""What guards see before a run: the cluster, what is meant to be done, what is permitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from chaos.model.topology import Topology
from chaos.safety.calls import Call
from chaos.safety.estimate import Estimate
from chaos.safety.lease import Lease
from chaos.safety.limits import Limits, SafetyFile
from chaos.safety.ports import Account, Database, Rds
from chaos.safety.undo.base import UndoRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What one fault of the method would do if it were injected now.

    `step` says where in the method it is, as `2` or `2.1`; `times` how often it is injected.
    `refusal` tells why it cannot be; what it would call and undo is not known then.
    """

    step: str
    fault: str
    times: int = 1
    targets: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    undo: tuple[UndoRecord, ...] = ()
    refusal: str | None = None
    removed: frozenset[str] = field(default_factory=frozenset)
    """Instances that are gone while it is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Everything that guards decide by; what is asked of a port may fail, which refuses.

    `now` is UTC. `dead_runs` are the runs that died on this machine with something of this cluster
    not undone: the name of each, and why its journal cannot be read or "". `own` is the lease that
    this run holds already, None before it does.
    """

    topology: Topology
    kind: str  # test | aws
    aims: tuple[Aim, ...]
    estimate: Estimate
    limits: Limits
    safety: SafetyFile
    now: datetime
    rds: Rds
    account: Account
    database: Database
    at_once: str | None = None
    """Why two faults that may be under way at once must not be."""
    dead_runs: Mapping[str, str] = field(default_factory=dict)

    @property
    def account_id(self) -> str:
        """The account that the cluster is in, by its ARN."""
        return (self.topology.arn.split(":") + [""] * 5)[4]

    @property
    def lease(self) -> Lease | None:
        """The lease on the cluster, whoever holds it."""
        return Lease.on(self.topology)
