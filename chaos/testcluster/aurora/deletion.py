"""DeleteDBCluster: refused while it must not, done once the last instances are gone."""

from __future__ import annotations

from collections.abc import Callable

from chaos.testcluster import events
from chaos.testcluster.aurora.core import (
    AVAILABLE,
    CLONING_FAILED,
    DELETING,
    Core,
    require_cluster_available,
)
from chaos.testcluster.records import ApiError
from chaos.wait import wait_until

_LAST_INSTANCES_TIMEOUT_S = 60.0


def begin(core: Core, end: Callable[[], None]) -> None:
    """Delete a cluster in the background; `end` closes it and forgets it.

    Raises:
        ApiError: it is protected, busy, or has instances that are not being deleted.
    """
    with core.lock:
        _require_deletable(core)
        core.status = DELETING
    delays = core.pacer.next("deletion of the cluster")

    def work() -> None:
        core.pause(delays.delete)
        wait_until(
            lambda: not core.members or core.closing.is_set(),
            f"the last instances of {core.spec.id} to go",
            timeout_s=core.pacer.profile.delete.high_s + _LAST_INSTANCES_TIMEOUT_S,
        )
        end()
        core.record(events.CLUSTER_DELETED, core.spec.id)

    def failed() -> None:
        core.status = AVAILABLE

    core.background("deletion", work, failed=failed)


def _require_deletable(core: Core) -> None:
    if core.spec.settings.get("DeletionProtection"):
        raise ApiError(
            "InvalidParameterCombination",
            "Cannot delete protected Cluster, please disable deletion protection and try again.",
        )
    if any(member.status != DELETING for member in core.members.values()):
        raise ApiError(
            "InvalidDBClusterStateFault",
            "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
        )
    if core.status != CLONING_FAILED:
        require_cluster_available(core)
