"""How a name server misbehaves: rules between the zone and an answer, without sockets or waiting.

    the zone --rewrite, rule by rule--> the zone that one query sees --alias chain--> names
    each name of the chain --fate, rule by rule--> what becomes of the answer

A rule rewrites the zone (stale, flapping, another TTL, the writer behind a reader endpoint) or decides
the fate of names (no data, an error, late, never). An answer bears its whole alias chain, so it meets
the fates of all names in it, as a resolver would that asks for link after link. Rules apply in the order
in which they were added. A change of the zone is noticed at the next query, whatever that asks for.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from chaos.clock import NS, Clock
from chaos.testcluster.records import Address, Alias

Record = Alias | Address
Zone = Mapping[str, Record]


class Failure(StrEnum):
    """What a name is answered with instead of its record."""

    NODATA = "NODATA"  # the name exists and has no record: NOERROR without an answer
    NXDOMAIN = "NXDOMAIN"
    SERVFAIL = "SERVFAIL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of an answer because of one name in it; the default is nothing."""

    failure: Failure | None = None
    delay_s: float = 0.0
    is_dropped: bool = False
    is_truncated: bool = False
    """By UDP the answer is empty and says that it was cut, so that the client asks by TCP."""

    def joined(self, other: Fate) -> Fate:
        """Return both: the longer delay, and the failure of whoever comes first."""
        return Fate(
            failure=self.failure or other.failure,
            delay_s=max(self.delay_s, other.delay_s),
            is_dropped=self.is_dropped or other.is_dropped,
            is_truncated=self.is_truncated or other.is_truncated,
        )


FINE = Fate()


class Rule:
    """One misbehaviour; this one is none.

    Args:
        names: which names it concerns, in lower case without the last dot; None for all.
        probability: the share of queries that meet it, 0 to 1.
    """

    def __init__(self, names: Collection[str] | None = None, *, probability: float = 1.0) -> None:
        self._names = None if names is None else frozenset(names)
        self.probability = probability

    def concerns(self, name: str) -> bool:
        """Tell whether a name is one of its names."""
        return self._names is None or name in self._names

    def notice(self, zone: Zone, now_ns: int) -> None:
        """See the zone at a query, before anything rewrites it."""

    def rewrite(self, zone: Zone, now_ns: int) -> Zone:  # noqa: ARG002 - others depend on time
        """Return the zone as a query sees it now."""
        return zone

    def fate(self, name: str) -> Fate:  # noqa: ARG002 - others depend on the name
        """Return what becomes of an answer with this name in it."""
        return FINE


class Outcome(Rule):
    """Answers with these names meet one fate."""

    def __init__(
        self, fate: Fate, names: Collection[str] | None = None, *, probability: float = 1.0
    ) -> None:
        super().__init__(names, probability=probability)
        self._fate = fate

    def fate(self, name: str) -> Fate:
        """Return that fate."""
        return self._fate if self.concerns(name) else FINE


class Stale(Rule):
    """Names are answered as they were in `past`; one that it lacks does not exist."""

    def __init__(
        self, past: Zone, names: Collection[str] | None = None, *, probability: float = 1.0
    ) -> None:
        super().__init__(names, probability=probability)
        self._past = {name: record for name, record in past.items() if self.concerns(name)}

    def rewrite(self, zone: Zone, now_ns: int) -> Zone:  # noqa: ARG002 - the past does not move
        """Return the zone with the past records of these names."""
        return {n: r for n, r in zone.items() if not self.concerns(n)} | self._past


class Ttl(Rule):
    """Names are answered with another time to live."""

    def __init__(self, ttl_s: int, names: Collection[str] | None = None) -> None:
        super().__init__(names)
        self._ttl_s = ttl_s

    def rewrite(self, zone: Zone, now_ns: int) -> Zone:  # noqa: ARG002 - the same all the time
        """Return the zone with that TTL on these names."""
        return {
            n: replace(r, ttl_s=self._ttl_s) if self.concerns(n) else r for n, r in zone.items()
        }


class _Changes:
    """Notices when records change, and remembers what they were before."""

    def __init__(self, zone: Zone) -> None:
        self._zone = dict(zone)
        self.before: dict[str, tuple[Record | None, int]] = {}
        """The record before its last change (None: there was none), and when that was noticed."""

    def notice(self, zone: Zone, now_ns: int) -> None:
        for name in self._zone.keys() | zone.keys():
            if self._zone.get(name) != zone.get(name):
                self.before[name] = (self._zone.get(name), now_ns)
        self._zone = dict(zone)


class Flap(Rule):
    """After each change a name is answered new, old, new, old... and in the end new for good.

    Args:
        zone: the zone now; changes count from it.
        period_s: how long each of the answers stands, from the first query after the change.
        times: how often the old answer comes back.
        names: as for every rule.
    """

    def __init__(
        self, zone: Zone, *, period_s: float, times: int, names: Collection[str] | None = None
    ) -> None:
        super().__init__(names)
        self._changes = _Changes(zone)
        self._period_ns = int(period_s * NS)
        self._times = times

    def notice(self, zone: Zone, now_ns: int) -> None:
        """Notice changes."""
        self._changes.notice(zone, now_ns)

    def rewrite(self, zone: Zone, now_ns: int) -> Zone:
        """Return the zone with the old records of the names whose turn that is."""
        seen = dict(zone)
        for name, (old, since_ns) in self._changes.before.items():
            turn = (now_ns - since_ns) // self._period_ns
            if not self.concerns(name) or turn % 2 == 0 or turn >= 2 * self._times:
                continue
            if old is None:
                seen.pop(name, None)
            else:
                seen[name] = old
        return seen


class WriterBehindReaders(Rule):
    """A reader endpoint hands out the writer, too.

    "During a failover, the reader endpoint might direct connections to the new primary DB instance
    for a short time": https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/ , "Reader
    endpoints for Amazon Aurora".

    Args:
        zone: the zone now; flips count from it.
        endpoints: the cluster endpoint of each reader endpoint concerned.
        after_flip_s: only so long after each flip of the cluster endpoint; None is always.
        only: the writer instead of the readers, not beside them.
    """

    def __init__(
        self,
        zone: Zone,
        endpoints: Mapping[str, str],
        *,
        after_flip_s: float | None = None,
        only: bool = False,
    ) -> None:
        super().__init__(endpoints)
        self._endpoints = dict(endpoints)
        self._changes = _Changes(zone)
        self._after_flip_ns = None if after_flip_s is None else int(after_flip_s * NS)
        self._only = only

    def notice(self, zone: Zone, now_ns: int) -> None:
        """Notice flips."""
        self._changes.notice(zone, now_ns)

    def rewrite(self, zone: Zone, now_ns: int) -> Zone:
        """Return the zone with the writers behind the reader endpoints whose turn that is."""
        seen = dict(zone)
        for reader, cluster in self._endpoints.items():
            readers, writers = zone.get(reader), zone.get(cluster)
            if not isinstance(readers, Alias) or not isinstance(writers, Alias):
                continue
            if self._after_flip_ns is not None:
                _, flipped_ns = self._changes.before.get(cluster, (None, None))
                if flipped_ns is None or now_ns - flipped_ns >= self._after_flip_ns:
                    continue
            kept = () if self._only else readers.targets
            targets = tuple(dict.fromkeys((*kept, *writers.targets)))
            seen[reader] = replace(readers, targets=targets)
        return seen


class Scene:
    """What one query meets: the zone as it sees it, and the fate of each name."""

    def __init__(self, zone: Zone, rules: Iterable[Rule] = ()) -> None:
        self.zone = zone
        self._rules = tuple(rules)

    def fate(self, name: str) -> Fate:
        """Return what becomes of an answer with this name in it."""
        fate = FINE
        for rule in self._rules:
            fate = fate.joined(rule.fate(name))
        return fate


class Behaviour:
    """The rules in force; safe to change while queries are answered.

    Args:
        clock: measures how long ago a name flipped.
        seed: decides which queries meet a rule that not all meet.
    """

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._chance = random.Random(f"{seed}/dns behaviour")
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> Callable[[], None]:
        """Put a rule in force and return what ends it; ending it twice does no harm."""
        with self._lock:
            self._rules.append(rule)

        def end() -> None:
            with self._lock:
                self._rules = [other for other in self._rules if other is not rule]

        return end

    def scene(self, zone: Zone) -> Scene:
        """Return what one query meets of a zone."""
        if not self._rules:
            return Scene(zone)
        now_ns = self._clock.now_ns()
        with self._lock:
            for rule in self._rules:
                rule.notice(zone, now_ns)
            met = [r for r in self._rules if self._chance.random() < r.probability]
            for rule in met:
                zone = rule.rewrite(zone, now_ns)
        return Scene(zone, met)
