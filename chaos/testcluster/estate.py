"""Everything that one server process emulates of an AWS account: Regions, and the clusters in them.

    Estate --- Region eu-west-1 --- Cluster, Cluster...
           --- Region us-east-1 --- ...
           --- Disturbances     what only a test cluster can suffer
           one address block, one DNS zone, one event log, one folder, one reaper

A Region is there as soon as somebody asks for it, as in an account. Identifiers are unique in a Region.
"""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from chaos.clock import MonotonicClock
from chaos.errors import HostError
from chaos.testcluster.api.behaviour import Behaviour as ApiBehaviour
from chaos.testcluster.aurora.cluster import Cluster
from chaos.testcluster.aurora.injections import Injections
from chaos.testcluster.disturbances.registry import Disturbances
from chaos.testcluster.events import EventLog
from chaos.testcluster.ground import Ground
from chaos.testcluster.identifiers import is_region
from chaos.testcluster.names.dns_behaviour import Behaviour
from chaos.testcluster.postgres.account import server_account
from chaos.testcluster.postgres.programs import PostgresBinaries
from chaos.testcluster.postgres.template import cached_template
from chaos.testcluster.process.addresses import AddressBlock, InstanceAddresses
from chaos.testcluster.process.directory import make_directory
from chaos.testcluster.process.reaper import Reaper
from chaos.testcluster.records import (
    Address,
    Alias,
    ApiError,
    ClusterRecord,
    ClusterSpec,
)
from chaos.testcluster.region import Region
from chaos.testcluster.security.admission import Security
from chaos.testcluster.security.iam_auth import Door
from chaos.testcluster.standalone.database import Standalone
from chaos.testcluster.standalone.records import StandaloneSpec
from chaos.testcluster.standalone.registry import Standalones, multi_az, nodes_of
from chaos.testcluster.worldwide.global_clusters import GlobalClusters

ZONE = "rds.amazonaws.com"


class Estate:
    """All resources of one server process, on one address block.

    Args:
        block: the leased addresses; they stay the caller's to close.
        binaries: the PostgreSQL to run.
        directory: an existing private folder for all data, removed by `close`; None makes one.
        seed: of what is left to chance.

    Raises:
        HostError: servers cannot be run here.
    """

    def __init__(
        self,
        *,
        block: AddressBlock,
        binaries: PostgresBinaries,
        directory: Path | None = None,
        seed: int = 0,
    ) -> None:
        directory = directory or make_directory(nodes=3)
        self._reaper = Reaper(directory)
        self._lock = threading.Lock()
        self._regions: dict[str, Region] = {}
        self._numbers = itertools.count(1)
        self._home: Cluster | None = None
        self._pace: ClusterSpec | None = None
        """The specification of the home, whose pace everything else keeps."""
        self.disturbances = Disturbances(self)
        self._injections = Injections(self)
        self.global_clusters = GlobalClusters(
            lambda region, name: self.region(region).cluster(name)
        )
        self.api_behaviour = ApiBehaviour(MonotonicClock())
        self.name_behaviour = Behaviour(MonotonicClock(), seed)
        try:
            account = server_account(binaries)
            if account.other:
                directory.chmod(0o711)  # Another account's servers pass through.
            template = cached_template(binaries, account)
            self.security = Security(template, directory, block.control, self._door_at)
            self.ground = Ground(
                binaries=binaries,
                account=account,
                template=template,
                block=block,
                addresses=InstanceAddresses(block),
                directory=directory,
                events=EventLog(),
                security=self.security,
            )
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            self._reaper.dismiss()
            raise
        self._injections.start()

    # -- what is there ---------------------------------------------------------------------------

    def region(self, name: str) -> Region:
        """Return a Region, empty where nothing was made in it yet.

        Raises:
            ApiError: SignatureDoesNotMatch: it cannot be the name of a Region.
        """
        if not is_region(name):
            raise ApiError(
                "SignatureDoesNotMatch",
                f"Credential should be scoped to a valid region, not '{name}'.",
            )
        with self._lock:
            return self._regions.setdefault(
                name,
                Region(
                    name,
                    self.ground,
                    self._paced_alike,
                    self.global_clusters,
                    Standalones(self._new_standalone),
                ),
            )

    def regions(self) -> tuple[Region, ...]:
        """Return the Regions in use."""
        with self._lock:
            return tuple(self._regions.values())

    def clusters(self) -> tuple[Cluster, ...]:
        """Return the clusters of all Regions."""
        return tuple(cluster for region in self.regions() for cluster in region.clusters())

    def standalones(self) -> tuple[Standalone, ...]:
        """Return the instances without a cluster, of all Regions."""
        return tuple(s for region in self.regions() for s in region.standalones.all())

    def cluster_of(self, instance: str) -> Cluster:
        """Return the cluster, of any Region, of an instance; a stand-alone one is its own.

        Raises:
            ApiError: DBInstanceNotFound.
        """
        for region in self.regions():
            for cluster in region.clusters():
                if instance in cluster.core.members:
                    return cluster
            for standalone in region.standalones.all():
                if instance in {standalone.id, *standalone.core.members}:
                    return standalone
        raise ApiError("DBInstanceNotFound", f"DBInstance {instance} not found.")

    def home(self) -> ClusterRecord:
        """Return the cluster that the server was started for, as it is now.

        Raises:
            HostError: there is none.
        """
        home = self.database(None)
        world = self.global_clusters.of(home)
        return replace(home.snapshot(), global_cluster=world.id if world else None)

    def database(self, identifier: str | None) -> Cluster:
        """Return a cluster or a stand-alone instance; None: what the server was started for.

        Of two of one identifier it is the one in the home's Region.

        Raises:
            ApiError: DBClusterNotFoundFault.
            HostError: there is no home.
        """
        if identifier is None:
            if self._home is None:
                raise HostError("this server was started without a cluster")
            if self._home.core.closing.is_set():
                raise HostError(f"cluster {self._home.core.spec.id} was deleted")
            return self._home
        for found in (*self.clusters(), *self.standalones()):
            if found.core.spec.id == identifier.lower():
                return found
        raise ApiError("DBClusterNotFoundFault", f"DBCluster {identifier} not found.")

    def names(self) -> Mapping[str, Alias | Address]:
        """Return every DNS name as it is answered now."""
        names: dict[str, Alias | Address] = {}
        for cluster in self.clusters():
            names.update(cluster.names())
        for standalone in self.standalones():
            names.update(standalone.names())
        names.update(self.global_clusters.names())
        return names

    def _door_at(self, address: str) -> Door | None:
        """Return what IAM tokens for the instance at an address must say; custom endpoints are none."""
        for record in (cluster.snapshot() for cluster in self.clusters()):
            for instance in record.instances:
                if instance.address == address:
                    return Door(
                        hosts={record.cluster_endpoint, record.reader_endpoint, instance.endpoint},
                        port=record.port,
                        region=record.region,
                    )
        return None

    # -- making and ending -----------------------------------------------------------------------

    def new_cluster(self, spec: ClusterSpec, password: str) -> Cluster:
        """Add a cluster without servers to its Region; who asked for it starts it.

        Raises:
            ApiError: the identifier is taken.
            HostError: it cannot be made here.
        """
        directory = self.ground.directory / f"{next(self._numbers)}-{spec.id}"
        cluster = Cluster(spec, self.ground, directory=directory, password=password)
        try:
            self.region(spec.region).put(cluster)
        except ApiError:
            cluster.close()
            raise
        self._home, self._pace = self._home or cluster, self._pace or spec
        cluster.core.is_needed_elsewhere = lambda: self.global_clusters.of(cluster) is not None
        return cluster

    def new_instance(self, spec: ClusterSpec, password: str) -> Standalone:
        """Add the Multi-AZ instance that the server is started for, without servers.

        Raises:
            ApiError: it cannot be made here.
        """
        self._pace = self._pace or spec
        made = self.region(spec.region).standalones.put(multi_az(spec), password)
        self._home = self._home or made
        return made

    def _new_standalone(
        self, spec: StandaloneSpec, password: str, source: Standalone | None
    ) -> Standalone:
        pace = self._pace or ClusterSpec()
        return Standalone(
            spec,
            nodes_of(spec, pace),
            self.ground,
            directory=self.ground.directory / f"{next(self._numbers)}-{spec.id}",
            password=password,
            source=source,
        )

    def _paced_alike(self, spec: ClusterSpec, password: str) -> Cluster:
        """Add a cluster that paces its work as the one that the server was started for."""
        home = self._pace or spec
        return self.new_cluster(
            replace(
                spec,
                profile=home.profile,
                seed=home.seed,
                cluster_ttl_s=home.cluster_ttl_s,
                reader_ttl_s=home.reader_ttl_s,
                instance_ttl_s=home.instance_ttl_s,
                dns_flip_s=home.dns_flip_s,
                read_availability=home.read_availability,
            ),
            password,
        )

    def close(self) -> None:
        """Kill every server and remove all data; bounded, and harmless a second time."""
        self._injections.close()
        self.disturbances.close()
        self.global_clusters.close()
        for cluster in (*self.standalones(), *self.clusters()):
            cluster.close()
        self.security.close()
        shutil.rmtree(self.ground.directory, ignore_errors=True)
        self._reaper.dismiss()


def start_cluster(estate: Estate, spec: ClusterSpec, password: str) -> Cluster:
    """Make a cluster with its instances and return when they serve.

    Raises:
        HostError: it cannot be started here; nothing of it is left behind.
    """
    try:
        cluster = estate.new_cluster(spec, password)
    except ApiError as error:
        raise HostError(f"cannot start cluster {spec.id}: {error.message}") from error
    try:
        cluster.launch()
    except BaseException:
        estate.region(spec.region).remove(cluster)
        raise
    return cluster
