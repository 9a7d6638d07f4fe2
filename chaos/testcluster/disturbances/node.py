"""What happens to single servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from chaos.testcluster.disturbances.base import Disturbance, Ending

if TYPE_CHECKING:
    from chaos.testcluster.estate import Estate


class Crash(Disturbance):
    """Kills every process of an instance's server, as if from outside."""

    kind: Literal["crash"] = "crash"
    instance: str

    def begin(self, estate: Estate) -> Ending | None:
        """Kill; the cluster then does what it does."""
        instance = self.instance.lower()
        estate.cluster_of(instance).crash(instance)
        return None
