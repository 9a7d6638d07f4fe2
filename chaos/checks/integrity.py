"""What must be true of any database, whatever an experiment asks: judged in every run."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.checks.base import Check
from chaos.checks.constant_sums import CHECK as CONSTANT_SUMS
from chaos.checks.constant_sums import arms_with_sums, judge_sums
from chaos.checks.recording import Recording
from chaos.checks.single_writer import CHECK as SINGLE_WRITER
from chaos.checks.single_writer import judge_single_writer
from chaos.model.verdict import Finding


def judge_integrity(recording: Recording, checks: Sequence[Check]) -> list[Finding]:
    """Return the findings of those checks that no objective asks for already."""
    asked = {check.check for check in checks}
    found = []
    if SINGLE_WRITER not in asked:
        found.append(judge_single_writer(recording))
    if CONSTANT_SUMS not in asked:
        found += [judge_sums(recording, arm) for arm in arms_with_sums(recording)]
    return found
