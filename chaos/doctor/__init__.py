"""What is wrong with a target and its clients before a game day, each finding with its fix.

Pure rules on what was read: `target.py` on the cluster, `client.py` on a client's settings, `machine.py`
on this machine. Each rule is a line of its table; `examine` runs them all.
"""

from __future__ import annotations

from chaos.doctor.base import Client, Finding, Level, Machine, Patient, Rule, worst
from chaos.doctor.client import CLIENT_RULES
from chaos.doctor.machine import MACHINE_RULES
from chaos.doctor.target import TARGET_RULES

__all__ = [
    "CLIENT_RULES",
    "MACHINE_RULES",
    "TARGET_RULES",
    "Client",
    "Finding",
    "Level",
    "Machine",
    "Patient",
    "Rule",
    "examine",
    "worst",
]


def examine(
    patient: Patient | None, clients: tuple[Client, ...], machine: Machine
) -> list[Finding]:
    """Return what every rule finds, the worst first; rules that find nothing wrong say so as well."""
    findings = [f for rule in TARGET_RULES if patient for f in rule.findings(patient)]
    findings += [f for client in clients for rule in CLIENT_RULES for f in rule.findings(client)]
    findings += [f for rule in MACHINE_RULES for f in rule.findings(machine)]
    return sorted(findings, key=lambda finding: -finding.level.weight)
