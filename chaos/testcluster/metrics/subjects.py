"""What is sampled: the instances of an estate as they are at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chaos.testcluster.aurora.core import Core, Member
from chaos.testcluster.metrics.asking import Place
from chaos.testcluster.metrics.store import Dimensions
from chaos.testcluster.postgres.configuration import CONTROL_ROLE
from chaos.testcluster.serverless.settings import SERVERLESS_CLASS


class Watched(Protocol):
    """A cluster, or the nodes of a stand-alone instance."""

    @property
    def core(self) -> Core:
        """Its state."""


class WatchedEstate(Protocol):
    """Whatever has clusters and stand-alone instances."""

    def clusters(self) -> Sequence[Watched]:
        """Return the clusters of all Regions."""

    def standalones(self) -> Sequence[Watched]:
        """Return the stand-alone instances of all Regions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One instance at the moment of a sample."""

    region: str
    cluster: str | None  # None: it stands alone
    instance: str
    engine: str
    instance_class: str
    address: str
    pid: int | None
    place: Place | None
    is_paused: bool
    is_stopped: bool
    is_writer: bool
    follows: str | None
    """The address of the writer that it replicates, None for a writer."""
    is_abroad: bool
    """Whether that writer is another cluster's, in a global cluster."""
    capacity_acu: float | None
    max_acu: float | None
    cores: float | None
    """The processors that its class has in the model; None: this machine's."""

    @property
    def dimension_sets(self) -> tuple[Dimensions, ...]:
        """Return the sets of dimensions that its samples are published with."""
        instance: tuple[Dimensions, ...] = (
            (("DBInstanceIdentifier", self.instance),),
            (("DatabaseClass", self.instance_class),),
            (("EngineName", self.engine),),
            (),
        )
        if self.cluster is None:
            return instance
        cluster = ("DBClusterIdentifier", self.cluster)
        return (
            *instance,
            (cluster,),
            (cluster, ("Role", "WRITER" if self.is_writer else "READER")),
            (cluster, ("EngineName", self.engine)),
        )


def subjects(estate: WatchedEstate) -> list[Subject]:
    """Return every instance, of every Region."""
    return [
        *(s for watched in estate.clusters() for s in _of_cluster(watched.core)),
        *(s for watched in estate.standalones() for s in _standing_alone(watched.core)),
    ]


def _of_cluster(core: Core) -> list[Subject]:
    elsewhere = _elsewhere(core)
    with core.lock:
        return [
            _subject(core, member, elsewhere, cluster=core.spec.id, instance=member.id)
            for member in core.members.values()
        ]


def _standing_alone(core: Core) -> list[Subject]:
    """Return the instance by its active node; a standby publishes nothing of its own."""
    elsewhere = _elsewhere(core)
    with core.lock:
        active = core.writer_member()
        if active is None:
            return []
        return [_subject(core, active, elsewhere, cluster=None, instance=core.spec.id)]


def _elsewhere(core: Core) -> str | None:
    """Return the address of the writer of another core that this one replicates; '' if it is down.

    Not under this core's lock, for it takes the other's.
    """
    source = core.source
    if source is None:
        return None
    node = source()
    return "" if node is None else node.address


def _subject(
    core: Core, member: Member, elsewhere: str | None, *, cluster: str | None, instance: str
) -> Subject:
    node, pid, foundation = member.node, member.node.pid, core.foundation
    is_first = member.id == core.writer
    writer = core.writer_member()
    follows = elsewhere or None
    if elsewhere is None and not is_first and writer is not None:
        follows = writer.node.address
    serverless = core.bounds if member.spec.instance_class == SERVERLESS_CLASS else None
    return Subject(
        region=core.spec.region,
        cluster=cluster,
        instance=instance,
        engine=core.engine,
        instance_class=member.spec.instance_class,
        address=node.address,
        pid=pid,
        place=None
        if pid is None
        else Place(
            address=node.address,
            port=foundation.port,
            user=CONTROL_ROLE,
            password=foundation.template.control_password,
            pid=pid,
        ),
        is_paused=member.paused,
        is_stopped=node.freezer.frozen,
        is_writer=is_first and elsewhere is None,
        follows=follows,
        is_abroad=elsewhere is not None and cluster is not None,
        capacity_acu=member.capacity_acu if serverless else None,
        max_acu=serverless.max_acu if serverless else None,
        cores=serverless.max_acu * core.pacer.profile.cores_per_acu if serverless else None,
    )
