"""What a server is started for: a cluster, alone or as the primary of a global one, or an instance.

Everything is there at once, at no modelled pace: who waits for it waits for processes alone.
"""

from __future__ import annotations

import functools
from dataclasses import replace

from chaos.errors import HostError
from chaos.testcluster.aurora.cluster import Cluster
from chaos.testcluster.aurora.core import Core
from chaos.testcluster.aurora.view import ENGINE
from chaos.testcluster.estate import Estate, start_cluster
from chaos.testcluster.records import ApiError, ClusterSpec
from chaos.testcluster.worldwide.global_cluster import cluster_arn, rebuild
from chaos.wait import wait_until

SECONDARY_READERS = 1
_STREAM_TIMEOUT_S = 30.0


def start_home(estate: Estate, spec: ClusterSpec, password: str) -> None:
    """Make what a specification says, and return when all of it serves.

    Raises:
        HostError: it cannot be started here.
    """
    try:
        if spec.multi_az_instance:
            estate.new_instance(spec, password).come_to_life()
            return
        primary = start_cluster(estate, spec, password)
        if spec.secondary_region is not None:
            _start_secondary(estate, primary, spec.secondary_region)
    except ApiError as error:
        raise HostError(f"cannot start {spec.id}: {error.message}") from error


def _start_secondary(estate: Estate, primary: Cluster, region: str) -> None:
    """Make a global cluster of a cluster, with another one in a second Region that replicates it."""
    core = primary.core
    world = estate.global_clusters.create(
        f"{core.spec.id}-global", engine=ENGINE, source=cluster_arn(primary)
    )
    world.tags = dict(core.spec.tags)
    spec = replace(
        core.spec,
        id=f"{core.spec.id}-secondary",
        region=region,
        readers=SECONDARY_READERS - 1,  # Its first instance is a reader, too.
        reader_tiers=(),
        custom_endpoints=(),
        secondary_region=None,
        port=core.foundation.port,
    )
    secondary = estate.new_cluster(spec, core.password)
    estate.global_clusters.join(world, secondary)
    secondary.launch(functools.partial(_copy, primary))


def _copy(primary: Cluster, core: Core) -> None:
    """Give a new secondary's instances the primary's data, and wait until they replicate."""
    head = core.writer_member()
    source = primary.core.writer_member()
    assert head is not None
    assert source is not None
    core.foundation.storage.attach(head.node.data)
    rebuild(core, core.others())
    position = source.node.position()
    if position is None:
        raise HostError(f"{source.id} does not answer: {source.node.log_tail()}")
    for member in core.others():
        wait_until(
            functools.partial(member.node.follows, position),
            f"{member.id} to replicate {source.id}",
            timeout_s=_STREAM_TIMEOUT_S,
            interval_s=0.01,
        )
