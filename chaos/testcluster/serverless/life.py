"""Serverless v2 capacity, as a simple model: each instance moves into its bounds, step by step.

Load does not matter: an instance keeps its capacity until the bounds exclude it. Steps are of 0.5 ACU,
or half the present capacity where that is more, since Aurora grows the faster the larger it is
(https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/ , "How Aurora Serverless v2 works").
The pace is the profile's: modelled, not AWS's, which publishes none.
"""

from __future__ import annotations

from chaos.testcluster.core import AVAILABLE, MODIFYING, Core
from chaos.testcluster.records import ApiError, ServerlessBounds

STEP_ACU = 0.5
_CAPACITY_MAX_ACU = 256.0


def validate(bounds: ServerlessBounds) -> None:
    """Raise InvalidParameterValue for bounds that AWS refuses."""
    for name, value in (("MinCapacity", bounds.min_acu), ("MaxCapacity", bounds.max_acu)):
        if value % STEP_ACU != 0:
            raise _refused(f"{name} {value:g} is not a multiple of {STEP_ACU:g} ACU.")
    if not 0 <= bounds.min_acu <= _CAPACITY_MAX_ACU:
        raise _refused(
            f"MinCapacity {bounds.min_acu:g} is not between 0 and {_CAPACITY_MAX_ACU:g} ACU."
        )
    if not 1 <= bounds.max_acu <= _CAPACITY_MAX_ACU:
        raise _refused(
            f"MaxCapacity {bounds.max_acu:g} is not between 1 and {_CAPACITY_MAX_ACU:g} ACU."
        )
    if bounds.min_acu > bounds.max_acu:
        raise _refused(
            f"MinCapacity {bounds.min_acu:g} is greater than MaxCapacity {bounds.max_acu:g}."
        )


def next_capacity(current: float, bounds: ServerlessBounds) -> float:
    """Return the capacity one step nearer to the bounds, or `current` within them."""
    step = max(STEP_ACU, (current / 2) // STEP_ACU * STEP_ACU)
    if current < bounds.min_acu:
        return min(current + step, bounds.min_acu)
    if current > bounds.max_acu:
        return max(current - step, bounds.max_acu)
    return current


class Scaling:
    """Changes of one cluster's bounds, and the capacity that follows."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def modify(self, bounds: ServerlessBounds) -> None:
        """Accept ModifyDBCluster's new bounds.

        Raises:
            ApiError: AWS refuses such bounds, or the cluster is busy.
        """
        validate(bounds)
        core = self._core
        with core.lock:
            if core.status != AVAILABLE:
                raise ApiError(
                    "InvalidDBClusterStateFault",
                    f"DBCluster {core.spec.id} is not in available state; it is {core.status}.",
                )
            core.status = MODIFYING
        delays = core.pacer.next("modification")

        def work() -> None:
            core.pause(delays.modify)
            with core.lock:
                core.bounds = bounds
                self._leave_modifying()
            while self._step():
                core.pause(delays.capacity_step)

        core.background("change of capacity", work, failed=self._leave_modifying)

    def _leave_modifying(self) -> None:
        if self._core.status == MODIFYING:  # A failover may have begun meanwhile.
            self._core.status = AVAILABLE

    def _step(self) -> bool:
        """Move every instance one step; tell whether any is still outside the bounds."""
        core = self._core
        with core.lock:
            bounds = core.bounds
            if bounds is None:
                return False
            moved = False
            for member in core.members.values():
                if member.capacity_acu is not None:
                    capacity = next_capacity(member.capacity_acu, bounds)
                    moved = moved or capacity != member.capacity_acu
                    member.capacity_acu = capacity
            return moved


def _refused(message: str) -> ApiError:
    return ApiError("InvalidParameterValue", message)
