"""What the control plane asks of the cluster that it shows and commands."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from chaos.testcluster.records import ClusterRecord, EventRecord, InstanceSpec, ServerlessBounds


class Engine(Protocol):
    """One cluster. Every command returns at once and raises `ApiError` if it is refused."""

    def snapshot(self) -> ClusterRecord:
        """Return the cluster as it is now."""

    def events(self) -> tuple[EventRecord, ...]:
        """Return every event so far, the oldest first."""

    def failover(self, target: str | None) -> None:
        """Begin to promote `target`, or the reader that the promotion tiers choose."""

    def reboot(self, instance: str, *, force_failover: bool = False) -> None:
        """Begin to restart an instance."""

    def create_instance(self, spec: InstanceSpec) -> None:
        """Begin to add a reader (or the writer of an empty cluster)."""

    def delete_instance(self, instance: str) -> None:
        """Begin to remove an instance."""

    def modify_cluster(self, *, serverless: ServerlessBounds) -> None:
        """Begin to change the Serverless v2 bounds."""

    def retag(
        self, instance: str | None, *, add: Mapping[str, str], remove: Collection[str]
    ) -> None:
        """Change the tags of an instance or (None) of the cluster, at once."""

    def crash(self, instance: str) -> None:
        """Kill the instance's server processes; the cluster then does what it does."""
