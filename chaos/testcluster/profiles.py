"""How long the modelled steps take: named profiles of delay ranges, drawn reproducibly.

PostgreSQL itself fails over in a tenth of a second, so the control plane adds delays. They are a model:
no figure that comes from them is AWS's. `fast` keeps tests short; `aurora` follows what AWS documents
and what was published (failover typically under 60 s, often under 30 s; the endpoint's DNS follows
within 30 s: https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/ , "Fast failover"). Creation,
deletion, stopping and starting are shortened in both, since nobody waits ten minutes for a model.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from chaos.errors import DefinitionError
from chaos.testcluster.records import ClusterSpec


class Range(NamedTuple):
    """Seconds, drawn uniformly between the two."""

    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The modelled durations of one kind of cluster."""

    name: str
    detect: Range  # an instance's death -> the control plane acts on it
    shutdown: Range  # an accepted request -> the instance goes down
    promote: Range  # the old writer is down -> the new one is promoted
    api_lag: Range  # promotion -> DescribeDBClusters shows it
    dns_lag: Range  # promotion -> the cluster endpoint's name answers it
    rejoin: Range  # promotion -> the old writer starts again, as a reader
    reboot: Range  # down -> starts again
    create: Range  # accepted -> its data are there
    delete: Range  # accepted -> gone
    modify: Range  # accepted -> new bounds are in force
    capacity_step: Range  # from one step of capacity to the next
    pause: Range  # an idle instance's pause is initiated -> it is paused
    resume: Range  # a connection waits -> the paused instance serves it
    resume_deep: Range  # the same, after more than a day
    load_window_s: float  # over which load is averaged for scaling
    capacity_hold_s: float  # less has to be wanted for so long, longer than an outage, to fall
    idle_time_scale: float  # how long a second of SecondsUntilAutoPause, or of the day above, takes
    cores_per_acu: float  # of this machine; AWS's classes have 2 GiB of an ACU for 1/4 vCPU
    probe_interval_s: float  # between two rounds of probing every instance
    probe_timeout_s: float  # within which an instance answers a probe
    stop: Range  # accepted -> the servers go down
    start: Range  # accepted -> the servers start
    cluster_ttl_s: int
    reader_ttl_s: int
    instance_ttl_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """The modelled durations of one operation, in seconds; see `Profile`."""

    detect: float
    shutdown: float
    promote: float
    api_lag: float
    dns_lag: float
    rejoin: float
    reboot: float
    create: float
    delete: float
    modify: float
    capacity_step: float
    pause: float
    resume: float
    resume_deep: float
    stop: float
    start: float


FAST = Profile(
    name="fast",
    detect=Range(0.05, 0.15),
    shutdown=Range(0.05, 0.10),
    promote=Range(0.25, 0.50),
    api_lag=Range(0.10, 0.25),
    dns_lag=Range(1.20, 1.80),
    rejoin=Range(0.10, 0.25),
    reboot=Range(0.30, 0.60),
    create=Range(0.20, 0.40),
    delete=Range(0.10, 0.20),
    modify=Range(0.10, 0.20),
    capacity_step=Range(0.05, 0.08),
    pause=Range(0.10, 0.20),
    resume=Range(0.8, 1.2),
    resume_deep=Range(2.0, 3.0),
    load_window_s=0.3,
    capacity_hold_s=5.0,
    idle_time_scale=0.01,
    cores_per_acu=0.25,
    probe_interval_s=0.5,
    probe_timeout_s=0.5,
    stop=Range(0.10, 0.20),
    start=Range(0.10, 0.20),
    cluster_ttl_s=1,
    reader_ttl_s=1,
    instance_ttl_s=5,
)

AURORA = Profile(
    name="aurora",
    detect=Range(2.0, 5.0),
    shutdown=Range(0.5, 1.5),
    promote=Range(4.0, 10.0),
    api_lag=Range(1.0, 4.0),
    dns_lag=Range(5.0, 25.0),
    rejoin=Range(4.0, 10.0),
    reboot=Range(5.0, 15.0),
    create=Range(60.0, 120.0),
    delete=Range(20.0, 60.0),
    modify=Range(2.0, 8.0),
    capacity_step=Range(1.0, 3.0),
    pause=Range(1.0, 3.0),
    resume=Range(12.0, 18.0),
    resume_deep=Range(30.0, 45.0),
    load_window_s=2.0,
    capacity_hold_s=30.0,
    idle_time_scale=1.0,
    cores_per_acu=0.25,
    probe_interval_s=1.0,
    probe_timeout_s=2.0,
    stop=Range(20.0, 60.0),
    start=Range(20.0, 60.0),
    cluster_ttl_s=5,
    reader_ttl_s=1,
    instance_ttl_s=5,
)

PROFILES = {profile.name: profile for profile in (FAST, AURORA)}


def profile_named(name: str) -> Profile:
    """Return the profile of that name.

    Raises:
        DefinitionError: there is none.
    """
    try:
        return PROFILES[name]
    except KeyError:
        raise DefinitionError(
            f"no profile {name!r}; allowed are {', '.join(sorted(PROFILES))}"
        ) from None


def profile_of(spec: ClusterSpec) -> Profile:
    """Return the profile that a cluster asks for, with what it sets otherwise.

    Raises:
        DefinitionError: there is no profile of that name.
    """
    profile = profile_named(spec.profile)
    set_ttls = {
        name: ttl_s
        for name in ("cluster_ttl_s", "reader_ttl_s", "instance_ttl_s")
        if (ttl_s := getattr(spec, name)) is not None
    }
    profile = replace(profile, **set_ttls)
    if spec.dns_flip_s is None:
        return profile
    return replace(profile, dns_lag=Range(spec.dns_flip_s, spec.dns_flip_s))


class Pacer:
    """Draws the delays of operations, so that the k-th of a kind is the same whenever it happens.

    Each draw has a generator of its own, seeded by (seed, kind, k): neither the order in which
    threads run nor operations of another kind change it.
    """

    def __init__(self, profile: Profile, seed: int) -> None:
        self.profile = profile
        self._seed = seed
        self._drawn: Counter[str] = Counter()
        self._fixed: list[tuple[str, float]] = []
        self._lock = threading.Lock()

    def next(self, kind: str) -> Delays:
        """Return the delays of the next operation of this kind."""
        with self._lock:
            self._drawn[kind] += 1
            number = self._drawn[kind]
        return self.delays(kind, number)

    def delays(self, kind: str, number: int) -> Delays:
        """Return the delays of the `number`-th operation of this kind."""
        rng = self.generator(kind, number)
        drawn = {f.name: rng.uniform(*getattr(self.profile, f.name)) for f in fields(Delays)}
        with self._lock:
            return Delays(**drawn | dict(self._fixed))

    def fix(self, delay: str, duration_s: float) -> Callable[[], None]:
        """Let one of `Delays` last so long in operations that begin from now on.

        Return what ends it; of several the one fixed last counts.
        """
        entry = (delay, duration_s)
        with self._lock:
            self._fixed.append(entry)

        def end() -> None:
            with self._lock:
                self._fixed = [other for other in self._fixed if other is not entry]

        return end

    def generator(self, kind: str, number: int) -> random.Random:
        """Return the generator of the `number`-th operation of this kind."""
        return random.Random(f"{self._seed}/{kind}/{number}")
