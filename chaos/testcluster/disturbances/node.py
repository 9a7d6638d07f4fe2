"""What happens to single servers, and to the machines that they run on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from chaos.testcluster.aurora.core import Core, Member, require_available
from chaos.testcluster.disturbances.base import Disturbance, Ending
from chaos.testcluster.machine.sockets import require_filters
from chaos.testcluster.postgres.freezing import HANG
from chaos.testcluster.records import ApiError

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate

FILTERS = "Linux and CAP_NET_ADMIN (root): packet filters on the server's sockets"


class Crash(Disturbance):
    """Kills every process of an instance's server, as if from outside."""

    kind: Literal["crash"] = "crash"
    instance: str

    def begin(self, estate: Estate) -> Ending | None:
        """Kill; the cluster then does what it does."""
        instance = self.instance.lower()
        estate.cluster_of(instance).crash(instance)
        return None


class Hang(Disturbance):
    """Stops every process of an instance's server; its kernel still answers for it.

    TCP connections are accepted and data are acknowledged, so only a client's own time-out ends its
    wait. The end lets the server run on, unless the cluster has killed it meanwhile, as it does.
    """

    kind: Literal["hang"] = "hang"
    instance: str

    def begin(self, estate: Estate) -> Ending:
        """Stop it.

        Raises:
            ApiError: there is no such instance, it is not available, or it is stopped already.
        """
        with available(estate, self.instance) as (_, member):
            node, pid = member.node, member.node.pid
            if node.freezer.frozen:
                why = "hangs already" if node.freezer.frozen_for(HANG) else "is paused"
                raise ApiError("InvalidDBInstanceState", f"Instance {member.id} {why}.")
            node.freeze(HANG)

        def ending() -> None:
            if node.pid == pid:
                node.thaw(HANG)

        return ending


class PowerLoss(Disturbance):
    """Cuts the power of an instance's machine, or of all machines of an Availability Zone.

    Nobody is told: no FIN, no RST, no answer to data, keepalives or SYNs, until the power is back. Then
    addresses refuse until their servers run again. Nothing starts without power.
    """

    needs: ClassVar[str] = FILTERS

    kind: Literal["power-loss"] = "power-loss"
    instance: str | None = None
    zone: str | None = Field(None, description="an Availability Zone, such as eu-west-1a")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.instance is None) == (self.zone is None):
            raise ValueError("name either an instance or a zone")
        return self

    def begin(self, estate: Estate) -> Ending:
        """Cut it.

        Raises:
            ApiError: there is no such instance or zone, it is not available, or has no power already.
            HostError: packet filters are not allowed here.
        """
        require_filters("power loss")
        if self.instance is not None:
            return self._of_instance(estate, self.instance)
        assert self.zone is not None
        return self._of_zone(estate, self.zone.lower())

    def _of_instance(self, estate: Estate, instance: str) -> Ending:
        power = estate.ground.power
        with available(estate, instance) as (_, member):
            if not power.cut_node(member.node):
                raise ApiError("InvalidDBInstanceState", f"Instance {member.id} has no power.")

        def ending() -> None:
            power.restore_node(member.node)
            _light(estate, [member])

        _darken([member], ending)
        return ending

    def _of_zone(self, estate: Estate, zone: str) -> Ending:
        power = estate.ground.power
        there = {m.availability_zone for m in _members(estate)}
        if zone not in there:
            known = ", ".join(sorted(there)) or "none"
            raise ApiError(
                "InvalidParameterValue", f"no instance is in zone {zone}; there are: {known}"
            )
        if not power.cut_zone(zone):
            raise ApiError("InvalidParameterValue", f"zone {zone} has no power already")

        def ending() -> None:
            power.restore_zone(zone)
            _light(estate, [m for m in _members(estate) if m.availability_zone == zone])

        _darken([m for m in _members(estate) if m.availability_zone == zone], ending)
        return ending


@contextlib.contextmanager
def available(estate: Estate, instance: str) -> Iterator[tuple[Core, Member]]:
    """Hold the lock of the cluster of an instance that is available and runs.

    Raises:
        ApiError: there is none of that name, or it is not.
    """
    core = estate.cluster_of(instance.lower()).core
    with core.lock:
        member = core.require_member(instance.lower())
        require_available(member)
        if member.node.pid is None:
            raise ApiError("InvalidDBInstanceState", f"Instance {member.id} does not run.")
        yield core, member


def require_first(estate: Estate, disturbance: Disturbance, instance: str) -> None:
    """Raise InvalidParameterCombination where one of this kind is in force for the same instance."""
    for active in estate.disturbances.active():
        other = active.disturbance
        if other.kind == disturbance.kind and _named(other) == instance.lower():
            raise ApiError(
                "InvalidParameterCombination",
                f"{disturbance.kind} is in force for instance {instance} already: {active.id}",
            )


def _named(disturbance: Disturbance) -> str:
    return str(getattr(disturbance, "instance", "")).lower()


def _members(estate: Estate) -> list[Member]:
    everybody = (*estate.clusters(), *estate.standalones())
    return [member for database in everybody for member in database.core.others()]


def _darken(members: list[Member], undo: Ending) -> None:
    """Cut the power of what runs; of nothing, where one of them cannot be reached."""
    try:
        for member in members:
            member.node.silence.begin(member.node.pid)
    except BaseException:
        undo()
        raise


def _light(estate: Estate, members: list[Member]) -> None:
    """Let those answer again that no other outage keeps dark."""
    for member in members:
        if estate.ground.power.reaches(member):
            member.node.silence.end()
