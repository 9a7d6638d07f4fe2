"""The drivers: each arm's way to the database, a file each, behind the protocols of `base`."""

from __future__ import annotations

from chaos.model.access import DatabaseAccess
from loadgen.arm import Arm
from loadgen.drivers.base import Driver
from loadgen.drivers.way import Way
from loadgen.families import driver_of
from loadgen.seats import Seats


def connect_arm(arm: Arm, access: DatabaseAccess, endpoint: str, run: str, seats: Seats) -> Driver:
    """Return an arm's driver for an endpoint; it connects when first asked for a session."""
    way = Way(arm=arm, access=access, endpoint=endpoint, run=run, seats=seats)
    driver: Driver = driver_of(arm)(way)
    return driver
