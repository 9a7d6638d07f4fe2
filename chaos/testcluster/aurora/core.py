"""What the parts of one cluster share: its state under one lock, and how background work is done.

The lock guards plain values and is never held while anything blocks. An instance's status says who may
touch it: whoever moved it away from `available` owns it until it is `available` again, so two
operations never work on one instance.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol

from chaos.clock import Anchor, MonotonicClock
from chaos.errors import HostError
from chaos.testcluster.aurora.defects import Defects
from chaos.testcluster.aurora.endpoints import CustomEndpoint
from chaos.testcluster.aurora.instance_settings import InstanceSettings
from chaos.testcluster.events import FAILOVER_FAILED, EventKind
from chaos.testcluster.ground import Ground
from chaos.testcluster.parameters.offered import AURORA
from chaos.testcluster.parameters.parameter_state import InForce, ParameterState
from chaos.testcluster.postgres.node import Foundation, Node
from chaos.testcluster.profiles import Pacer
from chaos.testcluster.records import (
    ApiError,
    ClusterChanges,
    ClusterSpec,
    EventRecord,
    InstanceChanges,
    InstanceSpec,
    ServerlessBounds,
)

log = logging.getLogger(__name__)

AVAILABLE = "available"
REBOOTING = "rebooting"
CREATING = "creating"
CLONING_FAILED = "cloning-failed"
DELETING = "deleting"
MODIFYING = "modifying"
FAILING_OVER = "failing-over"
FAILED = "failed"
RENAMING = "renaming"
RESETTING = "resetting-master-credentials"
STARTING = "starting"
STOPPED = "stopped"
STOPPING = "stopping"
UPDATING_IAM = "update-iam-db-auth"

_ZONES = ("a", "b", "c")
_WRITER_SESSION = "MASTER_SESSION_ID"
_JOIN_TIMEOUT_S = 15.0


class Closing(Exception):  # noqa: N818 - not an error: the cluster is being closed
    """Ends background work because the cluster closes."""


class Register(Protocol):
    """Where identifiers are unique: the Region."""

    def rename_cluster(self, old: str, new: str) -> None:
        """Put a cluster under another identifier; raise DBClusterAlreadyExistsFault."""

    def require_free_cluster(self, identifier: str) -> None:
        """Raise DBClusterAlreadyExistsFault if there is a cluster of that identifier."""

    def require_free_instance(self, instance: str) -> None:
        """Raise DBInstanceAlreadyExists if any cluster has an instance of that identifier."""


@dataclass(slots=True, kw_only=True)
class Member:
    """One instance; every field is guarded by the core's lock, the node guards itself."""

    spec: InstanceSpec
    node: Node
    availability_zone: str
    created_at: datetime
    status: str
    capacity_acu: float | None
    """None: provisioned. 0 while it is paused."""
    paused: bool = False
    """Stopped because it is idle; it must not be asked anything, for that would wake it."""
    in_reader_endpoint: bool = False
    parameters: InForce = field(default_factory=InForce)
    pending: InstanceChanges = field(default_factory=InstanceChanges)
    renaming_to: str | None = None
    """The identifier that it is about to get, which nobody else can have any more."""

    @property
    def id(self) -> str:
        """The instance identifier."""
        return self.spec.id

    @property
    def healthy(self) -> bool:
        """Whether it is available and its process runs."""
        return self.status == AVAILABLE and self.node.pid is not None


class Core:
    """The state of one cluster. Attributes below `lock` are read and written under it."""

    engine: ClassVar[str] = AURORA

    def __init__(
        self,
        spec: ClusterSpec,
        *,
        ground: Ground,
        directory: Path,
        foundation: Foundation,
        pacer: Pacer,
        password: str,
    ) -> None:
        self.spec = spec
        self.ground = ground
        self.directory = directory
        self.foundation = foundation
        self.pacer = pacer
        self.hash = endpoint_hash(ground.block.number, spec.region)
        self.anchor = Anchor.take()
        self.created_at = self.now()
        self.closing = threading.Event()
        self.register: Register | None = None  # set once it is in a Region

        self.lock = threading.RLock()
        self.status = CREATING
        self.members: dict[str, Member] = {}
        self.writer: str | None = None
        self.shown_writer: str | None = None  # as the API shows it, which lags
        self.dns_writer: str | None = None  # as the cluster endpoint answers, which lags more
        self.bounds: ServerlessBounds | None = spec.serverless
        self.password = password  # of the master user
        self.pending = ClusterChanges()
        self.endpoints: dict[str, CustomEndpoint] = {}
        self.source: Callable[[], Node | None] | None = None
        """Of a secondary of a global cluster: the primary's writer, from which `writer` streams."""
        self.settings = InstanceSettings(self)
        self.parameters = ParameterState(self)
        self.settings.sources.append(self.parameters.settings)
        self.await_awake: Callable[[Iterable[Member]], None] = _awake_already
        """Wakes paused instances, and returns when they run; for work that needs them."""
        self.is_needed_elsewhere: Callable[[], bool] = bool
        """Whether something outside needs the writer, as a global cluster does: it never pauses."""
        self.dormant: Path | None = None  # the data of a cluster whose last instance was deleted
        self.defects = Defects()
        self._publishing = threading.Lock()  # Held while files are written; `lock` never is.
        self._created = 0
        self._threads: set[threading.Thread] = set()

    # -- members ---------------------------------------------------------------------------------

    def add_member(self, spec: InstanceSpec, status: str) -> Member:
        """Add an instance with the next address; its server is not started."""
        with self.lock:
            self._created += 1
            zones = self.zones
            zone = spec.availability_zone or zones[(self._created - 1) % len(zones)]
            node = Node(
                spec.id,
                # Numbered, because an identifier may be used again after a deletion.
                self.directory / f"{self._created}-{spec.id}",
                self.ground.addresses.take(),
                self.foundation,
            )
            member = Member(
                spec=replace(spec, availability_zone=zone),
                node=node,
                availability_zone=zone,
                created_at=self.now(),
                status=status,
                capacity_acu=self.first_capacity(spec),
            )
            node.settings_wanted = lambda: self.settings.of(member)
            self.members[spec.id] = member
            return member

    @property
    def zones(self) -> tuple[str, ...]:
        """The availability zones of the cluster's region."""
        return tuple(self.spec.region + letter for letter in _ZONES)

    def first_capacity(self, spec: InstanceSpec) -> float | None:
        """Return the capacity with which an instance begins, None for a provisioned one."""
        if self.bounds is None or spec.instance_class != "db.serverless":
            return None
        return max(self.bounds.min_acu, 0.5)

    def has_taken(self, instance: str) -> bool:
        """Tell whether an instance has that identifier, or is about to get it; needs no lock."""
        return any(instance in {m.id, m.renaming_to} for m in tuple(self.members.values()))

    def rename_member(self, member: Member, new: str) -> None:
        """Give an instance another identifier, wherever the cluster uses it; the lock is held."""
        old = member.id
        member.spec, member.renaming_to = replace(member.spec, id=new), None
        member.node.identifier = new
        self.members = {m.id: m for m in self.members.values()}
        for role in ("writer", "shown_writer", "dns_writer"):
            if getattr(self, role) == old:
                setattr(self, role, new)
        if old in self.defects.absent:
            self.defects.absent = self.defects.absent - {old} | {new}
        for names in ("api_names", "sql_names"):
            if getattr(self.defects, names) == old:
                setattr(self.defects, names, new)
        self.endpoints = {
            name: endpoint.renamed(old, new) for name, endpoint in self.endpoints.items()
        }

    def remove_member(self, member: Member) -> None:
        """Forget an instance whose files are gone, and give its address back."""
        with self.lock:
            if self.members.get(member.id) is not member:
                return
            del self.members[member.id]
            self.endpoints = {
                name: endpoint.without(member.id) for name, endpoint in self.endpoints.items()
            }
        self.ground.addresses.give_back(member.node.address)

    def require_member(self, instance: str) -> Member:
        """Return the instance of that name.

        Raises:
            ApiError: DBInstanceNotFound.
        """
        member = self.members.get(instance)
        if member is None:
            raise ApiError("DBInstanceNotFound", f"DBInstance {instance} not found.")
        return member

    def writer_member(self) -> Member | None:
        """Return the present writer, or None."""
        with self.lock:
            return self.members.get(self.writer) if self.writer is not None else None

    def others(self, *but: Member | None) -> list[Member]:
        """Return the members except these."""
        with self.lock:
            return [m for m in self.members.values() if not any(m is b for b in but)]

    def publish_topology(self) -> None:
        """Tell every node what `aurora_replica_status()` has to show."""
        with self._publishing:
            with self.lock:
                shown = [
                    {"id": m.id, "session": self._session(m)}
                    for m in self.members.values()
                    if m.node.pid is not None and m.status not in {CREATING, DELETING, FAILED}
                ]
                nodes = [m.node for m in self.members.values()]
            for node in nodes:
                node.write_topology(shown)

    def _session(self, member: Member) -> str:
        if member.id == (self.defects.sql_names or self.writer) and self.source is None:
            return _WRITER_SESSION
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{member.node.address}.{member.id}"))

    # -- time and events -------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the wall-clock time, for display."""
        return self.anchor.wall(MonotonicClock().now_ns())

    def record(self, kind: EventKind, source: str, **values: str) -> None:
        """Append one event about the cluster or an instance; `values` are those in its message."""
        event = EventRecord(
            at=self.now(),
            region=self.spec.region,
            source_type=kind.source_type,
            source_id=source,
            event_id=kind.event_id,
            categories=kind.categories,
            message=kind.message.format(**values),
        )
        self.ground.events.append(event)

    # -- background work -------------------------------------------------------------------------

    def pause(self, duration_s: float) -> None:
        """Pace background work by `duration_s` seconds.

        Raises:
            Closing: the cluster closes meanwhile.
        """
        if self.closing.wait(max(duration_s, 0)):
            raise Closing

    def background(
        self, what: str, work: Callable[[], None], *, failed: Callable[[], None]
    ) -> None:
        """Run `work` in a thread of its own.

        An exception of it is logged, recorded as event 0069, and followed by `failed`, which is
        called under the lock to set the statuses that tell the user.
        """

        def body() -> None:
            try:
                work()
            except Closing:
                log.debug("%s ended because the cluster closes", what)
            except Exception:
                if self.closing.is_set():
                    log.debug("%s failed while the cluster closed", what, exc_info=True)
                else:
                    log.exception("%s of test cluster %s failed", what, self.spec.id)
                    self.record(FAILOVER_FAILED, self.spec.id)
                    with self.lock:
                        failed()
            finally:
                with self.lock:
                    self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=body, name=f"{self.spec.id} {what}", daemon=True)
        with self.lock:
            if self.closing.is_set():
                return
            self._threads.add(thread)
        thread.start()

    @property
    def busy(self) -> bool:
        """Whether any background work is going on."""
        with self.lock:
            return bool(self._threads)

    def end_background(self) -> None:
        """Wait, bounded, for all background work to end after `closing` was set."""
        with self.lock:
            threads: Iterable[threading.Thread] = tuple(self._threads)
        deadline = MonotonicClock().now_ns() + int(_JOIN_TIMEOUT_S * 1e9)
        for thread in threads:
            if thread is threading.current_thread() or thread.ident is None:
                continue
            thread.join(max((deadline - MonotonicClock().now_ns()) / 1e9, 0.01))
            if thread.is_alive():
                log.warning("%s did not end within %g s", thread.name, _JOIN_TIMEOUT_S)


def _awake_already(_: Iterable[Member]) -> None:
    """Nothing pauses."""


def endpoint_hash(block: int, region: str) -> str:
    """Return the 12 letters and digits in the endpoint names of an account in a Region."""
    number = int.from_bytes(hashlib.sha256(f"{block}/{region}".encode()).digest()[:8])
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    digits = []
    for _ in range(11):
        number, digit = divmod(number, len(letters))
        digits.append(letters[digit])
    return "c" + "".join(digits)


def require_cluster_available(core: Core) -> None:
    """Raise InvalidDBClusterStateFault unless the cluster is available."""
    if core.status != AVAILABLE:
        raise ApiError(
            "InvalidDBClusterStateFault", f"Db cluster {core.spec.id} is in {core.status} state"
        )


def require_available(member: Member) -> None:
    """Raise InvalidDBInstanceState unless the instance is available."""
    if member.status != AVAILABLE:
        raise ApiError(
            "InvalidDBInstanceState",
            f"Instance {member.id} is not in available state; it is {member.status}.",
        )


def require_writer(core: Core) -> Member:
    """Return the writer, for background work that cannot go on without one."""
    writer = core.writer_member()
    if writer is None:
        raise HostError(f"cluster {core.spec.id} has no writer")
    return writer
