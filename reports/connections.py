"""Where connections really were, as rows: poisoned pools, stale names, landings, readers.

Everything is read from `verdict.json`; a run that was judged by an older version lacks it, and the
section says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.read import Report
from reports.words import MISSING, count, duration, uncertainty


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRow:
    """One arm's pool after one failover."""

    arm: str
    instances: str
    pinned: str
    share: str
    measured: str
    uncertainty: str
    from_: str
    to: str
    refused: str
    left: str
    alarm: bool
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRow:
    """One witness of one promotion: what it was answered, and what landed on the old writer."""

    witness: str
    right: str
    right_uncertainty: str
    stale: str
    stale_uncertainty: str
    landed: str
    first: str
    last: str
    left: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One promotion."""

    title: str
    promoted: str
    rows: tuple[SwitchRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatRow:
    """One arm's connections through one endpoint on one instance; without one, those that failed."""

    arm: str
    endpoint: str
    instance: str
    opened: str
    first_of_arm: bool
    roles: str = ""
    """What its instance was when they were opened, and is now."""
    left: str = ""
    most: str = ""
    oldest: str = ""
    served: str = ""
    failed: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderRow:
    """One arm's reads by instance, before the first fault and after the last."""

    arm: str
    instance: str
    before: str
    after: str
    connections: str
    skew: str
    served_again: str
    first_of_arm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The whole section; `told` is false where the verdict holds nothing of it."""

    told: bool
    pools: tuple[PoolRow, ...]
    remedies: tuple[tuple[str, tuple[str, ...]], ...]
    """(arms, remedy in pieces, every second of which is code) of every pool that did not let go."""
    switches: tuple[Switch, ...]
    seats: tuple[SeatRow, ...]
    readers: tuple[ReaderRow, ...]
    doubts: tuple[str, ...]
    """Why the readers' shares show nothing, where they do not."""


def section(report: Report) -> Section:
    """Return the section of a judged run."""
    told = report.judgement.told
    pools = tuple(_pool(report, one) for one in told.get("poisoned") or ())
    readers = told.get("skew") or ()
    return Section(
        told=any(told.get(key) for key in ("connections", "poisoned", "switching", "skew")),
        pools=pools,
        remedies=tuple(_remedies(pools)),
        switches=tuple(_switch(report, one) for one in told.get("switching") or ()),
        seats=tuple(_seats(report, told.get("connections") or ())),
        readers=tuple(row for one in readers for row in _readers(report, one)),
        doubts=tuple(f"{one['arm']}: {one['doubt']}" for one in readers if one["doubt"]),
    )


def _pool(report: Report, one: Mapping[str, Any]) -> PoolRow:
    ever, left = one["pinned"] > 0, one["remaining"]
    measured = duration(one["measured"]) if ever else "not at all"
    refused = f"{count(one['refused'])}, {count(one['failed'])} for good" if one["refused"] else "0"
    if one.get("unplaced"):  # not told by older versions
        refused += f"; {count(one['unplaced'])} elsewhere"
    return PoolRow(
        arm=one["arm"],
        instances=", ".join(report.short(i) for i in one["instances"]),
        pinned=count(one["pinned"]),
        share=f"{one['share_max']:.0%}",
        measured=measured,
        uncertainty=uncertainty(one["uncertainty_s"]) if ever else MISSING,
        from_=report.at(one["from"]),
        to=report.at(one["to"], "the end" if left else MISSING),
        refused=refused,
        left=f"{count(left)}, {count(one['unused'])} unused" if one["unused"] else count(left),
        alarm=left > 0,
        remedy=one["remedy"] if left else "",
    )


def _remedies(pools: Sequence[PoolRow]) -> Iterator[tuple[str, tuple[str, ...]]]:
    arms: dict[str, list[str]] = {}
    for pool in pools:
        if pool.remedy and pool.arm not in arms.get(pool.remedy, ()):
            arms.setdefault(pool.remedy, []).append(pool.arm)
    for remedy, names in arms.items():
        yield ", ".join(names), tuple(remedy.split("`"))


def _switch(report: Report, one: Mapping[str, Any]) -> Switch:
    answers = {answer["witness"]: answer for answer in one["answers"]}
    landed = {landing["arm"]: landing for landing in one["landed"]}
    witnesses = dict.fromkeys((*answers, *landed))
    old, new = report.short(one["old_writer"]), report.short(one["new_writer"])
    promoted = one["promoted"]
    within = duration(promoted["uncertainty_s"])
    return Switch(
        title=f"From {old} to {new}",
        promoted=f"{report.at(promoted['at_s'])} or up to {within} earlier",
        rows=tuple(
            _switch_row(report, witness, answers.get(witness), landed.get(witness))
            for witness in witnesses
        ),
    )


def _switch_row(
    report: Report,
    witness: str,
    answer: Mapping[str, Any] | None,
    landing: Mapping[str, Any] | None,
) -> SwitchRow:
    unheard: Mapping[str, Any] = {"at_s": None, "why": "not heard"}
    right = answer["first_right"] if answer else unheard
    stale = answer["last_stale"] if answer else unheard
    return SwitchRow(
        witness=witness,
        right=report.at(right["at_s"], right.get("why", MISSING)),
        right_uncertainty=uncertainty(right.get("uncertainty_s")),
        stale=report.at(stale["at_s"], stale.get("why", MISSING)),
        stale_uncertainty=uncertainty(stale.get("uncertainty_s")),
        landed=count(landing["count"]) if landing else MISSING,
        first=report.at(landing["first"]) if landing else MISSING,
        last=report.at(landing["last"]) if landing else MISSING,
        left=count(landing["left"]) if landing else MISSING,
    )


def _seats(report: Report, told: Sequence[Mapping[str, Any]]) -> Iterator[SeatRow]:
    before = None
    for one in told:
        first, before = one["arm"] != before, one["arm"]
        about: dict[str, Any] = {
            "arm": one["arm"],
            "endpoint": one["endpoint"],
            "first_of_arm": first,
        }
        if "failed_to_open" in one:
            errors = ", ".join(f"{count(n)} {name}" for name, n in one["errors"].items())
            yield SeatRow(
                instance=errors, opened=f"{count(one['failed_to_open'])} never opened", **about
            )
            continue
        yield SeatRow(
            instance=report.short(one["instance"]) or "not known",
            opened=count(one["opened"]),
            roles=f"{_opened_as(one)} → {one['role_now'] or 'not seen'}",
            left=count(one["left"]),
            most=count(one["most_at_once"]),
            oldest=duration(one["age_s_max"]),
            served=count(one["served"]),
            failed=count(one["failed"]),
            refused=count(one["refused_read_only"]),
            **about,
        )


def _opened_as(one: Mapping[str, Any]) -> str:
    told = one["opened_as"]
    if len(told) == 1:
        return str(next(iter(told)))
    return ", ".join(f"{count(number)} {role}" for role, number in told.items())


def _readers(report: Report, one: Mapping[str, Any]) -> Iterator[ReaderRow]:
    before, after = one["before"], one["after"]
    came_back: dict[str, list[str]] = {}
    for back in one["returned"]:
        served = "never seen" if back["served"] is None else duration(back["measured"])
        came_back.setdefault(back["instance"], []).append(served)
    told = dict.fromkeys((*before["reads"], *(after or {"reads": {}})["reads"], *came_back))
    for number, instance in enumerate(told):
        yield ReaderRow(
            arm=one["arm"],
            instance=report.short(instance) + _aside(before, after, instance),
            before=_share(before, instance),
            after=_share(after, instance),
            connections=f"{_sitting(before, instance)} → {_sitting(after, instance)}",
            skew=f"{_skew(before)} → {_skew(after)}" if number == 0 else "",
            served_again=", ".join(came_back.get(instance, ())) or MISSING,
            first_of_arm=number == 0,
        )


def _aside(before: Mapping[str, Any], after: Mapping[str, Any] | None, instance: str) -> str:
    """Say of an instance that it served reads and was no reader."""
    if after and instance in after["reads"] and instance not in after["readers"]:
        return ", no reader any more"
    return "" if instance in before["readers"] or instance not in before["reads"] else ", no reader"


def _share(shares: Mapping[str, Any] | None, instance: str) -> str:
    if shares is None or instance not in shares["reads"]:
        return MISSING
    total = sum(shares["reads"].values())
    return f"{shares['reads'][instance] / total:.0%}" if total else MISSING


def _sitting(shares: Mapping[str, Any] | None, instance: str) -> str:
    known = (shares or {}).get("connections") or {}
    return count(known[instance]) if instance in known else MISSING


def _skew(shares: Mapping[str, Any] | None) -> str:
    return MISSING if shares is None or not shares["skew"] else f"{shares['skew']:.2f}"
