"""All cases: one line a family of faults."""

from __future__ import annotations

from conformance import (
    cases_database,
    cases_failover,
    cases_members,
    cases_serverless,
    cases_testcluster,
)
from conformance.case import Case

FAMILIES = (
    cases_failover,
    cases_members,
    cases_serverless,
    cases_database,
    cases_testcluster,
)


def all_cases() -> dict[str, dict[str, Case]]:
    """Return the cases of each fault; a fault's are all in one family."""
    merged: dict[str, dict[str, Case]] = {}
    for family in FAMILIES:
        for fault, cases in family.CASES.items():
            assert fault not in merged, f"{fault} is in two families"
            merged[fault] = dict(cases)
    return merged
