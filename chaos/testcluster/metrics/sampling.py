"""Sampling every instance once a second, and publishing it under RDS's metric names and dimensions.

Names, units and dimensions: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/
"Amazon CloudWatch metrics for Amazon Aurora". What needs the engine is asked with one kept session an
instance, which is not counted; a stopped or silent server publishes what the machine alone can tell, a
paused one zeros, and none is woken. CommitLatency is not published: PostgreSQL does not measure it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import psutil

from chaos.clock import NS, MonotonicClock
from chaos.testcluster.configuration import CONTROL_ROLE
from chaos.testcluster.core import Core
from chaos.testcluster.metrics.asking import Place, Questioner, Row
from chaos.testcluster.metrics.lag import WriterTrack
from chaos.testcluster.metrics.store import KEPT_S, Dimensions, Sample, TooManyMetrics
from chaos.testcluster.metrics.telemetry import Telemetry
from chaos.testcluster.metrics.usage import Usage, usage
from chaos.testcluster.serverless.settings import SERVERLESS_CLASS, class_acu

log = logging.getLogger(__name__)

NAMESPACE = "AWS/RDS"
INTERVAL_S = 1.0
ENGINE = "aurora-postgresql"

_ANSWER_TIMEOUT_S = 0.5
_JOIN_TIMEOUT_S = 5.0
_ACU_BYTES = 2 * 2**30
_FORGET_EVERY = 600  # samples

# Connections and active sessions are clients' alone; transactions are all, the service's own too.
QUESTION = f"""
SELECT extract(epoch FROM clock_timestamp()),
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
             ELSE pg_current_wal_lsn() END) - '0/0'::pg_lsn,
       extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()),
       sessions.connected, sessions.busy, sessions.on_cpu,
       work.commits, work.deadlocks, work.hits, work.reads
FROM (SELECT count(*) AS connected,
             count(*) FILTER (WHERE state = 'active') AS busy,
             count(*) FILTER (WHERE state = 'active' AND wait_event IS NULL) AS on_cpu
      FROM pg_stat_activity
      WHERE backend_type = 'client backend' AND usename IS DISTINCT FROM '{CONTROL_ROLE}') AS sessions,
     (SELECT sum(xact_commit) AS commits, sum(deadlocks) AS deadlocks,
             sum(blks_hit) AS hits, sum(blks_read) AS reads FROM pg_stat_database) AS work
"""  # noqa: S608 - made of constants


class WatchedCluster(Protocol):
    """A cluster whose instances are sampled."""

    @property
    def core(self) -> Core:
        """Its state."""


class WatchedEstate(Protocol):
    """Whatever has clusters."""

    def clusters(self) -> Sequence[WatchedCluster]:
        """Return them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One instance at the moment of a sample."""

    region: str
    cluster: str
    instance: str
    instance_class: str
    is_writer: bool
    pid: int | None
    is_paused: bool
    is_stopped: bool
    place: Place | None
    capacity_acu: float | None
    max_acu: float | None

    @property
    def key(self) -> str:
        """Return what tells it from all others, in all Regions."""
        return f"{self.region}/{self.cluster}/{self.instance}"

    @property
    def dimension_sets(self) -> tuple[Dimensions, ...]:
        """Return the sets of dimensions that its samples are published with."""
        cluster = ("DBClusterIdentifier", self.cluster)
        return (
            (("DBInstanceIdentifier", self.instance),),
            (cluster,),
            (cluster, ("Role", "WRITER" if self.is_writer else "READER")),
            (cluster, ("EngineName", ENGINE)),
            (("DatabaseClass", self.instance_class),),
            (("EngineName", ENGINE),),
            (),
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What an instance said of itself; counters are since its start."""

    at_s: float
    lsn: int
    uptime_s: float
    connections: float
    busy: float
    on_cpu: float
    commits: float
    deadlocks: float
    hits: float
    reads: float

    @classmethod
    def of(cls, row: Row) -> Answer:
        """Read a row of `QUESTION`."""
        numbers = [float(value or 0) for value in row]
        return cls(numbers[0], int(row[1] or 0), *numbers[2:])


@dataclass(frozen=True, slots=True)
class _Before:
    """The last sample of a server, for what is told per second."""

    pid: int
    at_s: float
    usage: Usage
    answer: Answer | None


class Sampler:
    """Samples an estate's instances, and has its alarms evaluated: by itself once it is started.

    Args:
        estate: whose instances.
        telemetry: where to publish.
    """

    def __init__(self, estate: WatchedEstate, telemetry: Telemetry) -> None:
        self._estate = estate
        self._telemetry = telemetry
        self._questioner = Questioner(QUESTION)
        self._before: dict[str, _Before] = {}
        self._tracks: dict[str, WriterTrack] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to sample once a second, in a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """Stop sampling and end all sessions; bounded."""
        self._closing.set()
        if self._thread.ident is None:
            self._questioner.close()
        else:
            self._thread.join(_JOIN_TIMEOUT_S)

    def _run(self) -> None:
        clock, number = MonotonicClock(), 0
        due = clock.now_ns()
        while not self._closing.wait(max(due - clock.now_ns(), 0) / NS):
            # A round that took too long is left out, not made up for.
            due = max(due + int(INTERVAL_S * NS), clock.now_ns())
            number += 1
            try:
                self.sample()
                self._telemetry.evaluate_alarms()
                if number % _FORGET_EVERY == 0:
                    self._telemetry.forget(self._telemetry.now_s() - KEPT_S)
            except Exception:
                # The next round may well succeed, and metrics must not end with one.
                log.exception("a round of metrics failed")
        self._questioner.close()

    def sample(self) -> None:
        """Take one sample of every instance; not while the thread runs."""
        subjects = [s for c in self._estate.clusters() for s in _subjects(c.core)]
        askable = {
            s.key: s.place
            for s in subjects
            if s.place is not None and not s.is_paused and not s.is_stopped
        }
        # Sessions with the others are kept, but nothing is sent to those.
        answers = self._ask(askable, subjects)
        at_s = self._telemetry.now_s()
        lags = self._lags(subjects, answers)
        for subject in subjects:
            samples = self._samples(subject, answers.get(subject.key), at_s)
            samples.update(lags.get(subject.key, {}))
            if samples:
                self._publish(subject, at_s, samples)
        known = {subject.key for subject in subjects}
        self._before = {key: before for key, before in self._before.items() if key in known}

    def _ask(self, askable: dict[str, Place], subjects: Iterable[Subject]) -> dict[str, Answer]:
        idle = {s.place for s in subjects if s.place is not None and s.key not in askable}
        rows = self._questioner.ask(askable, _ANSWER_TIMEOUT_S, keep=idle)
        return {key: Answer.of(row) for key, row in rows.items()}

    def _publish(self, subject: Subject, at_s: float, samples: dict[str, Sample]) -> None:
        store = self._telemetry.monitoring(subject.region).metrics
        try:
            store.publish(NAMESPACE, subject.dimension_sets, at_s, samples)
        except TooManyMetrics as error:
            log.warning("metrics of %s are not kept: %s", subject.key, error)

    def _samples(self, subject: Subject, answer: Answer | None, at_s: float) -> dict[str, Sample]:
        samples = _capacity(subject)
        if subject.is_paused:
            for name, unit in (("CPUUtilization", "Percent"), ("DatabaseConnections", "Count")):
                samples[name] = Sample(0.0, unit)
            return samples
        used = usage(subject.pid) if subject.pid is not None else None
        if subject.pid is None or used is None:
            return {}
        before = self._before.get(subject.key)
        self._before[subject.key] = _Before(subject.pid, at_s, used, answer)
        samples["FreeableMemory"] = Sample(_freeable(subject, used), "Bytes")
        if before is not None and before.pid == subject.pid and at_s > before.at_s:
            cores = max(used.cpu_s - before.usage.cpu_s, 0.0) / (at_s - before.at_s)
            share = 100 * cores / (os.cpu_count() or 1)
            samples["CPUUtilization"] = Sample(min(share, 100.0), "Percent")
        if answer is not None:
            same = before is not None and before.pid == subject.pid
            samples.update(_engine(subject, answer, before.answer if before and same else None))
        return samples

    def _lags(
        self, subjects: Sequence[Subject], answers: dict[str, Answer]
    ) -> dict[str, dict[str, Sample]]:
        """Return the samples about lag, by instance: each reader's, and the writer's of them all."""
        samples: dict[str, dict[str, Sample]] = {}
        tracks: dict[str, WriterTrack] = {}
        for writer in (s for s in subjects if s.is_writer):
            track = tracks[writer.key] = self._tracks.get(writer.key) or WriterTrack()
            written = answers.get(writer.key)
            if written is None:
                continue
            track.note(written.at_s, written.lsn)
            lags = []
            for reader in subjects:
                answer = answers.get(reader.key)
                mates = (reader.region, reader.cluster) == (writer.region, writer.cluster)
                if mates and not reader.is_writer and answer is not None:
                    lag = 1000 * track.lag_s(answer.at_s, answer.lsn)
                    lags.append(lag)
                    samples[reader.key] = {"AuroraReplicaLag": Sample(lag, "Milliseconds")}
            if lags:
                samples[writer.key] = {
                    "AuroraReplicaLagMaximum": Sample(max(lags), "Milliseconds"),
                    "AuroraReplicaLagMinimum": Sample(min(lags), "Milliseconds"),
                }
        self._tracks = tracks
        return samples


def _subjects(core: Core) -> list[Subject]:
    with core.lock:
        found = []
        for member in core.members.values():
            node = member.node
            pid = node.pid
            serverless = member.spec.instance_class == SERVERLESS_CLASS
            found.append(
                Subject(
                    region=core.spec.region,
                    cluster=core.spec.id,
                    instance=member.id,
                    instance_class=member.spec.instance_class,
                    is_writer=member.id == core.writer,
                    pid=pid,
                    is_paused=member.paused,
                    is_stopped=node.freezer.frozen,
                    place=None if pid is None else _place(core, node.address, pid),
                    capacity_acu=member.capacity_acu,
                    max_acu=core.bounds.max_acu if core.bounds and serverless else None,
                )
            )
        return found


def _place(core: Core, address: str, pid: int) -> Place:
    foundation = core.foundation
    return Place(
        address=address,
        port=foundation.port,
        user=CONTROL_ROLE,
        password=foundation.template.control_password,
        pid=pid,
    )


def _capacity(subject: Subject) -> dict[str, Sample]:
    if subject.max_acu is None or subject.capacity_acu is None:
        return {}
    capacity = 0.0 if subject.is_paused else subject.capacity_acu
    return {
        "ServerlessDatabaseCapacity": Sample(capacity, "Count"),
        "ACUUtilization": Sample(100 * capacity / subject.max_acu, "Percent"),
    }


def _freeable(subject: Subject, used: Usage) -> float:
    """Return the memory left of what the class has; of the machine's where the class is not known.

    For Serverless v2 AWS counts the memory of the maximum capacity, 2 GiB an ACU.
    """
    acu = subject.max_acu or class_acu(subject.instance_class)
    if acu is None:
        return float(psutil.virtual_memory().available)
    return max(acu * _ACU_BYTES - used.memory_bytes, 0.0)


def _engine(subject: Subject, now: Answer, before: Answer | None) -> dict[str, Sample]:
    samples = {
        "DatabaseConnections": Sample(now.connections, "Count"),
        "EngineUptime": Sample(now.uptime_s, "Seconds"),
        "DBLoad": Sample(now.busy, "None"),
        "DBLoadCPU": Sample(now.on_cpu, "None"),
        "DBLoadNonCPU": Sample(now.busy - now.on_cpu, "None"),
    }
    if before is None or now.at_s <= before.at_s:
        return samples
    passed_s = now.at_s - before.at_s
    samples["Deadlocks"] = Sample(
        max(now.deadlocks - before.deadlocks, 0) / passed_s, "Count/Second"
    )
    if subject.is_writer:
        commits = max(now.commits - before.commits, 0)
        samples["CommitThroughput"] = Sample(commits / passed_s, "Count/Second")
    hits, reads = now.hits - before.hits, now.reads - before.reads
    if hits + reads > 0:
        samples["BufferCacheHitRatio"] = Sample(100 * hits / (hits + reads), "Percent")
    return samples
