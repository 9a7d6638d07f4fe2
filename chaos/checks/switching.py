"""How clients came from the old writer to the new one: what their names led to, where they landed.

Two witnesses tell what the cluster's name led to: the probes, which ask every 50 ms, and each arm's
own resolver, which is asked when the arm connects. An answer is *stale* if it led to the old writer
after the new one was the writer by SQL; a connection *landed* on the old writer if it was ready after
that and the old writer answered on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from chaos.checks.connections import connections_of
from chaos.checks.recording import Recording
from chaos.checks.scene import CLUSTER
from chaos.checks.switching_roles import Promotion, roles
from chaos.clock import NS
from chaos.model.connections import Connections, addresses
from chaos.model.record import Observation, resolved_subject

PROBES = "probes"
_read: WeakKeyDictionary[Recording, dict[str, dict[Any, list[Observation]]]] = WeakKeyDictionary()
STALE_TO_THE_END = "the last answer was stale"
_LISTED_MAX = 50


@dataclass(frozen=True, slots=True)
class Told:
    """An instant, within `uncertainty_s` before `at_s`, or the reason why there is none."""

    at_s: float | None
    uncertainty_s: float | None
    why: str = ""

    def blurred(self, error_ns: int) -> Told:
        """Return it as told by a clock that may be so wrong."""
        if self.at_s is None or self.uncertainty_s is None:
            return self
        error_s = error_ns / NS
        return Told(self.at_s + error_s, self.uncertainty_s + 2 * error_s, self.why)

    def as_json(self) -> dict[str, Any]:
        """Return it as `verdict.json` holds it."""
        fields: dict[str, Any] = {"at_s": self.at_s, "uncertainty_s": self.uncertainty_s}
        return {**fields, "why": self.why} if self.why else fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one witness was answered for the cluster's name around one promotion."""

    witness: str
    """An arm, or `PROBES`."""
    first_right: Told
    last_stale: Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """A connection that was opened on the old writer after the promotion."""

    backend_pid: int
    began_s: float
    opened_s: float
    closed_s: float | None
    """None: it was open when the recording ended."""


def switching(recording: Recording) -> list[dict[str, Any]]:
    """Return for each promotion what every witness was answered and who landed on the old writer."""
    return [_of_promotion(recording, promotion) for promotion in roles(recording).promotions]


def _of_promotion(recording: Recording, promotion: Promotion) -> dict[str, Any]:
    change, until_ns = promotion.change, _until(recording, promotion)
    landed = {}
    for arm in recording.arms:
        found = connections_of(recording, arm)
        if found is not None:
            landed[arm] = landings(recording, found, promotion)
    return {
        "old_writer": promotion.before,
        "new_writer": promotion.instance,
        "promoted": _told(recording, change.since_ns, change.at_ns).as_json(),
        "until": recording.seconds(until_ns),
        "answers": [
            {
                "witness": one.witness,
                "first_right": one.first_right.as_json(),
                "last_stale": one.last_stale.as_json(),
            }
            for one in answers(recording, promotion)
        ],
        "landed": [
            {
                "arm": arm,
                "count": len(found),
                "first": found[0].opened_s if found else None,
                "last": found[-1].opened_s if found else None,
                "left": sum(one.closed_s is None for one in found),
                "connections": [
                    {
                        "backend_pid": one.backend_pid,
                        "began": one.began_s,
                        "opened": one.opened_s,
                        "closed": one.closed_s,
                    }
                    for one in found[:_LISTED_MAX]
                ],
            }
            for arm, found in landed.items()
        ],
    }


def landings(recording: Recording, found: Connections, promotion: Promotion) -> list[Landing]:
    """Return the connections through the cluster endpoint that landed on the old writer, in order."""
    until_ns = _until(recording, promotion)
    rows = found.through(CLUSTER) & found.on(promotion.before)
    certain_ns = promotion.change.at_ns + found.log.clock_error_ns
    rows &= (found.opened >= certain_ns) & (found.opened < until_ns)
    return [
        Landing(
            backend_pid=int(found.opens["backend_pid"][row]),
            began_s=recording.seconds(int(found.began[row])),
            opened_s=recording.seconds(int(found.opened[row])),
            # When traffic is told to stop, whatever is left is closed.
            closed_s=None
            if found.closed[row] > recording.until_ns
            else recording.seconds(int(found.closed[row])),
        )
        for row in np.flatnonzero(rows)
    ]


def answers(recording: Recording, promotion: Promotion) -> Iterator[Answers]:
    """Yield what the probes and then each arm were answered; arms only that told of any answer."""
    heard = _heard(recording)
    book = addresses(recording.history)
    for witness in (PROBES, *recording.arms):
        told = [
            _answers(recording, promotion, each, book) for each in heard.get(witness, {}).values()
        ]
        if told:
            log = recording.history.arms.get(witness)
            error_ns = log.clock_error_ns if log else 0
            yield Answers(
                witness=witness,
                first_right=_earliest([first for first, _ in told]).blurred(error_ns),
                last_stale=_latest([last for _, last in told]).blurred(error_ns),
            )


def _heard(recording: Recording) -> dict[str, dict[Any, list[Observation]]]:
    """Return what each witness was answered: workers of one arm have a resolver each."""
    if recording not in _read:
        arms = {resolved_subject(arm, CLUSTER): arm for arm in recording.arms}
        found: dict[str, dict[Any, list[Observation]]] = {}
        for seen in recording.history.observations:
            witness = arms.get(seen.subject, "") if seen.kind == "resolved" else ""
            if (seen.kind, seen.subject) == ("dns", CLUSTER):
                witness = PROBES
            if witness:
                workers = found.setdefault(witness, {})
                process = (seen.detail.get("worker"), seen.detail.get("process"))
                workers.setdefault(process, []).append(seen)
        _read[recording] = found
    return _read[recording]


def _answers(
    recording: Recording,
    promotion: Promotion,
    heard: Sequence[Observation],
    book: Mapping[str, str],
) -> tuple[Told, Told]:
    """Return the first right answer and the last stale one between a promotion and the next one."""
    old, new, change = promotion.before, promotion.instance, promotion.change
    until_ns = _until(recording, promotion)
    heard = [o for o in heard if o.at_ns < until_ns]
    led_to = [_led_to(o.value, book) for o in heard]
    right = [n for n, o in enumerate(heard) if new in led_to[n] and o.at_ns >= change.since_ns]
    first = Told(None, None, "no answer led there")
    if right:
        first = _changed(recording, promotion, heard[right[0]])
    elif heard and new in led_to[-1]:
        first = Told(None, None, "it was right before the promotion")
    # An answer holds until the one that differs, which tells when it was last heard.
    last_heard = [o.since_ns or o.at_ns for o in heard[1:]]
    stale = [n for n, at_ns in enumerate(last_heard) if old in led_to[n] and at_ns >= change.at_ns]
    last = Told(None, None, "none was heard")
    if heard and old in led_to[-1]:
        last = Told(None, None, STALE_TO_THE_END)
    elif stale:
        last = _changed(recording, promotion, heard[stale[-1] + 1])
    return first, last


def _earliest(told: Sequence[Told]) -> Told:
    known = [one for one in told if one.at_s is not None]
    return min(known, key=lambda one: one.at_s or 0.0) if known else told[0]


def _latest(told: Sequence[Told]) -> Told:
    endless = [one for one in told if one.why == STALE_TO_THE_END]
    known = [one for one in told if one.at_s is not None]
    return next(iter(endless), max(known, key=lambda one: one.at_s or 0.0) if known else told[0])


def _led_to(value: str, book: Mapping[str, str]) -> frozenset[str]:
    """Return the instances that an answer led to; addresses that nobody knows stay as they are."""
    return frozenset(book.get(part, part) for part in value.split(","))


def _changed(recording: Recording, promotion: Promotion, seen: Observation) -> Told:
    since_ns = promotion.change.since_ns if seen.since_ns is None else seen.since_ns
    return _told(recording, since_ns, seen.at_ns)


def _told(recording: Recording, since_ns: int, at_ns: int) -> Told:
    return Told(recording.seconds(at_ns), (at_ns - since_ns) / NS)


def _until(recording: Recording, promotion: Promotion) -> int:
    """Return when the next promotion was seen, else the end of the recording."""
    later = (p.change.since_ns for p in roles(recording).promotions)
    return min(
        (since_ns for since_ns in later if since_ns > promotion.change.since_ns),
        default=recording.until_ns,
    )
