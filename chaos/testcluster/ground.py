"""What all clusters of one server process stand on: programs, addresses, a folder, the event log."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from chaos.testcluster.events import EventLog
from chaos.testcluster.machine.power import Power
from chaos.testcluster.parameters.parameter_groups import ParameterGroups
from chaos.testcluster.planned import Planned
from chaos.testcluster.postgres.account import Account
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.testcluster.postgres.template import Template
from chaos.testcluster.process.addresses import AddressBlock, InstanceAddresses
from chaos.testcluster.security.admission import Security


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Shared by every cluster of a server; the block and the folder stay their owner's to close."""

    binaries: PostgresBinaries
    account: Account
    template: Template
    block: AddressBlock
    addresses: InstanceAddresses
    directory: Path
    events: EventLog
    parameter_groups: ParameterGroups = field(default_factory=ParameterGroups)
    planned: Planned = field(default_factory=Planned)
    power: Power = field(default_factory=Power)
    security: Security
