"""Sampling every instance once a second, and publishing it under RDS's metric names and dimensions.

`catalogue` has the metrics, `subjects` the dimensions. What needs the engine is asked with one kept
session an instance, which is not counted; a stopped or silent server publishes what the machine alone
can tell, a paused one zeros, and none is woken. CommitLatency is not published: PostgreSQL does not
measure it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from chaos.clock import NS, MonotonicClock
from chaos.testcluster.metrics.answers import QUESTION, Answer
from chaos.testcluster.metrics.asking import Questioner
from chaos.testcluster.metrics.catalogue import METRICS, NAMESPACE
from chaos.testcluster.metrics.lag import Lags
from chaos.testcluster.metrics.store import KEPT_S, Sample, TooManyMetrics
from chaos.testcluster.metrics.subjects import Subject, WatchedEstate, subjects
from chaos.testcluster.metrics.telemetry import Telemetry
from chaos.testcluster.metrics.usage import Usage, usage
from chaos.testcluster.serverless.settings import class_acu

log = logging.getLogger(__name__)

INTERVAL_S = 1.0

_ANSWER_TIMEOUT_S = 0.5
_JOIN_TIMEOUT_S = 5.0
_ACU_BYTES = 2 * 2**30
_FORGET_EVERY = 600  # samples


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
        self._lags = Lags()
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
        present = subjects(self._estate)
        answers = self._ask(present)
        at_s = self._telemetry.now_s()
        lags = self._lags.samples(present, answers)
        for subject in present:
            samples = self._samples(subject, answers.get(subject.address), at_s)
            samples.update(lags.get(subject.address, {}))
            if samples:
                self._publish(subject, at_s, samples)
        known = {subject.address for subject in present}
        self._before = {key: before for key, before in self._before.items() if key in known}

    def _ask(self, present: Sequence[Subject]) -> dict[str, Answer]:
        """Return the answers of those that can be asked, by address."""
        askable, idle = {}, []
        for subject in present:
            if subject.place is None:
                continue
            if subject.is_paused or subject.is_stopped:
                idle.append(subject.place)  # Its session is kept, but nothing is sent.
            else:
                askable[subject.address] = subject.place
        rows = self._questioner.ask(askable, _ANSWER_TIMEOUT_S, keep=idle)
        return {address: Answer.of(row) for address, row in rows.items()}

    def _publish(self, subject: Subject, at_s: float, values: Mapping[str, float]) -> None:
        store = self._telemetry.monitoring(subject.region).metrics
        samples = {name: Sample(value, METRICS[name].unit) for name, value in values.items()}
        try:
            store.publish(NAMESPACE, subject.dimension_sets, at_s, samples)
        except TooManyMetrics as error:
            log.warning("metrics of %s are not kept: %s", subject.instance, error)

    def _samples(self, subject: Subject, answer: Answer | None, at_s: float) -> dict[str, float]:
        samples = _capacity(subject)
        if subject.is_paused:
            return {**samples, "CPUUtilization": 0.0, "DatabaseConnections": 0.0}
        used = usage(subject.pid) if subject.pid is not None else None
        if subject.pid is None or used is None:
            return {}
        before = self._before.get(subject.address)
        self._before[subject.address] = _Before(subject.pid, at_s, used, answer)
        samples["FreeableMemory"] = _freeable(subject, used)
        if before is not None and before.pid == subject.pid and at_s > before.at_s:
            cores = max(used.cpu_s - before.usage.cpu_s, 0.0) / (at_s - before.at_s)
            share = 100 * cores / (subject.cores or os.cpu_count() or 1)
            samples["CPUUtilization"] = min(share, 100.0)
        if answer is not None:
            same = before is not None and before.pid == subject.pid
            samples.update(_engine(subject, answer, before.answer if before and same else None))
        return samples


def _capacity(subject: Subject) -> dict[str, float]:
    if subject.max_acu is None or subject.capacity_acu is None:
        return {}
    capacity = 0.0 if subject.is_paused else subject.capacity_acu
    return {
        "ServerlessDatabaseCapacity": capacity,
        "ACUUtilization": 100 * capacity / subject.max_acu,
    }


def _freeable(subject: Subject, used: Usage) -> float:
    """Return the memory left of what the class has; of the machine's where the class is not known.

    For Serverless v2 AWS counts the memory of the maximum capacity, 2 GiB an ACU.
    """
    acu = subject.max_acu or class_acu(subject.instance_class)
    if acu is None:
        return float(psutil.virtual_memory().available)
    return max(acu * _ACU_BYTES - used.memory_bytes, 0.0)


def _engine(subject: Subject, now: Answer, before: Answer | None) -> dict[str, float]:
    samples = {
        "DatabaseConnections": now.connections,
        "DBLoad": now.busy,
        "DBLoadCPU": now.on_cpu,
        "DBLoadNonCPU": now.busy - now.on_cpu,
    }
    if subject.cluster is not None:
        samples["EngineUptime"] = now.uptime_s
        if before is not None and now.at_s > before.at_s:
            samples.update(_rates(subject, now, before))
    return samples


def _rates(subject: Subject, now: Answer, before: Answer) -> dict[str, float]:
    """Return what Aurora alone publishes of the work since the last sample."""
    passed_s = now.at_s - before.at_s
    deadlocks = max(now.deadlocks - before.deadlocks, 0)
    samples = {"Deadlocks": deadlocks / passed_s}
    if subject.is_writer:
        commits = max(now.commits - before.commits, 0)
        samples["CommitThroughput"] = commits / passed_s
    hits, reads = now.hits - before.hits, now.reads - before.reads
    if hits + reads > 0:
        samples["BufferCacheHitRatio"] = 100 * hits / (hits + reads)
    return samples
