"""The drivers: each arm's way to the database, a file each, behind the protocols of `base`."""

from __future__ import annotations

from chaos.model.access import DatabaseAccess
from loadgen.arms import Arm
from loadgen.drivers.base import Driver
from loadgen.drivers.sqlalchemy_pool import SqlalchemyDriver
from loadgen.seats import Seats


def connect_arm(arm: Arm, access: DatabaseAccess, endpoint: str, run: str, seats: Seats) -> Driver:
    """Return an arm's driver for an endpoint; it connects when first asked for a session."""
    return SqlalchemyDriver(arm, access, endpoint, run, seats)
