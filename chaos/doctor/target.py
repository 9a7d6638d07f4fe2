"""Rules on a cluster: would a failover find a reader, a zone, a size, a name in time?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from chaos.doctor.base import Advice, Patient, Rule, advice, problem
from chaos.model.serverless import SERVERLESS_CLASS
from chaos.model.topology import Member

TTL_S_MAX = 5
_IDLE_MS_MAX = 3_600_000
_FOLLOWING_TIERS = (0, 1)
_VERSION = re.compile(r"(\d+)\.(\d+)")
# Readers keep serving while the writer restarts or fails over from these on
# (Aurora PostgreSQL release notes: "read availability").
_READ_AVAILABILITY = {12: 14, 13: 10, 14: 7, 15: 2}


def _readers(patient: Patient) -> Iterator[Advice]:
    topology = patient.topology
    if not topology.is_cluster:
        if not topology.multi_az:
            yield problem(
                topology.cluster,
                "it has no standby: nothing takes over, and it is restored in minutes to hours",
                f"aws rds modify-db-instance --db-instance-identifier {topology.cluster} --multi-az",
            )
        return
    readers = len(topology.readers)
    if readers == 0:
        yield problem(
            topology.cluster,
            "it has no reader: a failover creates the writer anew, usually in up to 10 minutes",
            _create_reader(patient),
        )
    elif readers == 1:
        yield advice(
            topology.cluster,
            "it has one reader: after a failover none is left for reads or for a second failure",
            _create_reader(patient),
        )


def _create_reader(patient: Patient) -> str:
    topology = patient.topology
    kind = topology.writer.instance_class if topology.writer else "CLASS"
    return (
        f"aws rds create-db-instance --db-instance-identifier {topology.cluster}-reader "
        f"--db-cluster-identifier {topology.cluster} --db-instance-class {kind} "
        f"--engine {topology.engine}"
    )


def _zones(patient: Patient) -> Iterator[Advice]:
    topology = patient.topology
    zones = {member.availability_zone for member in topology.members}
    if len(topology.members) > 1 and len(zones) == 1:
        yield problem(
            topology.cluster,
            f"every member is in {zones.pop()}: one zone's outage takes all of them",
            "create a reader with --availability-zone of another zone",
        )


def _tiers(patient: Patient) -> Iterator[Advice]:
    readers = patient.topology.readers
    if not readers:
        return
    first = min(reader.promotion_tier for reader in readers)
    candidates = [reader for reader in readers if reader.promotion_tier == first]
    classes = {reader.instance_class for reader in candidates}
    if len(classes) > 1:
        names = ", ".join(f"{r.id} ({r.instance_class})" for r in candidates)
        yield advice(
            names,
            f"readers of different sizes share tier {first}: the largest is promoted, unless it is ill",
            _set_tier(candidates[-1], 15),
        )


def _set_tier(member: Member, tier: int) -> str:
    return (
        f"aws rds modify-db-instance --db-instance-identifier {member.id} --promotion-tier {tier} "
        "--apply-immediately"
    )


def _sizes(patient: Patient) -> Iterator[Advice]:
    writer, readers = patient.topology.writer, patient.topology.readers
    if writer is None or not readers:
        return
    first = min(reader.promotion_tier for reader in readers)
    for reader in readers:
        if reader.promotion_tier != first:
            continue
        if reader.instance_class != writer.instance_class:
            yield advice(
                reader.id,
                f"it would be promoted and is {reader.instance_class}; the writer is "
                f"{writer.instance_class}",
                f"aws rds modify-db-instance --db-instance-identifier {reader.id} "
                f"--db-instance-class {writer.instance_class} --apply-immediately",
            )
        elif (
            reader.instance_class == SERVERLESS_CLASS
            and reader.promotion_tier not in _FOLLOWING_TIERS
        ):
            yield problem(
                reader.id,
                f"it would be promoted and is in tier {reader.promotion_tier}: its capacity follows "
                "its own load, not the writer's, so it may be small when it takes over",
                _set_tier(reader, 1),
            )


def _names(patient: Patient) -> Iterator[Advice]:
    for endpoint, ttl_s in patient.ttl_s.items():
        if ttl_s is None:
            yield problem(
                endpoint,
                "its name does not resolve from here",
                "look at this machine's resolver and at the network's DNS settings",
            )
        elif ttl_s > TTL_S_MAX:
            yield problem(
                endpoint,
                f"its answer may be kept for {ttl_s} s; Aurora's own says {TTL_S_MAX} s: somebody in "
                "between stretches it, and clients follow a failover as much later",
                "let clients ask the VPC's resolver directly, or shorten the cache's minimum TTL",
            )


def _idle_transactions(patient: Patient) -> Iterator[Advice]:
    value = patient.settings.get("idle_in_transaction_session_timeout")
    if value is not None and not 0 < int(value) <= _IDLE_MS_MAX:
        yield advice(
            patient.topology.cluster,
            f"idle_in_transaction_session_timeout is {value} ms: a client that vanished in a "
            "transaction keeps its locks for as long",
            "set it to 60000 in the DB cluster parameter group",
        )


def _keepalives(patient: Patient) -> Iterator[Advice]:
    value = patient.settings.get("tcp_keepalives_idle")
    if value is not None and int(value) > TTL_S_MAX * 60:
        yield advice(
            patient.topology.cluster,
            f"tcp_keepalives_idle is {value} s: the server notices a vanished client that late, and "
            "its connection counts until then",
            "set tcp_keepalives_idle to 60 in the DB cluster parameter group",
        )


def _pending(patient: Patient) -> Iterator[Advice]:
    topology = patient.topology
    waiting = {topology.cluster: topology.pending}
    waiting |= {member.id: member.pending for member in topology.members}
    for name, pending in waiting.items():
        if pending:
            yield advice(
                name,
                f"changes wait for a reboot or a window: {', '.join(map(str, pending))}; a failover "
                "may apply them in the middle of the game day",
                "apply them before, with --apply-immediately or a reboot",
            )


def _pausing(patient: Patient) -> Iterator[Advice]:
    capacity = patient.topology.capacity
    if capacity and capacity.min_acu == 0:
        yield advice(
            patient.topology.cluster,
            "its minimum is 0 ACU: idle instances pause, and the first connection waits about 15 s",
            "set a connect_timeout of 30 s or more in clients, or a minimum of 0.5 ACU",
        )


def _version(patient: Patient) -> Iterator[Advice]:
    topology = patient.topology
    found = _VERSION.match(topology.engine_version)
    if not topology.is_cluster or found is None:
        return
    major, minor = int(found[1]), int(found[2])
    if major < min(_READ_AVAILABILITY) or minor < _READ_AVAILABILITY.get(major, 0):
        yield advice(
            topology.cluster,
            f"{topology.engine} {topology.engine_version} restarts all readers with its writer",
            "upgrade to 12.14, 13.10, 14.7, 15.2 or later",
        )


def _cache(patient: Patient) -> Iterator[Advice]:
    if not patient.topology.is_cluster or not patient.topology.readers:
        return
    if patient.parameters.get("apg_ccm_enabled") not in {"1", "on", "true"}:
        yield advice(
            patient.topology.cluster,
            "cluster cache management is off: after a failover the new writer's cache is cold",
            "set apg_ccm_enabled = 1 and give one reader of the writer's class tier 0",
        )


TARGET_RULES: tuple[Rule[Patient], ...] = (
    Rule("readers", "at least two readers are there to take over and to read from", _readers),
    Rule("zones", "the members are in more than one Availability Zone", _zones),
    Rule("tiers", "the promotion tiers say which reader takes over", _tiers),
    Rule("sizes", "the reader that takes over is as large as the writer", _sizes),
    Rule("names", f"the endpoints' names resolve, with a TTL of at most {TTL_S_MAX} s", _names),
    Rule("idle-transactions", "transactions of vanished clients end within an hour", _idle_transactions),
    Rule("server-keepalives", "the server notices vanished clients within minutes", _keepalives),
    Rule("pending-changes", "no change waits for a reboot", _pending),
    Rule("pausing", "the instances do not pause", _pausing),
    Rule("read-availability", "readers survive a restart of the writer", _version),
    Rule("cache", "the new writer's cache is warm", _cache),
)  # fmt: skip
