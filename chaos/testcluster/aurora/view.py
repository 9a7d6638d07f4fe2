"""What the outside sees of a cluster: the record that the API shows, and the DNS zone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from chaos.testcluster.aurora.cluster_changes import IAM
from chaos.testcluster.aurora.core import AVAILABLE, CREATING, DELETING, Core, Member
from chaos.testcluster.aurora.endpoints import Candidate, CustomEndpoint, targets
from chaos.testcluster.parameters.parameter_groups import Level
from chaos.testcluster.records import (
    ACCOUNT,
    Address,
    Alias,
    ClusterChanges,
    ClusterRecord,
    EndpointRecord,
    InstanceChanges,
    InstanceRecord,
)

ENGINE = "aurora-postgresql"


class View:
    """Reads one core; every method takes its lock for a moment."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._suffix = f"{core.hash}.{core.spec.region}.rds.amazonaws.com"

    @property
    def cluster_endpoint(self) -> str:
        """The DNS name of the writer; it changes with the cluster's identifier."""
        return f"{self._core.spec.id}.cluster-{self._suffix}".lower()

    @property
    def reader_endpoint(self) -> str:
        """The DNS name of the readers; it changes with the cluster's identifier."""
        return f"{self._core.spec.id}.cluster-ro-{self._suffix}".lower()

    def instance_endpoint(self, instance: str) -> str:
        """Return the DNS name of an instance."""
        return f"{instance}.{self._suffix}".lower()

    def custom_endpoint(self, identifier: str) -> str:
        """Return the DNS name of a custom endpoint."""
        return f"{identifier}.cluster-custom-{self._suffix}".lower()

    def snapshot(self) -> ClusterRecord:
        """Return the cluster as the API shows it now."""
        core = self._core
        with core.lock:
            return ClusterRecord(
                id=core.spec.id,
                status=core.status,
                engine=ENGINE,
                engine_version=core.foundation.binaries.version,
                region=core.spec.region,
                account=ACCOUNT,
                # The folder is numbered, and stays when the cluster is renamed.
                resource_id="cluster-" + _resource(f"{core.hash} {core.directory.name}"),
                hash=core.hash,
                cluster_endpoint=self.cluster_endpoint,
                reader_endpoint=self.reader_endpoint,
                port=core.foundation.port,
                user=core.spec.user,
                database=core.spec.database,
                availability_zones=core.zones,
                created_at=core.created_at,
                serverless=core.bounds,
                tags=core.spec.tags,
                instances=tuple(self._instance(member) for member in core.members.values()),
                parameter_group=core.parameters.cluster_group,
                is_secondary=core.source is not None,
                custom_endpoints=tuple(self._endpoint(e) for e in core.endpoints.values()),
                settings=core.spec.settings,
                pending=_pending_cluster(core.pending),
            )

    def _is_shown_as_writer(self, member: Member) -> bool:
        core = self._core
        return core.source is None and member.id == (core.defects.api_names or core.shown_writer)

    def _instance(self, member: Member) -> InstanceRecord:
        return InstanceRecord(
            id=member.id,
            status=member.status,
            is_writer=self._is_shown_as_writer(member),
            instance_class=member.spec.instance_class,
            availability_zone=member.availability_zone,
            promotion_tier=member.spec.promotion_tier,
            endpoint=self.instance_endpoint(member.id),
            port=self._core.foundation.port,
            created_at=member.created_at,
            tags=member.spec.tags,
            settings=member.spec.settings,
            address=member.node.address,
            pid=member.node.pid,
            capacity_acu=member.capacity_acu,
            paused=member.paused and member.capacity_acu == 0,
            awaits_reboot=self._core.settings.wait_for_restart(member),
            cluster_parameters=self._core.parameters.status(Level.CLUSTER, member),
            parameters=self._core.parameters.status(Level.INSTANCE, member),
            pending=_pending_instance(member.pending),
        )

    def _endpoint(self, endpoint: CustomEndpoint) -> EndpointRecord:
        return EndpointRecord(
            id=endpoint.id,
            endpoint=self.custom_endpoint(endpoint.id),
            resource_id=endpoint.resource_id,
            status=endpoint.status,
            kind=endpoint.wanted.kind,
            static_members=endpoint.wanted.static or (),
            excluded_members=endpoint.wanted.excluded,
            tags=endpoint.tags,
        )

    def names(self) -> Mapping[str, Alias | Address]:
        """Return every name of the cluster as the name server answers it now.

        The cluster endpoint lags behind a promotion. The reader endpoint has the readers that serve,
        and the writer where there is none; a promoted reader stays in it until the cluster
        endpoint follows, as AWS documents.
        """
        core = self._core
        ttl = core.pacer.profile
        with core.lock:
            writer = core.dns_writer
            names: dict[str, Alias | Address] = {
                self.instance_endpoint(m.id): Address(
                    address=m.node.address, ttl_s=ttl.instance_ttl_s
                )
                for m in core.members.values()
                if m.status not in {CREATING, DELETING} or m.id == writer
            }
            readers = [
                m.id
                for m in core.members.values()
                if m.in_reader_endpoint and (m.id != writer or core.source is not None)
            ]
            writers = [m.id for m in core.members.values() if m.id == writer]
            custom = {
                self.custom_endpoint(e.id): targets(e.group, self._candidates())
                for e in core.endpoints.values()
                if e.group is not None
            }
        names[self.cluster_endpoint] = self._alias(writers, ttl.cluster_ttl_s)
        names[self.reader_endpoint] = self._alias(readers or writers, ttl.reader_ttl_s)
        for name, instances in custom.items():
            names[name] = self._alias(instances, ttl.reader_ttl_s)
        return names

    def _candidates(self) -> list[Candidate]:
        core = self._core
        return [
            Candidate(
                id=m.id,
                is_writer=m.id == core.dns_writer and core.source is None,
                serves=m.status == AVAILABLE and m.in_reader_endpoint,
            )
            for m in core.members.values()
            if m.status not in {CREATING, DELETING}
        ]

    def _alias(self, instances: list[str], ttl_s: int) -> Alias:
        targets = tuple(self.instance_endpoint(i) for i in instances)
        return Alias(targets=targets, ttl_s=ttl_s)


def _pending_cluster(changes: ClusterChanges) -> dict[str, object]:
    shown = {
        "DBClusterIdentifier": changes.new_id,
        "MasterUserPassword": None if changes.password is None else "****",
        "IAMDatabaseAuthenticationEnabled": changes.settings.get(IAM),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _pending_instance(changes: InstanceChanges) -> dict[str, object]:
    shown = {
        "DBInstanceClass": changes.instance_class,
        "DBInstanceIdentifier": changes.new_id,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _resource(text: str) -> str:
    """Return 26 capital letters and digits, as in AWS's resource identifiers."""
    return hashlib.sha256(text.encode()).hexdigest()[:26].upper()
