"""A cluster whose data begin as a copy of another's: a clone, or a restore to the present.

On Aurora a clone shares pages with its source until one of the two writes. Here every cluster has data
of its own from the start, copied by pg_basebackup while the source goes on writing: what a client sees
is the same, how long it takes is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chaos.testcluster.aurora.core import AVAILABLE, MODIFYING, Core
from chaos.testcluster.postgres.node import Node
from chaos.testcluster.records import ApiError, ClusterSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A cluster that is copied, and the node of it that has the data."""

    spec: ClusterSpec
    password: str = field(repr=False)
    node: Node


def require_origin(core: Core) -> Origin:
    """Return what a cluster's data can be copied from now.

    Raises:
        ApiError: InvalidDBClusterStateFault: it is busy, or has no instance that runs.
    """
    writer = core.writer_member()
    origin = writer.node if writer is not None else None
    if core.source is not None:  # A standby that writes no full pages cannot be copied.
        origin = core.source()
    if core.status not in {AVAILABLE, MODIFYING} or origin is None or origin.pid is None:
        raise ApiError(
            "InvalidDBClusterStateFault",
            f"DB cluster {core.spec.id} cannot be copied: it is {core.status}, or has no running "
            "instance.",
        )
    return Origin(spec=core.spec, password=core.password, node=origin)


def copy_volume(core: Core, origin: Node) -> None:
    """Make the data of a cluster without instances a copy of what a running node has now.

    Raises:
        HostError: pg_basebackup failed, as when the origin went away.
    """
    carrier = Node(core.spec.id, core.directory / "copy", origin.address, core.foundation)
    carrier.clone_from(origin.address)
    volume = carrier.release(core.directory / "volume")
    carrier.remove()
    with core.lock:
        core.dormant = volume
