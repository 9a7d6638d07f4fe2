"""What all clusters of one server process stand on: programs, addresses, a folder, the event log."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from chaos.testcluster.account import Account
from chaos.testcluster.addresses import AddressBlock, InstanceAddresses
from chaos.testcluster.events import EventLog
from chaos.testcluster.parameter_groups import ParameterGroups
from chaos.testcluster.postgres import PostgresBinaries
from chaos.testcluster.power import Power
from chaos.testcluster.security import Security
from chaos.testcluster.template import Template


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
    power: Power = field(default_factory=Power)
    security: Security
