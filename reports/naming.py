"""What rows of `verdict.json` are about, as a reader calls it: arms, streams, faults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from chaos.model.operation import PROBE_ARM
from reports.read import Report

_TIMES = "\N{MULTIPLICATION SIGN}"
_ENDPOINTS = {"cluster": 0, "reader": 1}


def arm(name: str) -> str:
    """Return the name of an arm; the probes are no arm."""
    return "probes" if name == PROBE_ARM else name


def stream(report: Report, row: Mapping[str, Any]) -> str:
    """Return operation and endpoint: `write cluster`."""
    return f"{row['operation']} {report.short(row['endpoint'])}".strip()


def order(report: Report, row: Mapping[str, Any]) -> tuple[int, int, str, str]:
    """Return where a row stands: arms as in the experiment, the probes last; the cluster first."""
    arms = report.arms
    place = arms.index(row["arm"]) if row["arm"] in arms else len(arms)
    endpoint = row["endpoint"]
    return place, _ENDPOINTS.get(endpoint, len(_ENDPOINTS)), endpoint, row["operation"]


def faults(report: Report, ids: Iterable[str]) -> str:
    """Return the names of faults by their ids, as `failover-cluster 2`; `no fault` for none."""
    names = {
        str(told.get("fault_id")): f"{told.get('fault')} {number}"
        for number, told in enumerate(report.judgement.told.get("faults") or (), 1)
    }
    return ", ".join(names.get(str(one), str(one)) for one in ids) or "no fault"


def errors(counted: Mapping[str, int], *, at_most: int = 4) -> str:
    """Return errors and how often each: `25006 ReadOnlySqlTransaction x63`; the rest summed up."""
    told = [f"{name.removeprefix('----- ')} {_TIMES}{times}" for name, times in counted.items()]
    rest = sum(list(counted.values())[at_most:])
    return ", ".join([*told[:at_most], *([f"others {_TIMES}{rest}"] if rest else [])])
